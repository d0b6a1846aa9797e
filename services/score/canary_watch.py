"""What is watched of a canary that gives finite scores: how long it takes, and how often it errs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import pyarrow as pa

from headrace.domain.models.model_loader import OpenArm
from headrace.domain.plans.canary_split import shares
from headrace.domain.plans.plans import Plan
from headrace.domain.release.breakers import ErrorRate, LatencyBreaker


@dataclass(slots=True)
class CanaryWatch:
    """Of one canary beside one champion; another share goes on with what is known.

    Attributes:
        plan: the newest one that has both.
        latency, errors: the breakers.
    """

    plan: Plan
    latency: LatencyBreaker
    errors: ErrorRate = field(default_factory=ErrorRate)
    _pace: float = 0.0

    @classmethod
    def of(cls, plan: Plan, target: float, before: CanaryWatch | None) -> CanaryWatch | None:
        """Of a plan's canary, seconds that a batch may take, and what was watched so far; None without a canary."""
        if plan.canary is None:
            return None
        if before is not None and _pair(plan) == _pair(before.plan):
            return cls(plan, before.latency, before.errors, before._pace)
        return cls(plan, LatencyBreaker(target))

    def rows(self, canary: OpenArm) -> int:
        """How many rows the canary may be given at once: what it should score within the target, as fast as it was so
        far, in whole calls of the model; so it is called no oftener than without slices.
        """
        call = canary.models[0].session.batch.rows
        return max(int(self._pace) // call, 1) * call

    def paced(self, rows: int, seconds: float) -> None:
        """So many took so long. What follows is four times as much at most."""
        self._pace = 4.0 * rows
        if seconds > 0:
            self._pace = min(self._pace, rows * self.latency.target / seconds)

    def took(self, seconds: float, champion: Callable[[], float | None]) -> str | None:
        """The canary took so long for a batch; `champion`: has the same rows scored by it, asked only where it counts.

        What happened, where the breaker trips.
        """
        over = seconds > self.latency.target
        self.latency, trip = self.latency.take(seconds, champion() if over else None)
        return trip

    def erred(self, entities: pa.Array, by_canary: bool) -> str | None:
        """Answers for these entities cannot be. What happened, where the breaker trips."""
        assert self.plan.canary is not None
        places = shares(entities, _salt(self.plan)).tolist()
        candidate, champion = (places, []) if by_canary else ([], places)
        self.errors.take(self.plan.canary.share, candidate, champion)
        return self.errors.tripped() if by_canary else None


def _salt(plan: Plan) -> str:
    return plan.salt or plan.pipeline


def _pair(plan: Plan) -> tuple[str, str, str]:
    assert plan.canary is not None
    return plan.champion.digest, plan.canary.digest, _salt(plan)
