"""Control events: what was decided or found, typed by kind, as records of the control topic.

A kind is a dataclass whose fields travel as the record's evidence, a map of texts: a text as it is, a whole number in
digits, a fraction with three decimals, offsets of partitions as JSON; None is left out. What a record lacks has the
field's default, so that a kind may gain fields. To add a kind is to add its class to `KINDS`.

What a member of `shadow` says of its dark models:

| type | said when |
|---|---|
| `model_shed` | a model is left out to catch up, or a partition comes while it is out |
| `model_restored` | it is scored again |
| `model_failed` | it does not load or does not run; a partition comes while it is out |
| `model_recovered` | it does after all |
| `model_unanswered` | its first rows without a finite score under a plan |

What `drift` finds:

| type | said when |
|---|---|
| `drift_opened` | the evidence of a change reached the threshold, and no incident was open |
| `drift_grew` | so it did for further columns while one was |
| `drift_closed` | all columns of an incident are as before, or its models answer no more |
| `drift_harmed` | a model is proved worse than its reference by more than is tolerated since an incident opened |
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from headrace.errors import InvalidRecord
from headrace.streaming.records.batch import Emit

NO_PARTITION = -1
"""The source of events that are the member's own: they stay when any of its partitions goes."""
Offsets = Mapping[int, int]
"""By partition, the first offset from which something holds."""


@dataclass(frozen=True, slots=True)
class ControlFinding:
    """What an event tells; its kind is its class."""

    type: ClassVar[str] = ""


@dataclass(frozen=True, slots=True)
class DarkModelFinding(ControlFinding):
    """What is found of a dark model.

    Attributes:
        model: its title, `name@version`.
        arm: `challenger` or `shadow`.
        digest: the identity of its package.
        plan_version: of the plan that names it.
        member: who says so.
        offsets: of the features topic, from where on. A gap that began there ends at the offset of the next restored
            or recovered event for the partition, or where another member, or a new life of this one, takes over.
    """

    model: str = ""
    arm: str = ""
    digest: str = ""
    plan_version: int = 0
    member: str = ""
    offsets: Offsets = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ModelShed(DarkModelFinding):
    """It is left out: `lag_s` behind, beyond `bound_s`; or it was, when a partition came (`problem`)."""

    type: ClassVar[str] = "model_shed"

    lag_s: float | None = None
    bound_s: float | None = None
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class ModelRestored(DarkModelFinding):
    """It is scored again, `lag_s` behind."""

    type: ClassVar[str] = "model_restored"

    lag_s: float | None = None
    bound_s: float | None = None


@dataclass(frozen=True, slots=True)
class ModelFailed(DarkModelFinding):
    """It does not load, or does not run."""

    type: ClassVar[str] = "model_failed"

    problem: str = ""


@dataclass(frozen=True, slots=True)
class ModelRecovered(DarkModelFinding):
    """It loads after all."""

    type: ClassVar[str] = "model_recovered"


@dataclass(frozen=True, slots=True)
class ModelUnanswered(DarkModelFinding):
    """Its first `rows` without a finite score under a plan."""

    type: ClassVar[str] = "model_unanswered"

    rows: int = 0


@dataclass(frozen=True, slots=True)
class DriftFinding(ControlFinding):
    """What is found of an incident.

    Attributes:
        incident: its identity.
        stream: logical topic whose rows tell of it: of predictions what models read and answer, of shadow-predictions
            what dark ones do, of outcomes how wrong they are, of dead-letters what is refused.
        reached: event time of it, milliseconds.
        began: event time at which it began, as far as the events that are remembered say; None: they do not.
        model: `name@version`; of the end, all of them; of refused records their topic and the reason.
        digest: the identity of its package; of the end, and of refused records, nothing.
        columns: JSON, a list of those that changed, or that are as before: of each its name, and of a change its share
            of the evidence, what won most, when it began, and the shares of its bins before and since.
    """

    incident: str = ""
    stream: str = ""
    reached: int = 0
    began: int | None = None
    model: str = ""
    digest: str = ""
    columns: str = "[]"


@dataclass(frozen=True, slots=True)
class DriftOpened(DriftFinding):
    """An incident began: `evidence` is over its threshold, 1."""

    type: ClassVar[str] = "drift_opened"

    evidence: float = 0.0


@dataclass(frozen=True, slots=True)
class DriftGrew(DriftFinding):
    """Further columns changed."""

    type: ClassVar[str] = "drift_grew"

    evidence: float = 0.0


@dataclass(frozen=True, slots=True)
class DriftClosed(DriftFinding):
    """It is over, `because` of what."""

    type: ClassVar[str] = "drift_closed"

    because: str = ""


@dataclass(frozen=True, slots=True)
class DriftHarmed(DriftFinding):
    """Since it opened, a model lost more than its reference and what is tolerated; once for each incident and basis.

    Attributes:
        basis: `labels`: by outcomes; `estimate`: by what its scores let expect, before labels come.
        evidence: over its threshold, 1.
        worse: mean loss over that of the reference.
        tolerated: the same of what is held to be no harm, with the bound for what the reference does not know.
        rows: outcomes, or predictions, since then.
        kind: `concept`, where the same scores stand for other chances than they did; `covariate`, where enough outcomes
            say that they do not; `unknown` before that.
    """

    type: ClassVar[str] = "drift_harmed"

    basis: str = ""
    evidence: float = 0.0
    worse: float = 0.0
    tolerated: float = 0.0
    rows: int = 0
    kind: str = ""


