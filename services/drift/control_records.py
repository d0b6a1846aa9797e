"""What becomes of incidents, as records of the control topic: the same for the same rows, whoever finds them again."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

import pyarrow as pa

from headrace.domain.control.drift import DriftClosed, DriftFinding, DriftGrew, DriftHarmed, DriftOpened
from headrace.domain.control.events import ControlEvent, emits_of
from headrace.domain.drift.alarms import Alarm, ColumnChange, ColumnStanding
from headrace.domain.drift.incidents import IncidentStep
from headrace.domain.records.watched_columns import ModelIdentity
from headrace.streaming.records.batch import Emit
from headrace.streaming.watermarks.event_time import NEVER

DIGITS = 5
"""Significant ones of shares and bounds: an event tells people, and stays below a topic's bound."""
Effects = Callable[[str, ModelIdentity, ColumnChange | ColumnStanding], float | None]


class ControlRecords:
    """Writes steps of incidents.

    Args:
        pipeline: name of it.
        schema: of the control topic's columns.
        effects: by which share of its mean the loss of a model changes with a column of a stream, None: not known.
    """

    def __init__(self, pipeline: str, schema: pa.Schema, effects: Effects) -> None:
        self._pipeline = pipeline
        self._schema = schema
        self._effects = effects

    def emit(
        self, steps: Sequence[tuple[str, ModelIdentity, IncidentStep]], now: float, source: int
    ) -> tuple[Emit, ...]:
        """One record a step, (stream, model, step); they follow the partition `source`."""
        return emits_of([self._event(*step, now).row() for step in steps], self._schema, source)

    def _event(self, stream: str, model: ModelIdentity, step: IncidentStep, now: float) -> ControlEvent:
        incident = incident_of(stream, step.number)
        finding = self._finding(stream, model, step, incident)
        identity = f"drift/{self._pipeline}/{incident}/{finding.type}/{model.digest}/{step.event}"
        cause = None if step.step == "opened" else incident
        return ControlEvent(identity, self._pipeline, int(now * 1000), "drift", finding, cause)

    def emit_harm(self, findings: Sequence[DriftHarmed], now: float, source: int) -> tuple[Emit, ...]:
        """One record of each, the same whoever finds it again."""
        events = [
            ControlEvent(
                f"drift/{self._pipeline}/{each.incident}/{each.type}/{each.digest}/{each.basis}",
                self._pipeline,
                int(now * 1000),
                "drift",
                each,
                each.incident,
            )
            for each in findings
        ]
        return emits_of([event.row() for event in events], self._schema, source)

    def _finding(self, stream: str, model: ModelIdentity, step: IncidentStep, incident: str) -> DriftFinding:
        if step.alarm is None:
            return DriftClosed(incident, stream, step.reached, None, step.model, because=step.because)
        told = incident, stream, step.reached, _began(step.alarm), model.title, model.digest
        columns = [_change(each, self._effects(stream, model, each)) for each in step.alarm.changes]
        kind = DriftOpened if step.step == "opened" else DriftGrew
        return kind(*told, json.dumps(columns), evidence=step.alarm.evidence)


def incident_of(stream: str, number: int) -> str:
    """The identity of an incident within its pipeline."""
    return f"{stream}/{number}"


def _began(alarm: Alarm) -> int | None:
    """The earliest beginning; what lies before all time is none, for the first rows of all have no time yet."""
    return min(
        (change.began.time for change in alarm.changes if change.began and change.began.time > NEVER), default=None
    )


def _change(change: ColumnChange, effect: float | None) -> dict[str, object]:
    began = change.began
    return {
        "column": change.column,
        "share": _short(change.share),
        "effect": None if effect is None else _short(effect),
        "bet": change.bet,
        "began": None if began is None or began.time == NEVER else began.time,
        "events": None if began is None else began.events,
        "earlier": began is not None and began.earlier,
        **({"levels": list(change.levels)} if change.levels else {}),
        "edges": None if change.edges is None else [_short(edge) for edge in change.edges.tolist()],
        "cyclic": change.cyclic,
        "reference": [_short(share) for share in change.reference.tolist()],
        "recent": [_short(share) for share in change.recent.tolist()],
    }


def _short(number: float) -> float:
    return float(f"{number:.{DIGITS}g}")
