"""How the rules of a pipeline file stand, as `kpi` says, and what it told of them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from headrace.domain.control.kpi import KpiBreached, KpiFinding, KpiRecovered
from headrace.domain.pipeline.kpi.spec import KpiRule
from headrace.domain.pipeline.notification.spec import Notify
from headrace.domain.pipeline.spec import Pipeline
from headrace.domain.pipeline.wiring import Contracts
from headrace.operations.control_tail import events_in
from headrace.streaming.kafka.reader import ranges, read
from headrace.streaming.process.settings import Settings

FRESH = 60_000
"""Milliseconds: what was said longer ago does not say how a rule stands now."""
BREACHED, UNKNOWN = "breached", "unknown"
TIMES = ("time", "since", "at", "beyond_since", "unknown_since")


@dataclass(frozen=True, slots=True)
class RuleStanding:
    """A rule.

    Attributes:
        rule, source, figure, condition, held, severity: as the file has them.
        state: `ok`, `pending`, `breached` or `unknown`.
        since: by the clock, since when it is in that state, milliseconds; None: nobody said.
        value: the newest that is known, of so many `rows`, of a `model`; None: none is.
        at: when that was, milliseconds: the start of its window, event time of drift, the clock of others.
        beyond_since: since when it has been beyond its bounds, as `at`; None: it is not.
        unknown: why the figure is not known now, and until when; None: it is known.
        told: channels that are told.
        breaches: how many there were.
        said: when all this was said, milliseconds; None: never.
    """

    rule: str
    source: str
    figure: str
    condition: str
    held: str
    severity: str
    state: str
    since: int | None
    value: float | None
    rows: int
    model: str
    at: int | None
    beyond_since: int | None
    unknown: str | None
    told: Sequence[str]
    breaches: int
    said: int | None


@dataclass(frozen=True, slots=True)
class KpiEvent:
    """Something that was told of a rule.

    Attributes:
        event_id, time, type: of the control event; milliseconds.
        was: of a recovery, what is over.
        retrain: whether it asked for a training.
    """

    event_id: str
    time: int
    type: str
    rule: str
    figure: str
    value: str
    condition: str
    severity: str
    model: str
    because: str
    was: str
    retrain: bool
    told: Sequence[str]


def standings(settings: Settings, contracts: Contracts, now: int) -> list[RuleStanding]:
    """Each rule of the file, in its order; `now`: milliseconds since the epoch.

    Raises Transient when Kafka does not answer, ContractError when there is no such topic.
    """
    channel = contracts.channel("kpis")
    newest: dict[str, Mapping[str, Any]] = {}
    for intake in read(settings.connection, channel, ranges(settings.connection, channel.name)):
        newest |= {row["rule"]: row for row in _rows(intake.batch.columns)}
    pipeline = contracts.pipeline
    return [standing_of(pipeline, rule, newest.get(rule.name), now) for rule in pipeline.kpis.values()]


def standing_of(pipeline: Pipeline, rule: KpiRule, said: Mapping[str, Any] | None, now: int) -> RuleStanding:
    """How a rule stands; `said`: the newest record of it. What nobody says now is unknown."""
    other = None
    if said is not None and (said["figure"], said["condition"]) != (rule.subject, rule.condition):
        said, other = None, "the service kpi knows another rule of this name, until it is started with this file"
    told = told_of(pipeline, rule)
    same = rule.name, rule.source, rule.subject, rule.condition, rule.held, rule.severity
    if said is None:
        why = other or "the service kpi has said nothing of it, until it runs: headrace up"
        return RuleStanding(*same, UNKNOWN, None, None, 0, "", None, None, why, told, 0, None)
    state, unknown = said["state"], said["unknown"]
    if now - said["time"] > FRESH:
        ago = (now - said["time"]) // 1000
        unknown = f"the service kpi has said nothing for {ago:,} s, until it runs again: headrace up"
        state = state if state == BREACHED else UNKNOWN
    figures = said["since"], said["value"], said["rows"], said["model"], said["at"], said["beyond_since"]
    return RuleStanding(*same, state, *figures, unknown, told, said["breaches"], said["time"])


def told_of(pipeline: Pipeline, rule: KpiRule) -> tuple[str, ...]:
    """The channels that are told of a breach: those that the rule names, else those that want such events."""
    section = pipeline.notify or Notify()
    return rule.tell or section.wanting(KpiBreached.type, rule.severity)


def kpi_history(settings: Settings, contracts: Contracts, rule: str | None = None) -> list[KpiEvent]:
    """All that was told of rules, or of one, the oldest first.

    Raises Transient when Kafka does not answer, ContractError when there is no such topic.
    """
    channel = contracts.channel("control")
    intakes = read(settings.connection, channel, ranges(settings.connection, channel.name))
    found = []
    for event in (event for intake in intakes for event in events_in(intake.batch.columns)):
        said = event.finding
        if isinstance(said, KpiFinding) and rule in (None, said.rule):
            found.append(
                KpiEvent(
                    event.event_id, event.time, said.type, said.rule, said.figure, said.value, said.condition,
                    said.severity, said.model, said.because, said.was if isinstance(said, KpiRecovered) else "",
                    isinstance(said, KpiBreached) and bool(said.retrain), tuple(json.loads(said.tell)),
                )
            )  # fmt: skip
    return found


def _rows(columns: pa.RecordBatch) -> list[dict[str, Any]]:
    """Records with times in milliseconds."""
    for name in TIMES:
        columns = columns.set_column(columns.schema.get_field_index(name), name, columns[name].cast(pa.int64()))
    rows: list[dict[str, Any]] = columns.to_pylist()
    return rows
