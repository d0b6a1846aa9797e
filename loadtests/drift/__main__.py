"""The study of drift, measured anew: python -m loadtests.drift [--seeds N] [--only PARTS] [--page PATH] [--json PATH].

Figures of parts that are not measured now are taken from the JSON file, where it is there, else from the page.
"""

from __future__ import annotations

import argparse
import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType

from loadtests.drift import concept, cost, cycles, delay, electricity, false_alarms, growth, harm, joint
from loadtests.drift.figures import Figures, spread_over
from loadtests.drift.page import page

PARTS: dict[str, ModuleType] = {
    "false_alarms": false_alarms,
    "delay": delay,
    "joint": joint,
    "concept": concept,
    "electricity": electricity,
    "cycles": cycles,
    "growth": growth,
    "harm": harm,
    "cost": cost,
}


def main() -> int:
    """Measure, write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seeds", type=int, default=50, help="runs of each kind (50)")
    parser.add_argument("--workers", type=int, default=2, help="processes (2)")
    parser.add_argument("--only", default=",".join(PARTS), help="parts, comma separated: " + ", ".join(PARTS))
    parser.add_argument("--page", type=Path, help="write the page here")
    parser.add_argument("--json", type=Path, help="read figures of other parts here, and write all")
    options = parser.parse_args()
    if unknown := set(options.only.split(",")) - set(PARTS):
        parser.error(f"no part is called {', '.join(sorted(unknown))}")
    found: Figures = json.loads(options.json.read_text()) if options.json and options.json.exists() else {}
    spread = spread_over(options.workers)
    for name in options.only.split(","):
        measured = PARTS[name].measure(options.seeds, spread)
        found[name] = {**measured, "measured": datetime.now(UTC).isoformat(timespec="seconds")}
        if options.json:
            options.json.write_text(json.dumps(found, indent=1) + "\n")
        print(PARTS[name].table(found[name]), flush=True)
    if options.page:
        options.page.write_text(page(found, options.page.read_text() if options.page.exists() else ""))
    return 0


if __name__ == "__main__":
    sys.exit(main())
