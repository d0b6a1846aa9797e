"""One event's story as values: what happened, why, and what is not there.

Times are texts: `timestamp` and those of plans and training as people read them, UTC; times of records in ISO 8601.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Placed:
    """What one record says.

    Attributes:
        place: `topic[partition]@offset`.
        timestamp: Kafka's.
    """

    place: str
    timestamp: str


@dataclass(frozen=True, slots=True)
class PublishedEvent(Placed):
    """The event as it was written; `trace_id` is that of its traceparent header."""

    fields: Mapping[str, object]
    headers: Mapping[str, str]
    trace_id: str | None


@dataclass(frozen=True, slots=True)
class Refusal(Placed):
    """A dead letter; `refused` is the place of the record that it holds."""

    refused: str
    reason: str
    detail: str
    service: str
    code_version: str
    time: str


@dataclass(frozen=True, slots=True)
class ViewFeatures:
    """Features of one view, by name; `age_ms` is None where the view tells no age."""

    values: Mapping[str, object]
    age_ms: int | None


@dataclass(frozen=True, slots=True)
class ForeignViewFeatures(ViewFeatures):
    """Features of a view of another entity, which lags by `delayed_ms` on purpose."""

    delayed_ms: int


@dataclass(frozen=True, slots=True)
class EventFeatures(Placed):
    """An event's features by view.

    `pipeline_revision` answered it; None where the pipeline file is no revision yet.
    """

    entity: str
    event_time: str
    ingest_time: str
    views: Mapping[str, ViewFeatures]
    pipeline_revision: int | None


@dataclass(frozen=True, slots=True)
class PlanOrigin:
    """Who made a plan, when and why."""

    time: str
    actor: str
    reason: str


@dataclass(frozen=True, slots=True)
class ModelOrigin:
    """What a package says of how it came about; None where it does not say.

    Attributes:
        model: `name@version`.
        rows: it was trained on; 0 where nothing is known of them.
        offsets: by topic and partition, the half-open range that was read.
    """

    digest: str
    model: str
    trained_from: str | None
    trained_to: str | None
    rows: int
    trainer: object
    revision: str | None
    offsets: Mapping[str, Mapping[int, tuple[int, int]]]


@dataclass(frozen=True, slots=True)
class LostModel:
    """A model whose package cannot be read, and why."""

    digest: str
    problem: str


@dataclass(frozen=True, slots=True)
class Answer(Placed):
    """A prediction.

    Attributes:
        asked: whether it is the one that was asked for.
        threshold: that its decision followed; None where nobody knows any more.
        latency_ms: from the event's arrival to the score.
        compute_ms: of it, the model's.
        plan: the plan that it was made by; None where that is not on its topic any more.
        lineage: of the model, or of the members of an ensemble.
        class_, scores: of several classes the one decided on, and the probability of each, by its name as a field.
    """

    prediction_id: str
    arm: str
    plan_version: int
    score: float | None
    decision: bool | None
    predicted_time: str
    asked: bool
    model: str
    digest: str
    threshold: float | None
    latency_ms: int
    compute_ms: float | None
    plan: PlanOrigin | None
    lineage: Sequence[ModelOrigin | LostModel]
    class_: str | None = None
    scores: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ForgottenChoice:
    """The arm that answered, by a plan that nobody has any more."""

    arm: str
    because: str


@dataclass(frozen=True, slots=True)
class ArmChoice:
    """Why an arm answered: `place` of the entity under the plan's salt, 0 to 1, against the canary's `share`."""

    arm: str
    entity: str
    salt: str
    place: float
    share: float
    because: str


@dataclass(frozen=True, slots=True)
class ReportedLabel(Placed):
    """What somebody said of the event; one of several classes by its name."""

    event_id: str
    value: float | str | None
    label_time: str
    source: str


@dataclass(frozen=True, slots=True)
class RevisedOutcome(Placed):
    """An outcome of one prediction; `holds` marks the newest revision."""

    model: str
    prediction_id: str
    arm: str
    revision: int
    state: str
    label: float | str | None  # Of several classes its name.
    label_time: str | None
    label_source: str | None
    reports: int
    conflicting: bool
    as_of: str
    holds: bool


@dataclass(frozen=True, slots=True)
class ModelDecision:
    """What the ledger has of a model that answered: its registration, its judgement, what people said, its release.

    Attributes:
        entry: of the ledger.
        type: kind of the control event.
        why: that people or the service gave; empty where neither did.
    """

    entry: int
    time: str
    type: str
    actor: str
    model: str
    why: str


@dataclass(frozen=True, slots=True)
class Story:
    """All that is known of an event; `notes` say in words what is not there and what is strange; `decisions`: on the
    models that answered, the oldest first.
    """

    found: bool = field(init=False, default=True)
    pipeline: str
    event_id: str
    prediction_id: str | None
    events: Sequence[PublishedEvent]
    dead_letters: Sequence[Refusal]
    features: EventFeatures | None
    predictions: Sequence[Answer]
    choice: ArmChoice | ForgottenChoice | None
    shadow_predictions: Sequence[Answer]
    labels: Sequence[ReportedLabel]
    outcomes: Sequence[RevisedOutcome]
    notes: Sequence[str] = ()
    decisions: Sequence[ModelDecision] = ()


@dataclass(frozen=True, slots=True)
class NothingFound:
    """No topic has a record about the event; `hint` says where was looked and what to try."""

    pipeline: str
    event_id: str
    found: bool = field(init=False, default=False)
    hint: str
