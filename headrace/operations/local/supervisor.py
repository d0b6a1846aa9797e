"""When an ended member is started again: decisions, told the time."""

from __future__ import annotations

import signal
from dataclasses import dataclass, replace

DRAINED, MISCONFIGURED, LIMIT_REACHED = 0, 2, 3
STARTING = -signal.SIGTERM
"""How a member ends that is told to stop before it listens for that: it had begun nothing."""
FINAL = {DRAINED: "drained", MISCONFIGURED: "misconfigured", LIMIT_REACHED: "too many dead letters"}
"""Exit codes of `headrace.streaming.process.main` after which a restart would not help, and what they mean."""
PASSING = {
    1: "crashed",
    70: "hung, or did not drain in time",
    75: "another process took its name: give members of each run a --member-prefix of their own",
}
"""Exit codes after which a restart may help, and what they mean."""
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

    >>> told(-9), told(2), told(70), told(42)
    ('SIGKILL', 'misconfigured (2)', 'hung, or did not drain in time (70)', 'exit code 42')
    """
    if code < 0:
        return _signal(-code)
    words = {**FINAL, **PASSING}.get(code)
    return f"exit code {code}" if words is None else words if code == DRAINED else f"{words} ({code})"


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def ended(fate: Fate, now: float) -> str:
    """What happened to a member that just ended, and what comes next.

    >>> ended(Fate().ended(2, now=0.0, ran_s=1.0), 0.0), ended(Fate(failures=3).ended(-9, now=0.0, ran_s=1.0), 0.0)
    ('misconfigured (2)', 'SIGKILL, for the 4th time in a row; starting it again in 4 s')
    """
    again = ""
    if fate.due is not None:
        wait = fate.due - now
        again = "; starting it again" + (f" in {wait:.0f} s" if wait >= 0.5 else "")
    often = f", for the {_nth(fate.failures)} time in a row" if fate.failures > 1 and fate.due is not None else ""
    return f"{told(fate.code or 0)}{often}{again}"


def _nth(number: int) -> str:
    last = {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{'th' if 10 < number % 100 < 14 else last}"


def outcome(fate: Fate) -> str:
    """How a member went that will not be started again.

    >>> outcome(Fate(code=0, over=True, restarts=2)), outcome(Fate(code=-15, over=True)), outcome(Fate(over=True))
    ('drained, started again 2 times', 'stopped while it was starting', 'was not running')
    """
    words = "was not running" if fate.code is None else told(fate.code)
    if fate.code == STARTING:
        words = "stopped while it was starting"
    if fate.code == -signal.SIGKILL:
        words = "was killed"
    times = f", started again {fate.restarts} time{'s' * (fate.restarts != 1)}" if fate.restarts else ""
    return words + times
