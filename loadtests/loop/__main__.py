"""The loop of retraining and release over real data, beside a champion that is left alone.

    python -m loadtests.loop [--only NAMES] [--days N] [--minutes N] [--sample N] [--page PATH] [--plot PATH]
        [--json PATH]

A file that `--json` names keeps the figures of data sets that are not played this time; page and picture are of all
that it has.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from pathlib import Path
from typing import Any

from loadtests.arena import arena, console
from loadtests.bench import machine
from loadtests.loop.cases import CASES, PLACES
from loadtests.loop.figures import figures_of
from loadtests.loop.page import page, shown
from loadtests.loop.play import play
from loadtests.loop.plot import draw
from loadtests.report import table


def main() -> int:
    """Play, show, write. Exit code 2 where the data is not there."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--only", default=",".join(CASES), help=f"data sets, comma separated ({','.join(CASES)})")
    parser.add_argument("--days", type=int, default=10_000, help="of the loop at most")
    parser.add_argument("--minutes", type=float, default=math.inf, help="of each loop: then it stops at the next step")
    parser.add_argument("--sample", type=int, default=1, help="fraud: each n-th customer alone")
    parser.add_argument("--page", type=Path, help="write the page here")
    parser.add_argument("--plot", type=Path, help="write the picture here")
    parser.add_argument("--json", type=Path, help="write the figures here, beside those of other data sets")
    options = parser.parse_args()
    names = [name for name in options.only.split(",") if name]
    if unknown := set(names) - set(CASES):
        parser.error(f"no data set {', '.join(sorted(unknown))}; there are {', '.join(CASES)}")
    out, begun = console(), time.monotonic()
    for name in names:
        if not PLACES[name].exists():
            out.print(f"the loop needs real data, and {PLACES[name]} is not there")
            return 2
    found: dict[str, Any] = {}
    if options.json and options.json.exists():
        found = json.loads(options.json.read_text())
    for name in names:
        sample = 1 if name == "elec2" else options.sample
        case, where = CASES[name]().brief(options.days, sample), machine()
        with arena(say=lambda text: out.print(f"{time.monotonic() - begun:7,.0f} s  {text}")) as ground:
            found[name] = figures_of(play(ground, case, options.minutes), where, sample)
        if options.json:
            options.json.write_text(json.dumps(found, indent=1) + "\n")
    found = {name: found[name] for name in CASES if name in found}
    if found:
        sheet = table("the loop, and the first champion alone", "", *found)
        for row in shown(found):
            sheet.add_row(*row)
        out.print(sheet)
    if options.plot and found:
        draw(found, options.plot)
    if options.page and found:
        options.page.write_text(page(found, (options.plot or Path("loop.png")).name))
    return 0


if __name__ == "__main__":
    sys.exit(main())
