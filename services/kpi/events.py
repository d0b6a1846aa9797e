"""What is told of rules, as records of the topics `control` and `kpis`: the same for the same parts."""

from __future__ import annotations

import json
from typing import Any

from headrace.domain.control.events import ControlEvent
from headrace.domain.control.kpi import KpiBreached, KpiFinding, KpiRecovered, KpiUnknown
from headrace.domain.kpi.decisions import BREACHED, RECOVERED, KpiDecision, RuleState
from headrace.domain.pipeline.kpi.spec import SCORECARD

KPIS = "kpis"
"""The topic of how rules stand."""


def event_of(pipeline: str, told: KpiDecision) -> ControlEvent:
    """A decision as a control event, whose identity follows from it."""
    about = f"kpi/{pipeline}/{told.rule.name}/{told.number}@{told.began}/{told.was}"
    identity = f"{about}/over" if told.kind == RECOVERED else about
    return ControlEvent(identity, pipeline, told.at, "kpi", _finding(told), about if told.kind == RECOVERED else None)


def _finding(told: KpiDecision) -> KpiFinding:
    rule, point = told.rule, told.reading.point
    said = KpiFinding(
        rule=rule.name,
        source=rule.source,
        figure=rule.subject,
        condition=rule.condition,
        held=rule.held,
        value="" if point is None else f"{point.value:.6g}",
        at=0 if point is None else point.at,
        since=told.reading.since,
        rows=0 if point is None else point.rows,
        model="" if point is None else point.model,
        digest="" if point is None else point.digest,
        arm=rule.arm if rule.source == SCORECARD else "",
        severity=rule.severity,
        tell=json.dumps(list(rule.tell)),
        because=told.because,
        number=told.number,
    )
    shared = {name: getattr(said, name) for name in KpiFinding.__dataclass_fields__ if name != "type"}
    if told.kind == BREACHED:
        return KpiBreached(**shared, retrain=int(rule.retrain))
    return KpiRecovered(**shared, was=told.was) if told.kind == RECOVERED else KpiUnknown(**shared)


def standing_row(pipeline: str, state: RuleState, now: int) -> dict[str, Any]:
    """How a rule stands, as the topic's schema has it; `now`: milliseconds by the clock."""
    rule, reading, point = state.rule, state.reading, state.reading.point
    return {
        "pipeline": pipeline,
        "rule": rule.name,
        "time": now,
        "state": state.state,
        "since": state.since,
        "source": rule.source,
        "figure": rule.subject,
        "value": None if point is None else point.value,
        "at": None if point is None else point.at,
        "rows": 0 if point is None else point.rows,
        "model": "" if point is None else point.model,
        "condition": rule.condition,
        "held": rule.held,
        "beyond_since": reading.since,
        "unknown": reading.unknown,
        "unknown_since": state.unknown_since,
        "severity": rule.severity,
        "tell": list(rule.tell),
        "breaches": state.breaches,
    }
