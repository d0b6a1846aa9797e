"""Shedding as a machine of its own: told the time and what a window showed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from headrace.streaming.records.batch import Batch
from services.shadow.load import Load, LoadMeter
from services.shadow.load_shedder import Cost, Shedding, Verdict
from tests.models.parts import features

A = Cost("a@1/challenger", "challenger", 0, 0.001)
B = Cost("b@1/shadow", "shadow", 0, 0.002)
C = Cost("c@1/shadow", "shadow", 0, 0.004)
D = Cost("d@1/shadow", "shadow", 5, 0.009)
ALL = (A, B, C, D)
CALM = Load(1.0, 10.0, 0.1)


def load(lag: float, rate: float, of: tuple[Cost, ...] = ALL) -> Load:
    """A window in which nothing but the models took time."""
    return Load(lag, rate, sum(cost.seconds_per_row for cost in of))


@pytest.mark.parametrize(
    ("rate", "gone"),
    [
        (10.0, ()),  # Fast enough as it is: only late, and catching up.
        (55.0, ()),
        (70.0, (C,)),
        (80.0, (C, B)),
        (90.0, (C, B, A)),
        (105.0, (C, B, A, D)),
    ],
)
def test_as_many_as_must(rate: float, gone: tuple[Cost, ...]) -> None:
    """Lowest priority first, shadows before challengers, the slowest first, until the rest is quick enough."""
    verdict = Shedding(30.0).turn(0.0, load(31.0, rate), ALL, ())
    assert verdict == Verdict(shed=tuple(cost.place for cost in gone))


def test_further_behind_more_must_go() -> None:
    """The further behind, the quicker the rest must be to be back in time."""
    gone = [len(Shedding(30.0).turn(0.0, load(lag, 50.0), ALL, ()).shed) for lag in (31, 60, 120, 600)]
    assert gone == [0, 1, 2, 4]


def test_what_goes_by_beside_the_models() -> None:
    """Reading and writing are shared out among the models: where they are the trouble, all go."""
    verdict = Shedding(30.0).turn(0.0, Load(31.0, 1_000.0, 0.05), ALL, ())
    assert len(verdict.shed) == 4


def test_one_window_at_a_time() -> None:
    """Without the slowest the rest is many times quicker: whether that is enough for a burst, the next window tells."""
    slow = Cost("s@1/shadow", "shadow", 0, 0.1)
    shedding = Shedding(30.0)
    assert shedding.turn(0.0, load(31.0, 1_000.0, (A, slow)), (A, slow), ()) == Verdict(shed=(slow.place,))
    assert shedding.turn(1.0, load(31.0, 1_000.0, (A,)), (A,), (slow,)) == Verdict(shed=(A.place,))


def test_within_the_bound() -> None:
    """Up to the bound nothing goes, however slow, and without a bound never."""
    assert Shedding(30.0).turn(0.0, load(30.0, 1e6), ALL, ()) == Verdict()
    assert Shedding(0.0).turn(0.0, load(1e6, 1e6), ALL, ()) == Verdict()


def calm(shedding: Shedding, begin: int, out: tuple[Cost, ...], seconds: int, load: Load = CALM) -> list[int]:
    """The seconds at which something is taken back."""
    found = []
    for second in range(begin, begin + seconds):
        if shedding.turn(float(second), load, (), out).restored:
            found.append(second)
    return found


def test_taken_back_one_by_one() -> None:
    """After a bound of calm the model of the highest priority comes back; the next after another."""
    shedding = Shedding(30.0)
    shedding.turn(0.0, load(31.0, 1_000.0), ALL, ())
    assert shedding.turn(10.0, CALM, (), ALL) == Verdict()
    assert shedding.turn(39.0, CALM, (), ALL) == Verdict()
    assert shedding.turn(40.0, CALM, (), ALL) == Verdict(restored=(D.place,))
    assert shedding.turn(69.0, CALM, (D,), (A, B, C)) == Verdict()
    assert shedding.turn(70.0, CALM, (D,), (A, B, C)) == Verdict(restored=(A.place,))
    assert shedding.turn(100.0, CALM, (D, A), (B, C)) == Verdict(restored=(B.place,))


@pytest.mark.parametrize("lag", [16.0, 29.0, 31.0])
def test_calm_is_without_a_break(lag: float) -> None:
    """A window with more than half the bound begins the wait anew."""
    shedding = Shedding(30.0)
    shedding.turn(0.0, load(31.0, 1_000.0), ALL, ())
    assert calm(shedding, 1, ALL, 25) == []
    shedding.turn(26.0, replace(CALM, lag=lag, seconds_per_row=0.001), (), ALL)
    assert calm(shedding, 27, ALL, 31) == [57]


def test_no_room() -> None:
    """A model that does not fit comes back only after a long patience: its cost may have been measured in bad times."""
    shedding = Shedding(30.0)
    shedding.turn(5.0, load(31.0, 1_000.0), ALL, ())
    busy = Load(1.0, 100.0, 0.01)  # D would take 90% of the time.
    assert calm(shedding, 6, (D,), 700, busy)[0] == 605


def stamped(partitions: list[int], stamps: list[int]) -> Batch:
    """Rows of these partitions with these time stamps, ms."""
    batch = features([1.0] * len(stamps), [1] * len(stamps), partition=partitions)
    return replace(batch, timestamp=np.array(stamps))


def test_pace() -> None:
    """A window is a second at least; it knows its lag, the rate of what was written, and the time for each row."""
    pace = LoadMeter()
    assert pace.note(stamped([0, 0, 1], [1_000, 2_000, 1_500]), now=10.0) is None
    assert pace.note(stamped([0, 0, 1], [3_000, 4_000, 1_750]), now=10.5) is None
    assert pace.note(stamped([0], [9_000]), now=12.0) == Load(9.0, 3 / 3.0 + 1 / 0.25, 2.0 / 6)
    assert pace.note(stamped([0], [9_000]), now=12.5) is None
    assert pace.note(stamped([0], [9_000]), now=14.0) == Load(3.5, 1 / 0.1 + 1 / 0.25, 2.0 / 2)


def test_pace_forgets() -> None:
    """A partition that went has no rate, and an idle member none at all."""
    pace = LoadMeter()
    pace.note(stamped([0, 0, 1, 1], [0, 1_000, 0, 500]), now=10.0)
    pace.note(stamped([0], [1_000]), now=12.0)
    pace.drop(1)
    found = pace.note(stamped([0], [1_000]), now=14.0)
    assert found is not None
    assert found.rows_per_second == 0.0
    assert pace.idle() == Load(0.0, 0.0, 0.0)
    assert pace.note(stamped([0], [1_000]), now=99.0) is None
