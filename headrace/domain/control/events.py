"""Control events as records of the control topic.

A kind is a dataclass whose fields travel as the record's evidence, a map of texts: a text as it is, a whole number in
digits, a fraction with three decimals, offsets of partitions as JSON; None is left out. What a record lacks has the
field's default, so that a kind may gain fields.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa

from headrace.domain.control.base import ControlFinding, Offsets
from headrace.domain.control.kinds import KINDS
from headrace.errors import InvalidRecord
from headrace.streaming.records.batch import Emit

NO_PARTITION = -1
"""The source of events that are the member's own: they stay when any of its partitions goes."""


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

    >>> from headrace.domain.control.dark_models import ModelRestored
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
