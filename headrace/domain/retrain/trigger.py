"""What asks for a training, read from control events."""

from __future__ import annotations

from dataclasses import dataclass

from headrace.domain.control.drift import DriftFinding, DriftHarmed, DriftOpened
from headrace.domain.control.events import ControlEvent
from headrace.domain.control.kpi import KpiBreached
from headrace.domain.control.retrain import RetrainAsked

PERSON, SCORECARD, HARM = "person", "scorecard", "harm"
FINDINGS = ("drift", HARM, SCORECARD)
"""Sources that tell something of a model."""
ANSWERING = ("champion", "canary")


@dataclass(frozen=True, slots=True)
class Trigger:
    """A control event that gets an answer.

    Attributes:
        event_id: of the event.
        source: `drift`, `harm`, `scorecard`, `schedule`, `volume` or `person`.
        time: of the event, milliseconds since the epoch.
        model: of a finding, `name@version` that it is about.
        stream: of a finding, the logical topic whose rows tell of it.
        incident: of a finding, the incident.
        since: of a finding, event time from which on things are other than they were, milliseconds; None: unknown.
        reason: of a request, why; of a rule that is breached, which, and its figure.
        person: of what a person asks, who.
    """

    event_id: str
    source: str
    time: int
    model: str = ""
    stream: str = ""
    incident: str = ""
    since: int | None = None
    reason: str = ""
    person: str = ""


def trigger_of(event: ControlEvent) -> Trigger | None:
    """The trigger that an event is; None of all others."""
    finding = event.finding
    if isinstance(finding, RetrainAsked):
        person = event.actor if finding.source == PERSON else ""
        about = finding.model, finding.stream, finding.incident, finding.since
        return Trigger(event.event_id, finding.source, event.time, *about, reason=finding.reason, person=person)
    if isinstance(finding, DriftOpened):
        return _finding("drift", event, finding)
    if isinstance(finding, DriftHarmed):
        return _finding(HARM, event, finding)
    if isinstance(finding, KpiBreached) and finding.retrain:
        stream = "predictions" if finding.arm in ANSWERING else "shadow-predictions"
        reason = f"{finding.rule}: {finding.figure} is {finding.value}"
        return Trigger(event.event_id, SCORECARD, event.time, finding.model, stream, "", finding.since, reason)
    return None


def _finding(source: str, event: ControlEvent, found: DriftFinding) -> Trigger:
    since = found.reached if found.began is None else found.began
    return Trigger(event.event_id, source, event.time, found.model, found.stream, found.incident, since)
