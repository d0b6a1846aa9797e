"""Why a dark model said nothing of an event: shadow tells the control topic whom it leaves out, from where on."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from headrace.domain.plans.plan_log import PlanFact
from headrace.domain.plans.plans import Arm
from headrace.operations.history.search import TracedRecord

BEGIN = {"model_shed": "was shed", "model_failed": "failed", "model_unanswered": "gave no finite score"}
"""Types of control events with which a gap begins, in words."""
END = ("model_restored", "model_recovered")
NEWS = (*BEGIN, *END)


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


def gap(news: Sequence[TracedRecord], arm: Arm, partition: int, offset: int) -> dict[str, Any] | None:
    """The event with which the gap began that an offset of the features topic lies in; None when it lies in none.

    Args:
        news: events of the control topic of the types `NEWS`, in its order.
        arm: the dark model.
        partition, offset: place of the event's features.
    """
    held: dict[str, Any] | None = None
    for row in (found.row for found in news):
        evidence = dict(row["evidence"])
        first = json.loads(evidence.get("offsets", "{}")).get(str(partition), offset + 1)
        if (evidence.get("arm"), evidence.get("digest")) == (arm.arm, arm.digest) and first <= offset:
            held = row
    return held if held is not None and held["type"] in BEGIN else None


def because(event: dict[str, Any] | None) -> str:
    """What began a gap, in words."""
    if event is None:
        return "shadow is behind, or did not run"
    evidence = dict(event["evidence"])
    told = evidence.get("problem") or (f"{evidence['lag_s']} s behind" if "lag_s" in evidence else "")
    return f"it {BEGIN[event['type']]} at {event['time']:%Y-%m-%d %H:%M:%S}" + (f": {told}" if told else "")
