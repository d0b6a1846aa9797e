"""When an ended member is started again: decisions, told the time."""

from __future__ import annotations

from dataclasses import dataclass, replace

DRAINED, MISCONFIGURED, LIMIT_REACHED = 0, 2, 3
FINAL = {DRAINED: "drained", MISCONFIGURED: "misconfigured", LIMIT_REACHED: "too many dead letters"}
"""Exit codes of `services.kit.serving` after which a restart would not help, and what they mean."""
LONGEST_WAIT_S = 30.0
HEALTHY_S = 60.0
"""A member that ran this long had no trouble starting: its earlier failures are forgotten."""


@dataclass(frozen=True, slots=True)
class Fate:
    """What becomes of one member.

    Attributes:
        failures: how often in a row it ended soon after its start.
        restarts: how often it was started again, over its whole life.
        due: when to start it again; None while it runs, or when it never will.
        code: how it ended the last time: an exit code, or minus the signal's number; None before that.
        over: it will not be started again.
    """

    failures: int = 0
    restarts: int = 0
    due: float | None = None
    code: int | None = None
    over: bool = False

    def ended(self, code: int, now: float, ran_s: float) -> Fate:
        """After its process ended, having run for `ran_s` seconds.

        The first restart comes at once, the next ones after 1, 2, 4, ... up to 30 seconds. 0, 2 and 3 are final.

        >>> Fate().ended(-9, now=100.0, ran_s=5.0).due, Fate(failures=3).ended(1, now=100.0, ran_s=5.0).due
        (100.0, 104.0)
        >>> Fate(failures=3).ended(1, now=100.0, ran_s=3600.0).due, Fate().ended(2, now=100.0, ran_s=1.0).due
        (100.0, None)
        """
        if code in FINAL:
            return replace(self, code=code, due=None, over=True)
        before = 0 if ran_s >= HEALTHY_S else self.failures
        return replace(self, code=code, failures=before + 1, due=now + _wait(before))

    def started(self) -> Fate:
        """After its process was started again."""
        return replace(self, due=None, restarts=self.restarts + 1)

    @property
    def gave_up(self) -> bool:
        """Whether it ended for good with work left."""
        return self.over and self.code != DRAINED


def _wait(failures: int) -> float:
    return 0.0 if failures == 0 else min(2.0 ** (failures - 1), LONGEST_WAIT_S)


def told(code: int) -> str:
    """An exit code in words.

    >>> told(-9), told(2), told(75)
    ('signal 9', 'misconfigured', 'exit code 75')
    """
    if code < 0:
        return f"signal {-code}"
    return FINAL.get(code, f"exit code {code}")