DARK_KINDS: Mapping[str, type[DarkModelFinding]] = {
    kind.type: kind for kind in (ModelShed, ModelRestored, ModelFailed, ModelRecovered, ModelUnanswered)
}
DRIFT_KINDS: Mapping[str, type[DriftFinding]] = {
    kind.type: kind for kind in (DriftOpened, DriftGrew, DriftClosed, DriftHarmed)
}
KINDS: Mapping[str, type[ControlFinding]] = {**DARK_KINDS, **DRIFT_KINDS}
"""Every kind by the name that its records have."""


@dataclass(frozen=True, slots=True)
class ControlEvent:
    """A record of the control topic.

    Attributes:
        event_id: its identity; handlers are idempotent by it.
        time: milliseconds since the epoch.
        actor: who decided or found it: a person or a service.
        cause: identity of the event that led to this one.
    """

    event_id: str
    pipeline: str
    time: int
    actor: str
    finding: ControlFinding
    cause: str | None = None

    def row(self) -> dict[str, Any]:
        """As the topic's schema has it."""
        return {
            "event_id": self.event_id,
            "pipeline": self.pipeline,
            "type": self.finding.type,
            "time": self.time,
            "actor": self.actor,
            "cause": self.cause,
            "evidence": [*evidence_of(self.finding).items()],
        }


def evidence_of(finding: ControlFinding) -> dict[str, str]:
    """The fields of a finding as texts, in their order.

    >>> found = evidence_of(ModelRestored("m@2", "shadow", offsets={3: 7}, lag_s=1 / 3))
    >>> found["model"], found["offsets"], found["lag_s"], "bound_s" in found
    ('m@2', '{"3": 7}', '0.333', False)
    """
    given = ((each.name, getattr(finding, each.name)) for each in fields(finding))
    return {name: _text(value) for name, value in given if value is not None}


def _text(value: str | float | Offsets) -> str:
    if isinstance(value, Mapping):
        return json.dumps({str(partition): offset for partition, offset in sorted(value.items())})
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def read_event(row: Mapping[str, Any]) -> ControlEvent | None:
    """The event in a record of the topic; None for a kind that is not among ours.

    Args:
        row: by field; `time` in milliseconds, or as a time.

    Raises:
        InvalidRecord: its evidence is not what its kind has.
    """
    kind = KINDS.get(row["type"])
    if kind is None:
        return None
    said = dict(row["evidence"])
    try:
        known = {each.name: _value(each.type, said[each.name]) for each in fields(kind) if each.name in said}
    except (ValueError, AttributeError) as error:
        raise InvalidRecord("malformed", f"{row['type']}: {error}") from None
    time = row["time"]
    return ControlEvent(
        row.get("event_id", ""),
        row.get("pipeline", ""),
        int(time.timestamp() * 1000) if isinstance(time, datetime) else int(time),
        row.get("actor", ""),
        kind(**known),
        row.get("cause"),
    )


def _value(annotation: Any, text: str) -> Any:
    """A field's value, by its annotation."""
    if annotation == "Offsets":
        return {int(partition): int(offset) for partition, offset in json.loads(text).items()}
    if annotation.startswith("float"):
        return float(text)
    return int(text) if annotation.startswith("int") else text


class ControlEvents:
    """Gathers what a member has to say until it is emitted.

    Args:
        pipeline: name of it.
        actor, member: who speaks: a service, and which of its members.
        schema: of the control topic's columns.
    """

    def __init__(self, pipeline: str, actor: str, member: str, schema: pa.Schema) -> None:
        self.member = member
        self._pipeline = pipeline
        self._actor = actor
        self._schema = schema
        self._rows: list[dict[str, Any]] = []
        self._said = 0

    def say(self, finding: ControlFinding, about: str, now: float) -> None:
        """Keep an event for the next `emit`; `about` names what it is of, in the event's identity."""
        self._said += 1
        time = int(now * 1000)
        identity = f"{self._actor}/{self.member}/{finding.type}/{about}/{time}/{self._said}"
        self._rows.append(ControlEvent(identity, self._pipeline, time, self._actor, finding).row())

    def emit(self) -> tuple[Emit, ...]:
        """What was said since the last call."""
        rows, self._rows = self._rows, []
        return emits_of(rows, self._schema, NO_PARTITION)


def emits_of(rows: Sequence[Mapping[str, Any]], schema: pa.Schema, source: int) -> tuple[Emit, ...]:
    """Rows of events as records of the control topic that follow one partition of an input; nothing of none."""
    if not rows:
        return ()
    columns = pa.RecordBatch.from_pylist(rows, schema=schema)
    return (Emit("control", columns, columns["pipeline"], np.full(len(rows), source, np.int32)),)
