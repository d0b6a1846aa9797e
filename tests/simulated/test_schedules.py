"""Whatever is killed, frozen, cut off or moved, in any order: each event is answered once, and nothing stands still."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from collections.abc import MutableMapping
from typing import Any

import pytest
import structlog

from tests.simulated.member import Cast
from tests.simulated.plan import AT_CALLS, AT_TURNS, PROTOCOLS, plan_of
from tests.simulated.schedules import failures, shrink
from tests.simulated.world import World

SEEDS = 250
"""What the whole test run tries; `make simulate`, which CI runs too, tries 20,000."""
SITUATIONS = (
    "assigned",
    "draining",
    "waiting",
    "partitions lost",
    "transaction aborted",
    "producer replaced",
    "outputs dropped at revocation",
)
"""What members say where it is dangerous."""


@pytest.mark.schedules
def test_no_schedule_loses_doubles_or_stops_anything() -> None:
    """A member with state, its outputs and its checkpoints come through every schedule as if nothing had happened."""
    found = [str(shrink(failure, Cast())) for failure in failures(range(SEEDS), Cast(), PROTOCOLS, 1)]
    assert found == []


@pytest.mark.schedules
def test_schedules_go_where_it_is_dangerous() -> None:
    """A few hundred of them reach each situation that members must come through: elsewhere is nothing to be found."""
    said: Counter[str] = Counter()

    def heard(_: Any, __: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        said[line["event"]] += 1
        raise structlog.DropEvent

    before = structlog.get_config()
    structlog.configure(processors=[heard], wrapper_class=structlog.make_filtering_bound_logger(20))
    try:
        worlds = [World(plan_of(seed), Cast()) for seed in range(500)]
        for world in worlds:
            world.run()
    finally:
        structlog.configure(**before)
    ends = Counter(end for world in worlds for end in world.ends)
    faults = Counter(fault.kind for world in worlds for fault in world.fired)
    assert min(said[event] for event in SITUATIONS) >= 3, said
    assert min(ends[end] for end in ("drained", "killed", "fenced")) >= 20, ends
    assert ends["refused"] >= 1, ends
    assert {kind for kind, times in faults.items() if times >= 5} == {*AT_CALLS, *AT_TURNS}, faults


@pytest.mark.schedules
def test_a_seed_gives_the_same_run_bit_for_bit() -> None:
    """What is on the broker at the end, and when it ended, depends on the seed alone: not on the process it ran in."""
    told = [
        subprocess.run(
            [sys.executable, "-m", "tests.simulated", "--seeds", "40", "--workers", "1", "--digest"],
            env=os.environ | {"PYTHONHASHSEED": hashing},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for hashing in ("1", "2")
    ]
    assert len(told[0].splitlines()) == 40
    assert told[0] == told[1]
