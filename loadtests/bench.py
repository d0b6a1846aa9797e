"""What headrace costs and how fast it is on this machine, on a real Kafka and Redis.

    python -m loadtests.bench [--only throughput,latency] [--quick] [--json PATH]

Figures are for comparison within one run. `docs/benchmarks.md` says what each means.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.console import RenderableType

from headrace.devparts.maven import java
from loadtests import joining, latency, memory, recovery, report, shadowing, throughput, watching
from loadtests.arena import Arena, arena, console


@dataclass(frozen=True, slots=True)
class Size:
    """How much is done; `--quick` is for a test that the benchmark runs at all, its figures mean nothing."""

    events: int = 1_000_000
    rounds: int = 3
    model_rows: int = 60_000
    rates: tuple[int, ...] = (1_000, 5_000)
    seconds: float = 30.0
    warm_seconds: float = 15.0
    days: int = 37
    soak_minutes: float = 10.0
    soak_rate: int = 1_500
    month_days: int = 31
    trials: int = 3
    checkpointed: bool = True
    modes: tuple[str, ...] = throughput.MODES
    dark: shadowing.Size = shadowing.WHOLE
    idle_after: str | None = None


QUICK = Size(
    4_000, 1, 12_000, (200,), 2.0, 1.0, 1, 0.05, 200, 1, 1, False, throughput.MODES[:1], shadowing.QUICK, "1s"
)  # fmt: skip  # one a field


@dataclass(frozen=True, slots=True)
class Part:
    """A part of the benchmark: what measures it, what shows it."""

    measure: Callable[[Arena, Size], dict[str, Any]]
    shown: Callable[[Mapping[str, Any]], list[RenderableType]]


PARTS: Mapping[str, Part] = {
    "throughput": Part(
        lambda ground, size: throughput.measure(ground, size.events, size.modes, size.rounds), report.throughput
    ),
    "latency": Part(
        lambda ground, size: latency.measure(ground, size.rates, size.seconds, size.warm_seconds, size.modes),
        report.latency,
    ),
    "memory": Part(
        lambda ground, size: memory.measure(ground, size.days, size.soak_minutes, size.soak_rate), report.memory
    ),
    "recovery": Part(
        lambda ground, size: recovery.measure(ground, size.month_days, size.trials, size.checkpointed), report.recovery
    ),
    "shadowing": Part(lambda ground, size: shadowing.measure(ground, size.dark), report.shadowing),
    "joining": Part(lambda ground, size: joining.measure(ground, size.events), report.joining),
    "watching": Part(lambda ground, size: watching.measure(ground, size.events), report.watching),
}


def machine() -> dict[str, Any]:
    """What the figures were measured on, and what else the machine had to do just before."""
    model = next((line for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line), "")
    libraries = ("confluent-kafka", "numba", "numpy", "onnxruntime", "pyarrow", "redis", "lightgbm", "fastavro")
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "cores": os.cpu_count(),
        "processor": model.partition(":")[2].strip() or platform.machine(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "system": platform.platform(),
        "python": platform.python_version(),
        "java": java(),
        "kafka": "one node, KRaft, replication 1, this machine",
        "libraries": {name: version(name) for name in libraries},
        "load_before": [round(load, 2) for load in os.getloadavg()],
    }


def main() -> int:
    """Run the parts, show and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--only", default=",".join(PARTS), help="parts, comma separated: " + ", ".join(PARTS))
    parser.add_argument("--events", type=int, help="of the throughput part (1,000,000)")
    parser.add_argument("--rounds", type=int, help="of the throughput part (3)")
    parser.add_argument("--soak-minutes", type=float, help="of the memory part (10)")
    parser.add_argument("--trials", type=int, help="of the recovery part (3)")
    parser.add_argument(
        "--made-up", action="store_true", help="simulated transactions although the real ones are there"
    )
    parser.add_argument("--quick", action="store_true", help="tiny sizes: does it run at all?")
    parser.add_argument("--json", type=Path, help="write the figures here")
    options = parser.parse_args()
    names = options.only.split(",")
    if unknown := sorted(set(names) - set(PARTS)):
        parser.error(f"no part {', '.join(unknown)}; there are {', '.join(PARTS)}")
    base = QUICK if options.quick else Size()
    asked = {name: getattr(options, name) for name in ("events", "rounds", "soak_minutes", "trials")}
    size = replace(base, **{name: value for name, value in asked.items() if value is not None})
    shown = console()
    figures: dict[str, Any] = {"machine": machine()}
    with arena(options.made_up, lambda text: shown.print(f"[dim]{text}[/]"), brief=options.quick) as ground:
        ground.model_rows, ground.idle_after = size.model_rows, size.idle_after
        for name in names:
            shown.rule(name)
            figures[name] = PARTS[name].measure(ground, size)
            for table in PARTS[name].shown(figures[name]):
                shown.print(table)
            figures["machine"]["load_after"] = [round(load, 2) for load in os.getloadavg()]
            # After every part: a part that fails takes nothing with it.
            if options.json:
                options.json.write_text(json.dumps(figures, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
