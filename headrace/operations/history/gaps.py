"""Why a dark model said nothing of an event: shadow tells the control topic whom it leaves out, from where on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime

from headrace.domain.control.base import ControlFinding
from headrace.domain.control.dark_models import DarkModelFinding, ModelFailed, ModelShed, ModelUnanswered
from headrace.domain.control.events import ControlEvent, read_event
from headrace.domain.plans.plan_log import PlanFact
from headrace.domain.plans.plans import Arm
from headrace.operations.history.search import TracedRecord

BEGIN: Mapping[type[ControlFinding], str] = {
    ModelShed: "was shed",
    ModelFailed: "failed",
    ModelUnanswered: "gave no finite score",
}
"""Kinds of control events with which a gap begins, in words."""


def silent(
    facts: Sequence[PlanFact], answers: Sequence[TracedRecord], dark: Sequence[TracedRecord]
) -> Iterator[tuple[int, Arm]]:
    """Dark models of the plans that an event was answered by, with the plan's version, that have no record of it."""
    said = {(found.row["arm"], found.row["model"]["digest"]) for found in dark}
    versions = {found.row["plan_version"] for found in answers}
    for fact in facts:
        for arm in fact.plan.dark if fact.plan is not None and fact.version in versions else ():
            if (arm.arm, arm.digest) not in said:
                yield fact.version, arm


def gap(news: Sequence[TracedRecord], arm: Arm, partition: int, offset: int) -> ControlEvent | None:
    """The event with which the gap began that an offset of the features topic lies in; None when it lies in none.

    Args:
        news: events of the control topic of dark models, in its order.
        arm: the dark model.
        partition, offset: place of the event's features.
    """
    held: ControlEvent | None = None
    for event in (read_event(found.row) for found in news):
        if event is not None and isinstance(event.finding, DarkModelFinding):
            finding = event.finding
            of_it = (finding.arm, finding.digest) == (arm.arm, arm.digest)
            if of_it and finding.offsets.get(partition, offset + 1) <= offset:
                held = event
    return held if held is not None and type(held.finding) in BEGIN else None


def because(event: ControlEvent | None) -> str:
    """What began a gap, in words."""
    if event is None:
        return "shadow is behind, or did not run"
    finding = event.finding
    told = getattr(finding, "problem", None) or ""
    if not told and isinstance(finding, ModelShed) and finding.lag_s is not None:
        told = f"{finding.lag_s:.3f} s behind"
    when = datetime.fromtimestamp(event.time / 1000, UTC)
    return f"it {BEGIN[type(finding)]} at {when:%Y-%m-%d %H:%M:%S}" + (f": {told}" if told else "")
