"""What records of control and plans are to the machine of releases."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from headrace.domain.control.release import (
    ApprovalDenied,
    ApprovalGiven,
    HoldAsked,
    PromotionAsked,
    RollbackAsked,
)
from headrace.domain.plans.plans import Plan, parsed
from headrace.domain.release.inputs import (
    Asked,
    GateAnswer,
    HardBreach,
    ModelArrival,
    ModelEvaluation,
    PersonRequest,
    PlanSeen,
    ReleaseInput,
)
from headrace.domain.release.states import Candidate
from headrace.errors import InvalidRecord

Content = Mapping[str, Any]
Evidence = Mapping[str, str]
ASKED: Mapping[str, Asked] = {
    ApprovalGiven.type: "approve", ApprovalDenied.type: "deny", PromotionAsked.type: "promote",
    RollbackAsked.type: "rollback", HoldAsked.type: "hold",
}  # fmt: skip  # a row of words


def plan_in(content: Content) -> Plan | None:
    """The plan that a record of plans makes; None where it makes none."""
    try:
        return parsed(content)
    except (InvalidRecord, TypeError, KeyError):
        return None


def plan_seen(content: Content, plan: Plan, offset: int) -> PlanSeen:
    """A plan that somebody wrote."""
    return PlanSeen(f"plans@{offset}", content["time"], plan, content["actor"], content["reason"])


def event_told(content: Content) -> ReleaseInput | None:
    """A control event; None of one that nothing follows from, or that lacks what it takes."""
    reader = READERS.get(content["type"])
    try:
        return None if reader is None else reader(content, content["evidence"])
    except (KeyError, TypeError, ValueError):
        return None


def _arrival(content: Content, evidence: Evidence) -> ModelArrival:
    name, _, version = evidence["model"].rpartition("@")
    # A training that nobody asked for has none; a person who registers a package asks for it.
    asked_by = evidence.get("asked_by", "") if evidence.get("run") else content["actor"]
    candidate = Candidate(name, version, evidence["digest"], evidence["uri"], asked_by)
    return ModelArrival(content["event_id"], content["time"], candidate)


def _evaluation(content: Content, evidence: Evidence) -> ModelEvaluation:
    verdict, because = evidence.get("verdict", ""), evidence.get("because", "")
    gates = tuple(GateAnswer(**each) for each in json.loads(evidence.get("gates", "[]")))
    if not gates and verdict != "passed":
        gates = (GateAnswer(because or "evaluation", "unknown" if verdict == "unknown" else "failed"),)
    return ModelEvaluation(content["event_id"], content["time"], evidence["digest"], gates, _again(evidence))


def _again(evidence: Evidence) -> str:
    """When a package is judged again whose gates are not known."""
    if not evidence.get("again") or not evidence.get("until"):
        return ""
    outcomes, again = int(evidence.get("outcomes", 0)), int(evidence["again"])
    until = datetime.fromtimestamp(int(evidence["until"]) / 1000, UTC)
    wanted = f"at {again:,} outcomes of after its training, of which there were {outcomes:,}"
    return f"it is judged again {wanted}, if they come by {until:%Y-%m-%d %H:%M} UTC of event time"


def _request(content: Content, evidence: Evidence) -> PersonRequest:
    asked = ASKED[content["type"]]
    if asked == "hold" and evidence.get("lift") == "1":
        asked = "lift"
    return PersonRequest(
        content["event_id"],
        content["time"],
        asked,
        content["actor"],
        evidence["digest"],
        evidence.get("reason", ""),
        champion=evidence.get("to") == "champion",
        model=evidence.get("model", ""),
    )


def _breach(content: Content, evidence: Evidence) -> HardBreach:
    return HardBreach(
        content["event_id"],
        content["time"],
        evidence["digest"],
        evidence["breaker"],
        evidence.get("detail", ""),
        int(evidence.get("plan_version", 0)),
    )


READERS: Mapping[str, Callable[[Content, Evidence], ReleaseInput]] = {
    "model_registered": _arrival,
    "model_evaluated": _evaluation,
    "arm_breached": _breach,
    **dict.fromkeys(ASKED, _request),
}
"""By kind, what is made of it."""
