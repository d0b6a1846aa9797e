"""Whatever is killed, frozen, cut off or moved, in any order: each event is answered once, and nothing stands still."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.simulated.member import Cast
from tests.simulated.plan import PROTOCOLS
from tests.simulated.schedules import failures, shrink

SEEDS = 20_000


@pytest.mark.slow
def test_no_schedule_loses_doubles_or_stops_anything() -> None:
    """A member with state, its outputs and its checkpoints come through every schedule as if nothing had happened."""
    found = [str(shrink(failure, Cast())) for failure in failures(range(SEEDS), Cast(), PROTOCOLS, os.cpu_count() or 1)]
    assert found == []


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
