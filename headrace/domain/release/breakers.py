"""Hard breakers: what a model may not do at all, or not oftener than its champion, and what needs no labels to be seen.

One answer that is not finite, of the wrong shape, an exception or memory that runs out is enough. Latency over its
target is counted batch by batch. Whether errors are the candidate's is a conditional test of two rates: given that an
error happened, whose was it? While both arms fail alike an error is the candidate's with the chance of its share of the
events at that moment, whatever the rate is and however the share changes, so bets on that share are fair and what they
win is a supermartingale; it reaches 1 / alpha with a chance of alpha at most (Ville 1939; the exact conditional test of
two Poisson rates, Przyborowski and Wilenski 1940, made sequential). Several errors of one batch are drawn from its rows
without replacement, which spreads less than that (Hoeffding 1963), so the bound holds all the same.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from headrace.columnar.packing import Column

EXCEPTION, MEMORY, SHAPE, NOT_FINITE, LATENCY, ERRORS = (
    "exception", "out_of_memory", "shape", "not_finite", "latency", "error_rate",
)  # fmt: skip  # a row of words
BETS = (1.5, 3.0, 10.0, 100.0)
"""Times that the candidate's odds of an error are those of the champion, of which each bet is the best."""


@dataclass(frozen=True, slots=True)
class BreakerTrip:
    """A breaker that tripped, and what happened."""

    breaker: str
    detail: str


@dataclass(frozen=True, slots=True)
class BatchReport:
    """How a model fared with a batch of rows.

    Attributes:
        rows: it was given.
        scores: what it answered, float64; None: nothing.
        error: of an exception, its text; None: there was none.
        out_of_memory: whether memory ran out.
        milliseconds: it took.
    """

    rows: int
    scores: npt.NDArray[np.float64] | None
    error: str | None = None
    out_of_memory: bool = False
    milliseconds: float = 0.0


@dataclass(frozen=True, slots=True)
class LatencyBreaker:
    """So many batches in a row over the target; one in between begins anew. A fold: `take` answers the next one.

    >>> breaker = LatencyBreaker(50, 2)
    >>> breaker, first = breaker.take(60)
    >>> breaker, second = breaker.take(70)
    >>> first, second.detail
    (None, '2 batches in a row over 50 ms, the last 70 ms')
    """

    target: float
    most: int = 5
    over: int = 0

    def take(self, milliseconds: float) -> tuple[LatencyBreaker, BreakerTrip | None]:
        """The breaker after a batch, and whether it tripped."""
        over = self.over + 1 if milliseconds > self.target else 0
        trip = None
        if over >= self.most:
            detail = f"{over} batches in a row over {self.target:g} ms, the last {milliseconds:g} ms"
            trip = BreakerTrip(LATENCY, detail)
        return replace(self, over=over), trip


def broken(report: BatchReport) -> BreakerTrip | None:
    """What a batch broke at once; None where nothing.

    >>> broken(BatchReport(2, np.array([0.5, np.nan])))
    BreakerTrip(breaker='not_finite', detail='1 of 2 scores is not finite, the first at row 1')
    """
    if report.out_of_memory:
        return BreakerTrip(MEMORY, f"memory ran out at a batch of {report.rows:,} rows")
    if report.error is not None:
        return BreakerTrip(EXCEPTION, report.error)
    if report.scores is None or report.scores.shape != (report.rows,):
        shape = "nothing" if report.scores is None else f"scores of shape {report.scores.shape}"
        return BreakerTrip(SHAPE, f"{report.rows:,} rows were given, and {shape} came back")
    bad = np.flatnonzero(~np.isfinite(report.scores))
    if len(bad):
        verb = "is" if len(bad) == 1 else "are"
        return BreakerTrip(
            NOT_FINITE, f"{len(bad):,} of {report.rows:,} scores {verb} not finite, the first at row {bad[0]}"
        )
    return None


class ErrorRate:
    """Evidence that the candidate fails oftener than the champion; a fold of batches in their order.

    Of a batch it takes what each arm answered and failed at. The share of the candidate is what it was in that batch,
    so it must not be chosen by whose errors these were: a split by entity is not.

    >>> rate = ErrorRate()
    >>> rate.take(candidate=50, champion=950, candidate_errors=4, champion_errors=0) > 5
    True
    """

    def __init__(self) -> None:
        self._wealth = np.zeros(len(BETS))
        self.candidate_errors = self.champion_errors = 0

    def take(self, candidate: int, champion: int, candidate_errors: int, champion_errors: int) -> float:
        """The logarithm of the evidence after a batch.

        Args:
            candidate, champion: rows that each arm had.
            candidate_errors, champion_errors: of those, the ones that failed.

        Raises:
            ValueError: there are more errors than rows, or fewer than none.
        """
        for errors, rows in ((candidate_errors, candidate), (champion_errors, champion)):
            if not 0 <= errors <= rows:
                raise ValueError(f"{errors} errors in {rows} rows")
        if candidate and champion:  # else whose an error is says nothing
            share = candidate / (candidate + champion)
            odds = np.array(BETS)
            # With odds k times higher it is the candidate's with the chance share * k / (share * k + 1 - share).
            theirs = 1.0 / (share * odds + 1.0 - share)
            self._wealth += candidate_errors * np.log(odds * theirs) + champion_errors * np.log(theirs)
            self.candidate_errors += candidate_errors
            self.champion_errors += champion_errors
        return self.log

    @property
    def log(self) -> float:
        """The natural logarithm of the evidence: the mean of all bets."""
        top = float(self._wealth.max())
        return top + math.log(float(np.exp(self._wealth - top).mean()))

    def tripped(self, alpha: float) -> BreakerTrip | None:
        """Whether it reached 1 / alpha."""
        if self.log < -math.log(alpha):
            return None
        errors = f"{self.candidate_errors:,} errors of the candidate, {self.champion_errors:,} of the champion"
        return BreakerTrip(ERRORS, f"{errors}: evidence e^{self.log:.2f} of e^{-math.log(alpha):.2f}")

    def save(self) -> dict[str, Column]:
        """As columns."""
        return {
            "wealth": self._wealth.copy(),
            "errors": np.array([self.candidate_errors, self.champion_errors], np.int64),
        }

    @classmethod
    def load(cls, columns: Mapping[str, Column]) -> ErrorRate:
        """What `save` told."""
        found = cls()
        found._wealth = np.array(columns["wealth"], np.float64)
        found.candidate_errors, found.champion_errors = (int(each) for each in columns["errors"])
        return found
