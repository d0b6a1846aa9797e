"""Hard breakers that need more than one answer to trip, and no labels: batches over the target, and errors of a rate.

What trips at once (no finite score, an exception, another shape, no memory) is seen by whoever scores, row by row. Here
is what a champion may do as well, and a candidate must not do where its champion does not.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

MOST_BATCHES = 3
"""Batches in a row that may not be over the target, where the champion is in time."""
MOST_TARGETS = 20
"""Times the target of which one batch is enough."""
BETS = (1.5, 3.0, 10.0, 100.0)
"""Times that the candidate's odds of an error are those of the champion, of which each bet is the best."""
ALPHA = 1e-4
"""Of candidates that err no oftener than their champion, how many trip at most: in one process, whatever it lives."""
MOST_ENTITIES = 100_000
"""Entities with an error that are remembered; where there are more, nothing new is learnt."""


@dataclass(frozen=True, slots=True)
class LatencyBreaker:
    """So many batches in a row over the target that the champion scores in time; a fold, `take` answers the next one.

    A batch that the champion needs longer for than the target, too, is the machine's, or too large for anybody: it says
    nothing, and the row begins anew. Times are in seconds.

    >>> breaker = LatencyBreaker(0.050)
    >>> for took, champion in ((0.06, 0.01), (0.9, 0.8), (0.06, 0.01), (0.07, 0.02), (0.08, 0.01)):
    ...     breaker, trip = breaker.take(took, champion)
    >>> trip
    '3 batches in a row took longer than the target of 50 ms, the last one 80 ms, and the champion 10 ms for its rows'
    >>> LatencyBreaker(0.050).take(2.0, 0.01)[1]
    'a batch took 40 times the target of 50 ms, 2000 ms, and the champion 10 ms for its rows'
    """

    target: float
    over: int = 0

    def take(self, took: float, champion: float | None) -> tuple[LatencyBreaker, str | None]:
        """The breaker after a batch, and what happened where it tripped.

        Args:
            took: by the candidate.
            champion: what the champion needed for the same rows; None: nobody can tell. Not looked at where the
                candidate was in time.
        """
        if took <= self.target or champion is None or champion > self.target:
            return replace(self, over=0), None
        after = replace(self, over=self.over + 1)
        target = f"the target of {1e3 * self.target:g} ms"
        its = f"and the champion {1e3 * champion:.3g} ms for its rows"
        if took >= MOST_TARGETS * self.target:
            return after, f"a batch took {took / self.target:.0f} times {target}, {1e3 * took:.0f} ms, {its}"
        if after.over < MOST_BATCHES:
            return after, None
        return after, (
            f"{after.over} batches in a row took longer than {target}, the last one {1e3 * took:.0f} ms, {its}"
        )


class ErrorRate:
    """Evidence that the candidate errs at more entities than the champion, each of which answers a share of them.

    A conditional test of two rates: given that an entity meets with an error for the first time, whose was it? While
    both err alike it is the candidate's with the chance of its share at that moment, whatever the rate is and however
    the share changes, for who answers an entity is drawn by a hash that knows nothing of it. So bets on the share are
    fair, what they win is a supermartingale, and it reaches 1 / alpha with a chance of alpha at most (Ville 1939; the
    exact conditional test of two Poisson rates, Przyborowski and Wilenski 1940, made sequential). Further errors of an
    entity count nothing: they come to the arm that the first one came to, and one bad entity would convict a model.

    >>> rate = ErrorRate()
    >>> for place in (0.01, 0.02, 0.03, 0.04):
    ...     _ = rate.take(0.05, candidate=[place])
    >>> rate.tripped()
    '4 entities have errors by it and 0 by the champion, of which it answers 5%: evidence e^9.93 of e^9.21'
    """

    def __init__(self) -> None:
        self._wealth = np.zeros(len(BETS))
        self._met: set[float] = set()
        self._share = 0.0
        self.candidate_errors = self.champion_errors = 0

    def take(self, share: float, candidate: Iterable[float] = (), champion: Iterable[float] = ()) -> float:
        """The logarithm of the evidence after further errors.

        Args:
            share: of the entities that the candidate answers; at 0 and 1 it says nothing whose an error is.
            candidate, champion: of the entities with an error, their places (`canary_split.shares`), by who answered.
        """
        if not 0 < share < 1:
            return self.log
        self._share = share
        counts = []
        for places in (candidate, champion):
            new = set(places) - self._met
            if len(self._met) >= MOST_ENTITIES:
                new = set()
            self._met |= new
            counts.append(len(new))
        odds = np.array(BETS)
        # With odds k times higher it is the candidate's with the chance share * k / (share * k + 1 - share).
        theirs = 1.0 / (share * odds + 1.0 - share)
        self._wealth += counts[0] * np.log(odds * theirs) + counts[1] * np.log(theirs)
        self.candidate_errors += counts[0]
        self.champion_errors += counts[1]
        return self.log

    @property
    def log(self) -> float:
        """The natural logarithm of the evidence: the mean of all bets."""
        top = float(self._wealth.max())
        return top + math.log(float(np.exp(self._wealth - top).mean()))

    def tripped(self, alpha: float = ALPHA) -> str | None:
        """What happened where the evidence is 1 / alpha or more."""
        if self.log < -math.log(alpha):
            return None
        return (
            f"{self.candidate_errors:,} entities have errors by it and {self.champion_errors:,} by the champion, of "
            f"which it answers {100 * self._share:g}%: evidence e^{self.log:.2f} of e^{-math.log(alpha):.2f}"
        )
