"""What came of a demo: the account of its events, how quick the answers were, and what commands say of the models."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TypeVar

from headrace.domain.pipeline.wiring import Contracts
from headrace.domain.plans.plans import CHALLENGER, CHAMPION
from headrace.errors import HeadraceError
from headrace.operations.comparison.duel import DuelRequest, compare
from headrace.operations.comparison.model_choice import rival
from headrace.operations.comparison.results import Duel
from headrace.operations.demo.monitor import Account, Floats
from headrace.operations.demo.picture import AnswerLatency, percentiles
from headrace.operations.progress import Say, Silent
from headrace.operations.scorecard_query.query import ScorecardRequest, scorecards
from headrace.operations.scorecard_query.report import ScorecardReport
from headrace.streaming.process.settings import Settings

SHOWN_DISAGREEMENTS = 3
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class DemoFigures:
    """What was counted.

    Attributes:
        account: events and their answers, compared one by one.
        history: how many of the events were published at once, before the live ones.
        latencies: seconds, of each live event that was answered.
    """

    account: Account
    history: int
    latencies: Floats

    @property
    def latency(self) -> AnswerLatency | None:
        """Of all live events; None where none was answered."""
        return percentiles(self.latencies)


@dataclass(frozen=True, slots=True)
class DemoReport(Account):
    """The account with all else that a demo has to tell.

    Attributes:
        difference: how often an event has not exactly one fate.
        history: how many of the events were published at once, before the live ones.
        scorecard, duel: what `headrace scorecard` and `headrace duel` say; None where they could not be made.
    """

    difference: int
    history: int
    latency: AnswerLatency | None
    scorecard: ScorecardReport | None
    duel: Duel | None


def report_of(settings: Settings, contracts: Contracts, figures: DemoFigures, warn: Say) -> DemoReport:
    """The figures, and how the models did; to be asked for while the broker runs.

    Args:
        warn: told why there is no scorecard, or no duel.
    """

    def duel() -> Duel:
        sides = rival(CHAMPION), rival(CHALLENGER)
        return compare(settings, contracts, DuelRequest(sides, top=SHOWN_DISAGREEMENTS), Silent())[0]

    return DemoReport(
        **asdict(figures.account),
        difference=figures.account.differences,
        history=figures.history,
        latency=figures.latency,
        scorecard=_made(lambda: scorecards(settings, contracts, ScorecardRequest(), Silent()).report(), warn),
        duel=_made(duel, warn),
    )


def _made(make: Callable[[], Result], warn: Say) -> Result | None:
    try:
        return make()
    except HeadraceError as error:
        warn(str(error))
        return None
