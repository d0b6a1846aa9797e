"""When an ended member is started again."""

from __future__ import annotations

import pytest

from headrace.operations.local.fleet import MemberState
from headrace.operations.local.foreground import EndedRun
from headrace.operations.local.supervisor import FINAL, HEALTHY_S, Fate, ended, outcome


def test_waits_double_up_to_half_a_minute() -> None:
    """A member that keeps crashing at its start is tried at once, then after growing waits of at most 30 s."""
    fate, waits = Fate(), []
    for _ in range(9):
        fate = fate.ended(1, now=0.0, ran_s=2.0)
        assert fate.due is not None
        waits.append(fate.due)
        fate = fate.started()
    assert waits == [0, 1, 2, 4, 8, 16, 30, 30, 30]
    assert fate.restarts == 9


def test_a_member_that_ran_well_is_started_at_once() -> None:
    """Failures long ago do not delay the restart of a member that has run since."""
    fate = Fate(failures=6).ended(-9, now=500.0, ran_s=HEALTHY_S)
    assert (fate.due, fate.failures) == (500.0, 1)


@pytest.mark.parametrize("code", FINAL)
def test_final_codes_are_final(code: int) -> None:
    """Drained, misconfigured or over the dead-letter limit: a restart would not help."""
    fate = Fate().ended(code, now=0.0, ran_s=1.0)
    assert fate.over
    assert fate.due is None
    assert fate.gave_up == (code != 0)


@pytest.mark.parametrize("code", [-9, -11, 1, 70, 75])
def test_other_ends_are_not(code: int) -> None:
    """A crash, a signal or being fenced is followed by a restart."""
    assert not Fate().ended(code, now=0.0, ran_s=1.0).over


def test_a_crash_loop_says_how_often_and_until_when() -> None:
    """Each end is told with its meaning, how often in a row it was, and when the member is tried again."""
    fate, told = Fate(), []
    for _ in range(4):
        fate = fate.ended(1, now=10.0, ran_s=2.0)
        told.append(ended(fate, 10.0))
        fate = fate.started()
    assert told == [
        "crashed (1); starting it again",
        "crashed (1), for the 2nd time in a row; starting it again in 1 s",
        "crashed (1), for the 3rd time in a row; starting it again in 2 s",
        "crashed (1), for the 4th time in a row; starting it again in 4 s",
    ]
    assert outcome(fate.ended(3, now=10.0, ran_s=2.0)) == "too many dead letters (3), started again 4 times"


@pytest.mark.parametrize(
    ("codes", "code"),
    [([0, 0], 0), ([0, -15], 0), ([0, -9], 1), ([1, 2], 2), ([3, 0], 3), ([70, 0], 1), ([0, None], 1)],
)
def test_the_exit_code_is_that_of_what_went_wrong(codes: list[int | None], code: int) -> None:
    """0 when all drained, or were stopped before they had begun; else why one gave up, or 1."""
    members = [MemberState("m", "score", 1, None, Fate(code=each, over=True)) for each in codes]
    assert EndedRun(members).exit_code == code
