"""What an evaluation is asked for, and what comes of it: values that travel as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pydantic import ConfigDict, TypeAdapter, ValidationError

from headrace.domain.plans.plans import Arm
from headrace.domain.release.inputs import GateAnswer
from headrace.domain.training.job.order import JobLimits, Offsets
from headrace.errors import ConfigurationError

STRICT = ConfigDict(extra="forbid")


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationOrder:
    """An evaluation, whole: the same order, once `fixed`, finds the same figures, but for what scoring costs.

    Attributes:
        pipeline: a pipeline file, or the name of a built-in one.
        candidate: the package, as an arm of no plan.
        champion: whom it is held against; None: the newest plan's when the job begins.
        offsets, exchange_partitions, start, stop, as_of: of the outcomes, as in a `TrainingOrder`.
        limits: of the process.
        look: how often outcomes were looked at for this registration, with this time.
    """

    __pydantic_config__ = STRICT

    pipeline: str
    candidate: Arm
    champion: Arm | None = None
    offsets: Offsets | None = None
    exchange_partitions: int | None = None
    start: int | None = None
    stop: int | None = None
    as_of: int | None = None
    limits: JobLimits = field(default_factory=JobLimits)
    look: int = 1

    def dump(self) -> str:
        """As JSON."""
        return _ORDERS.dump_json(self).decode()


@dataclass(frozen=True, slots=True, kw_only=True)
class FigurePair:
    """A figure of both models on the same events; `low` to `high`: where candidate less champion lies, at 95%."""

    champion: float
    candidate: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationResult:
    """What was found, and what gates say to it.

    Attributes:
        order: as it was fixed.
        gates: an answer to each that the pipeline file asks for.
        outcomes: labelled events that both scored.
        known: labelled events left out since one of the two was fitted on them.
        unanswered: labelled events that the candidate gave no finite score.
        start, end: event times of the first and the last of them, milliseconds; None without any.
        figures: by name.
        latency: milliseconds of a row scored alone, 99th percentile; None without rows.
        memory: bytes that the process had more of once the candidate was open.
        agreement: see `gates.top_agreement`.
        as_of: up to when labels were known, milliseconds; None where the package could not be opened.
        cpu_s, wall_s: seconds that it took.
    """

    order: EvaluationOrder
    gates: tuple[GateAnswer, ...]
    outcomes: int
    known: int
    unanswered: int
    start: int | None
    end: int | None
    figures: Mapping[str, FigurePair]
    latency: float | None
    memory: int
    agreement: float | None
    as_of: int | None = None
    cpu_s: float = 0.0
    wall_s: float = 0.0

    @property
    def standing(self) -> str:
        """`failed` where any gate is, else `unknown` where any is, else `passed`."""
        found = {gate.standing for gate in self.gates}
        return next((each for each in ("failed", "unknown") if each in found), "passed")

    def dump(self) -> str:
        """As JSON."""
        return _RESULTS.dump_json(self).decode()


def parse_evaluation_order(data: bytes) -> EvaluationOrder:
    """An order as `dump` wrote it. Raises ConfigurationError that says what is wrong."""
    try:
        return _ORDERS.validate_json(data)
    except ValidationError as error:
        fault = error.errors()[0]
        place = ".".join(map(str, fault["loc"]))
        raise ConfigurationError(f"the evaluation order is not one: {place or 'all of it'}: {fault['msg']}") from error


def parse_evaluation_result(data: bytes | str) -> EvaluationResult:
    """A result as `dump` wrote it; raises ValueError where it is none."""
    return _RESULTS.validate_json(data)


_ORDERS = TypeAdapter(EvaluationOrder)
_RESULTS = TypeAdapter(EvaluationResult)
