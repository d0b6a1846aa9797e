"""When an ended member is started again."""

from __future__ import annotations

import pytest

from services.cli.supervisor import FINAL, HEALTHY_S, Fate


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
