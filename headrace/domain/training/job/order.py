"""What a training is asked for, and what comes of it: values that travel as JSON."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import ConfigDict, TypeAdapter, ValidationError

from headrace.domain.models.card import TriedWindow
from headrace.errors import ConfigurationError

Offsets = Mapping[int, tuple[int, int]]
"""Partition -> [from, to)."""
Kind = Literal["all", "since", "sliding", "growing", "continued"]
STRICT = ConfigDict(extra="forbid")


@dataclass(frozen=True, slots=True, kw_only=True)
class JobLimits:
    """What the process of a training may take.

    Attributes:
        memory: bytes of data (heap, stacks, what libraries allocate); None: no limit.
        cpu_s: seconds of processors, all threads together; None: no limit.
        wall_s: seconds on the clock; None: no limit.
        threads: of the libraries that train; the model is the same with any number.
    """

    __pydantic_config__ = STRICT

    memory: int | None = 4 << 30
    cpu_s: float | None = 3_600
    wall_s: float | None = 3_600
    threads: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowCandidate:
    """A window of event time that a model may be fitted on. All end where the rows of the back-test begin.

    Attributes:
        kind: `all` rows that the order names; `since` a time, such as where a drift began; the last `sliding` stretch;
            all of them, `growing`, older ones counting less; a model `continued` by rows since a time.
        name: by which results tell it; unique in an order.
        start: of `since` and `continued`, event time in milliseconds; the latter begins behind its base's newest row at
            the earliest, and there where none is given: no row is learnt twice.
        length: of `sliding`, milliseconds back from the newest row.
        half_life: of `growing`, milliseconds after which a row counts half.
        base_name, base_version, base_digest: of `continued`, the package in the model store to go on from; its name is
            the pipeline's model's where it is not given.
        trees: of `continued`, how many are grown on top; None takes a quarter of what is ordered.
    """

    __pydantic_config__ = STRICT

    kind: Kind
    name: str
    start: int | None = None
    length: int | None = None
    half_life: int | None = None
    base_name: str | None = None
    base_version: str | None = None
    base_digest: str | None = None
    trees: int | None = None

    def __post_init__(self) -> None:
        needed = {
            "since": ("start",), "sliding": ("length",), "growing": ("half_life",),
            "continued": ("base_version", "base_digest"),
        }.get(self.kind, ())  # fmt: skip  # a table
        for one in needed:
            if getattr(self, one) is None:
                raise ValueError(f"window {self.name}: {self.kind} needs {one}")
        if min(self.length or 1, self.half_life or 1, self.trees or 1) < 1:
            raise ValueError(f"window {self.name}: lengths, half-lives and trees are 1 or more")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingOrder:
    """A training, whole: the same order, once `fixed`, gives the same package, wherever and whenever it is carried out.

    Attributes:
        pipeline: a pipeline file, or the name of a built-in one.
        version: of the package that is made.
        offsets: of the outcomes topic, by partition; None: all that are there when the job begins. `fixed` says which.
        exchange_partitions: over how many partitions the exchange spreads events, by which it is told how far labels
            are known; None: as many as it has when the job begins.
        start, stop: event times [start, stop) in milliseconds; None leaves an end open.
        as_of: milliseconds, the moment whose knowledge of labels counts; None: the newest that the outcomes allow.
        trainer: None: the pipeline's `retrain.trainer`.
        parameters, trees, seed: see `trainer.Choice`.
        holdout: share of the time, at its end, by which models are judged and none is fitted on; of the sliding window
            where there is one among several.
        windows: candidates, of which the best by back-test goes on; without any, one of all rows.
        revision: of the code, for the package; None: that of the code which trains.
        limits: of the process.
    """

    __pydantic_config__ = STRICT

    pipeline: str
    version: str
    offsets: Offsets | None = None
    exchange_partitions: int | None = None
    start: int | None = None
    stop: int | None = None
    as_of: int | None = None
    trainer: str | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    trees: int | None = None
    seed: int = 0
    holdout: float = 0.25
    windows: tuple[WindowCandidate, ...] = ()
    revision: str | None = None
    limits: JobLimits = field(default_factory=JobLimits)

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", self.version):
            raise ValueError(f"{self.version!r} is no version: letters, digits, '.', '_' and '-', 100 at most")
        names = [window.name for window in self.windows]
        if len(set(names)) < len(names):
            raise ValueError(f"windows are named twice: {', '.join(names)}")
        if len(self.windows) > 1 and not self.holdout:
            raise ValueError("several windows are compared by rows held out; give a holdout above 0")

    @property
    def fixed(self) -> bool:
        """Whether it names what is read, so that it always means the same."""
        return self.offsets is not None and self.exchange_partitions is not None

    def dump(self) -> str:
        """As JSON."""
        return _ORDERS.dump_json(self).decode()


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingResult:
    """A package that is in the model store.

    Attributes:
        order: as it was fixed.
        model, version, digest, uri: of the package.
        trainer: that fitted it.
        chosen: the window it is of.
        windows: all that were tried, as the model card tells them.
        metrics: on the rows held out.
        start, end: event times of the rows that were fitted, milliseconds.
        rows, positives: of them.
        as_of: milliseconds, whose knowledge of labels counted.
        cpu_s, wall_s: seconds that it took.
        peak_memory: the most bytes that were in memory at once.
    """

    order: TrainingOrder
    model: str
    version: str
    digest: str
    uri: str
    trainer: str
    chosen: str
    windows: tuple[TriedWindow, ...]
    metrics: Mapping[str, float]
    start: int
    end: int
    rows: int
    positives: int
    as_of: int
    cpu_s: float = 0.0
    wall_s: float = 0.0
    peak_memory: int = 0

    def dump(self) -> str:
        """As JSON."""
        return _RESULTS.dump_json(self).decode()


FailureKind = Literal[
    "refused", "contract", "unready", "memory", "cpu", "time", "killed", "crashed"
]  # fmt: skip  # one line


PASSING: tuple[FailureKind, ...] = ("unready", "killed")
"""Failures of which another try with the same order may know nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingFailure:
    """Why there is no package.

    Attributes:
        kind: `refused`: what was ordered cannot be; `contract`: topics, schemas or packages are not what was agreed;
            `unready`: Kafka or the model store did not answer; `memory`, `cpu`, `time`: a limit; `killed`: by
            somebody; `crashed`: a defect, of ours or of a trainer.
        reason: for people, with the remedy.
    """

    kind: FailureKind
    reason: str

    @property
    def passing(self) -> bool:
        """Whether the same order may go well another time, with nothing changed."""
        return self.kind in PASSING

    def dump(self) -> str:
        """As JSON."""
        return _FAILURES.dump_json(self).decode()


Stage = Literal["fix", "read", "fit", "pack", "admit", "store", "open", "score", "gates"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingProgress:
    """What a job is at: of a stage, how much is done; `of`: how much there is, where that is known."""

    stage: Stage
    detail: str = ""
    done: int = 0
    of: int | None = None


_ORDERS = TypeAdapter(TrainingOrder)
_RESULTS = TypeAdapter(TrainingResult)
_FAILURES = TypeAdapter(TrainingFailure)


def parse_order(text: str | bytes) -> TrainingOrder:
    """An order from JSON; ConfigurationError says what is wrong with it."""
    try:
        return _ORDERS.validate_json(text)
    except ValidationError as error:
        faults = error.errors(include_url=False, include_input=False, include_context=False)
        told = "; ".join(f"{'.'.join(map(str, fault['loc'])) or 'it'}: {fault['msg']}" for fault in faults[:5])
        raise ConfigurationError(f"the training order: {told}") from None


def parse_result(text: str | bytes) -> TrainingResult:
    """A result as `dump` wrote it."""
    return _RESULTS.validate_json(text)
