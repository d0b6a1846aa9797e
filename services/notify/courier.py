"""Brings messages to one channel, one after the other, and decides when it is tried again and when it is given up."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

from services.notify.letters import Letter

FIRST_WAIT_S, LONGEST_WAIT_S = 1.0, 60.0
LEAST_ATTEMPTS = 3
MOST_WAITING = 1_000
"""Messages that one channel keeps waiting; the oldest beyond are given up."""
MOST_HUNG = 4
"""Attempts without an end, beyond which no other begins."""


class Trial(Protocol):
    """An attempt that goes on beside us; see `domain.notification.attempt`."""

    @property
    def over(self) -> bool:
        """Whether it has ended."""

    @property
    def problem(self) -> str | None:
        """Why the message was not taken, once it is over."""


@dataclass(frozen=True, slots=True)
class LetterEnd:
    """What came of a message: taken, or given up because of a `problem`."""

    letter: Letter
    problem: str | None
    attempts: int


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How long is tried.

    Attributes:
        deadline_s: an attempt without an answer has failed after so long; it may still end well.
        give_up_s: since a message was due.
    """

    deadline_s: float
    give_up_s: float

    def wait_s(self, failures: int) -> float:
        """Until the next attempt, after so many that failed in a row.

        >>> [RetryPolicy(30, 900).wait_s(failures) for failures in (1, 2, 3, 7, 100)]
        [1.0, 2.0, 4.0, 60.0, 60.0]
        """
        return min(FIRST_WAIT_S * 2.0 ** min(failures - 1, 10), LONGEST_WAIT_S)

    def gives_up(self, due: int, failures: int, now: float) -> bool:
        """Whether a message that was due at a time (milliseconds) is given up after a failure."""
        return failures >= LEAST_ATTEMPTS and now - due / 1000 >= self.give_up_s


class Courier:
    """One channel's.

    Args:
        channel: its name.
        begin: begins an attempt, and comes back at once.
        failed: told of each attempt that failed, with why.
    """

    def __init__(
        self, channel: str, begin: Callable[[Letter], Trial], policy: RetryPolicy, failed: Callable[[str], None]
    ) -> None:
        self._channel = channel
        self._begin = begin
        self._policy = policy
        self._failed = failed
        self._told: set[str] = set()
        self._letter: Letter | None = None
        self._trial: Trial | None = None
        self._late: list[Trial] = []
        self._hung: list[Trial] = []
        self._begun_at = 0.0
        self._next_at = 0.0
        self._attempts = 0
        self._failures = 0

    def turn(self, offers: Iterable[Letter], now: float) -> list[LetterEnd]:
        """What came of messages since the last call; begins the next attempt where it is time.

        `offers`: all that the channel has yet to be told, in order. Each comes to its end once, though it be offered
        until that is known everywhere.
        """
        offered = {letter.identity(self._channel): letter for letter in offers}
        self._told &= offered.keys()
        ended = [] if self._letter is None else self._follow(self._letter, now)
        left = self._left(offered, ended)
        if len(left) > MOST_WAITING:
            ended += [
                LetterEnd(letter, f"more than {MOST_WAITING} messages waited", 0)
                for letter in left[: len(left) - MOST_WAITING]
                if letter.identity(self._channel) != self._identity
            ]
            left = self._left(offered, ended)
        # Before the end of the last one is on the topic no other begins: so a crash repeats one message at most.
        if self._trial is None and now >= self._next_at and not self._told and (left or self._letter is not None):
            ended += self._start(left, now)
            self._left(offered, ended)
        return ended

    @property
    def _identity(self) -> str | None:
        return None if self._letter is None else self._letter.identity(self._channel)

    def _left(self, offered: dict[str, Letter], ended: list[LetterEnd]) -> list[Letter]:
        """What of it has not come to its end."""
        self._told |= {delivery.letter.identity(self._channel) for delivery in ended}
        return [letter for identity, letter in offered.items() if identity not in self._told]

    def _follow(self, letter: Letter, now: float) -> list[LetterEnd]:
        """Look after the attempts that are on their way, those too that came to no end in time."""
        if any(late.over and late.problem is None for late in self._late):
            return [self._end(letter, None)]
        trial = self._trial
        if trial is None or (not trial.over and now - self._begun_at < self._policy.deadline_s):
            return []
        self._trial = None
        if trial.over:
            return [self._end(letter, None)] if trial.problem is None else self._fail(letter, trial.problem, now)
        self._late.append(trial)
        return self._fail(letter, f"no answer within {self._policy.deadline_s:g} s", now)

    def _start(self, left: list[Letter], now: float) -> list[LetterEnd]:
        """Begin with the first; one that was begun is tried again as it was then, so that a repeat is a repeat."""
        if self._letter is None:
            first = left[0]
            self._letter = Letter(first.kind, first.due, first.folded, [*first.events])
        self._attempts += 1
        self._hung = [trial for trial in self._hung if not trial.over]
        hung = len(self._hung) + sum(not trial.over for trial in self._late)
        if hung >= MOST_HUNG:
            return self._fail(self._letter, f"{hung} attempts before have no end", now)
        self._begun_at, self._trial = now, self._begin(self._letter)
        return []

    def _fail(self, letter: Letter, problem: str, now: float) -> list[LetterEnd]:
        self._failures += 1
        self._failed(problem)
        self._next_at = now + self._policy.wait_s(self._failures)
        return [self._end(letter, problem)] if self._policy.gives_up(letter.due, self._failures, now) else []

    def _end(self, letter: Letter, problem: str | None) -> LetterEnd:
        if problem is None:
            self._failures, self._next_at = 0, 0.0
        delivery = LetterEnd(letter, problem, self._attempts)
        self._hung += [trial for trial in (*self._late, self._trial) if trial is not None and not trial.over]
        self._letter, self._trial, self._late, self._attempts = None, None, [], 0
        return delivery
