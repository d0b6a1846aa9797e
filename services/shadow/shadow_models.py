"""The dark models of the newest plan: which are scored, which were shed, which cannot be."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import structlog

from headrace.domain.control.dark_models import (
    DarkModelFinding,
    ModelFailed,
    ModelRecovered,
    ModelRestored,
    ModelShed,
    ModelUnanswered,
)
from headrace.domain.control.events import ControlEvents
from headrace.domain.models.model_loader import OpenArm, Opener
from headrace.domain.plans.breaches import say_breach
from headrace.domain.plans.plans import Arm, Plan, latest
from headrace.errors import ConfigurationError, ContractError, Transient
from headrace.streaming.records.batch import Batch, Emit
from services.shadow.load import Load
from services.shadow.load_shedder import Cost, Shedding, kept_first
from services.shadow.metrics import ShadowMetrics

_log = structlog.get_logger()  # a proxy: configured by the time it is first used

RETRY_AFTER = 5.0  # seconds until a model that failed is tried again; doubled with every failure
RETRY_LONGEST = 300.0
STEADY_ROWS = 200  # a measurement of so many rows counts as much as all before it

State = Literal["playing", "shed", "failed"]


@dataclass(slots=True)
class ShadowModel:
    """A dark model.

    Attributes:
        arm: as the plan has it.
        opened: ready to score; None while it is failed.
        state: whether it is scored, and if not, why.
        seconds_per_row: as loading and then scoring measured it.
        retry_at, failures: when a failed one is tried again, and how often it failed under this plan.
        unanswered: whether it was said that some rows get no finite score.
        breached: breakers that were said under this plan.
    """

    arm: Arm
    opened: OpenArm | None = None
    state: State = "failed"
    seconds_per_row: float = 0.0
    retry_at: float = 0.0
    failures: int = 0
    unanswered: bool = False
    breached: set[str] = field(default_factory=set)

    @property
    def cost(self) -> Cost:
        """What shedding weighs."""
        return Cost(self.arm.place, self.arm.arm, self.arm.priority, self.seconds_per_row)


class Dark:
    """Follows plans, and decides which models are scored. Each is on its own: what befalls one changes no other.

    Args:
        pipeline: name of the pipeline whose plans it follows.
        opener: loads models.
        shedding: decides what goes and comes back.
        news: says so on the control topic.
        figures: metrics.

    Attributes:
        plan: the plan that is played; None before the first.
        at: the next offset of each partition that was met, which is where a change takes effect.
    """

    def __init__(
        self, pipeline: str, opener: Opener, shedding: Shedding, news: ControlEvents, figures: ShadowMetrics
    ) -> None:
        self.plan: Plan | None = None
        self.at: dict[int, int] = {}
        self._pipeline = pipeline
        self._opener = opener
        self._shedding = shedding
        self._news = news
        self._figures = figures
        self._models: list[ShadowModel] = []
        self._champion: OpenArm | None = None

    @property
    def playing(self) -> list[ShadowModel]:
        """The models to score, those that are kept longest first."""
        return self._in("playing")

    @property
    def version(self) -> int:
        """Of the plan that is played; 0 before the first."""
        return self.plan.version if self.plan else 0

    def learn(self, facts: Batch, now: float) -> None:
        """Take up the newest plan; a model that was shed and stays in the plan stays shed."""
        plan, faults = latest(facts.columns, self._pipeline, self.version)
        for fault in faults:
            _log.warning("plan refused", reason=fault.reason, detail=fault.detail)
            self._figures.plan_failures.labels(fault.reason).inc()
        if plan is None:
            return
        before = {(model.arm.place, model.arm.digest): model for model in self._models}
        if self.plan is None or plan.champion.digest != self.plan.champion.digest:
            self._champion = None
        self.plan = plan
        self._models = []
        for arm in plan.dark:
            model = ShadowModel(arm)
            taken = any(arm.place == other.arm.place for other in self._models)
            self._models.append(model)
            if taken:
                self._fail(model, f"plan {plan.version} names {arm.place} twice; the first is played", now, again=False)
                continue
            self._open(model, now)
            former = before.get((arm.place, arm.digest))
            if model.opened and former and former.opened:
                model.state, model.seconds_per_row = former.state, former.seconds_per_row
        opened = [model.opened for model in self._models if model.opened]
        self._opener.keep([*opened, self._champion] if self._champion else opened)
        self._figures.plan.set(plan.version)
        self._count()
        _log.info("plan taken up", plan=plan.version, models={m.arm.place: m.state for m in self._models})

    def retry(self, now: float) -> None:
        """Try failed models again that are due."""
        for model in self._models:
            if model.state == "failed" and model.retry_at <= now:
                self._open(model, now)
                if model.opened:
                    self._say(model, now, ModelRecovered)
                    self._count()

    def meet(self, batch: Batch, now: float) -> None:
        """A batch is about to be scored: changes hold from its first rows on; new partitions are told what lacks."""
        begun = {partition: int(batch.offset[rows.start]) for partition, rows in batch.runs()}
        fresh = {partition: offset for partition, offset in begun.items() if partition not in self.at}
        self.at |= begun
        for model in self._models if fresh else ():
            if model.state != "playing":
                why = "assigned while the model is out"
                kind = ModelShed if model.state == "shed" else ModelFailed
                self._news.say(self._found(model, fresh, kind, problem=why), model.arm.place, now)

    def passed(self, batch: Batch) -> None:
        """A batch was scored."""
        self.at |= {partition: int(batch.offset[rows.stop - 1]) + 1 for partition, rows in batch.runs()}

    def scored(self, model: ShadowModel, rows: int, answered: int, seconds: float, now: float) -> None:
        """A model took so many seconds for so many rows, of which some were answered with a finite score."""
        share = rows / (rows + STEADY_ROWS)
        model.seconds_per_row += share * (seconds / rows - model.seconds_per_row)
        place = model.arm.place
        self._figures.scored.labels(place).inc(answered)
        self._figures.row_seconds.labels(place).set(model.seconds_per_row)
        if answered == rows:
            return
        self._figures.unanswered.labels(place).inc(rows - answered)
        if not model.unanswered:
            model.unanswered = True
            self._say(model, now, ModelUnanswered, rows=rows - answered)

    def fail(self, model: ShadowModel, problem: str, now: float) -> None:
        """A model does not run: leave it out, and try again later."""
        self._fail(model, problem, now)
        self._count()

    def champion(self) -> OpenArm | None:
        """Who is asked whether a row has a score at all, opened when it is first asked; None where it cannot be had."""
        if self._champion is None and self.plan is not None:
            try:
                self._champion = self._opener.open(self.plan.champion)
            except (ContractError, Transient, ConfigurationError) as error:
                _log.warning("champion not opened", model=self.plan.champion.title, problem=str(error))
        return self._champion

    def breach(self, model: ShadowModel, breaker: str, detail: str, rows: Batch, now: float) -> None:
        """A model broke at rows that the champion scores: say so, once for a plan and breaker."""
        if breaker in model.breached:
            return
        model.breached.add(breaker)
        say_breach(self._news, model.arm, self.version, breaker, detail, rows, now)

    def turn(self, load: Load, now: float) -> None:
        """Shed, or take back, as a window demands."""
        self._figures.lag.set(load.lag)
        out = self._in("shed")
        verdict = self._shedding.turn(now, load, [m.cost for m in self.playing], [m.cost for m in out])
        evidence = {"lag_s": load.lag, "bound_s": float(self._shedding.bound)}
        for place in verdict.shed:
            model = self._named(place, "playing")
            model.state = "shed"
            self._figures.sheds.labels(place).inc()
            self._say(model, now, ModelShed, **evidence)
        for place in verdict.restored:
            model = self._named(place, "shed")
            model.state = "playing"
            self._figures.restores.labels(place).inc()
            self._say(model, now, ModelRestored, **evidence)
        if verdict.shed or verdict.restored:
            self._count()

    def news(self) -> tuple[Emit, ...]:
        """What is to be said of all this."""
        return self._news.emit()

    def drop(self, partition: int) -> None:
        """A partition is another member's now."""
        self.at.pop(partition, None)

    def _open(self, model: ShadowModel, now: float) -> None:
        try:
            model.opened = self._opener.open(model.arm)
        except (ContractError, Transient, ConfigurationError) as error:
            self._fail(model, str(error), now)
            return
        model.state, model.seconds_per_row = "playing", model.opened.seconds_per_row

    def _fail(self, model: ShadowModel, problem: str, now: float, again: bool = True) -> None:
        first = model.state == "playing" or not model.failures
        model.state, model.opened = "failed", None
        wait = min(RETRY_AFTER * 2**model.failures, RETRY_LONGEST)
        model.retry_at = now + wait if again else float("inf")
        model.failures += 1
        self._figures.failures.labels(model.arm.place).inc()
        if first:
            self._say(model, now, ModelFailed, problem=problem)

    def _say(self, model: ShadowModel, now: float, kind: type[DarkModelFinding], **evidence: str | float) -> None:
        self._news.say(self._found(model, self.at, kind, **evidence), model.arm.place, now)
        _log.info(kind.type, model=model.arm.place, plan=self.version, **evidence)

    def _found(
        self, model: ShadowModel, offsets: Mapping[int, int], kind: type[DarkModelFinding], **evidence: Any
    ) -> DarkModelFinding:
        arm = model.arm
        return kind(arm.title, arm.arm, arm.digest, self.version, self._news.member, dict(offsets), **evidence)

    def _named(self, place: str, state: State) -> ShadowModel:
        return next(model for model in self._models if model.arm.place == place and model.state == state)

    def _in(self, state: State) -> list[ShadowModel]:
        found: Iterable[ShadowModel] = (model for model in self._models if model.state == state)
        return sorted(found, key=lambda model: kept_first(model.cost))

    def _count(self) -> None:
        for state in ("playing", "shed", "failed"):
            self._figures.models.labels(state).set(len(self._in(state)))
