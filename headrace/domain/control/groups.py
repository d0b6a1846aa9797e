"""Kinds of control events by what they are about, as a pipeline file names them."""

from __future__ import annotations

from collections.abc import Mapping

from headrace.domain.control.breach import ArmBreached
from headrace.domain.control.dark_models import ModelFailed, ModelRecovered, ModelShed, ModelUnanswered
from headrace.domain.control.drift import DriftClosed, DriftGrew, DriftHarmed, DriftOpened
from headrace.domain.control.kpi import KpiBreached, KpiRecovered, KpiUnknown
from headrace.domain.control.release import (
    ApprovalRequested,
    ReleaseAdvanced,
    ReleaseHeld,
    ReleaseInconclusive,
    ReleasePromoted,
    ReleaseRefused,
    ReleaseRejected,
    ReleaseRolledBack,
    ReleaseSettled,
    ReleaseStarted,
    ReleaseSuperseded,
    ReleaseWarned,
    ReleaseWithdrawn,
)
from headrace.domain.control.retrain import ModelRefused, RetrainFailed, RetrainFinished, RetrainIgnored, RetrainStarted

EVENT_GROUPS: Mapping[str, tuple[str, ...]] = {
    name: tuple(kind.type for kind in kinds)
    for name, kinds in {
        "drift": (DriftOpened, DriftGrew, DriftClosed),
        "harm": (DriftHarmed, ArmBreached),
        "approvals": (ApprovalRequested, ReleaseInconclusive),
        "rollbacks": (ReleaseRolledBack, ReleaseWarned),
        "retrain": (RetrainStarted, RetrainFinished, RetrainFailed, RetrainIgnored),
        "releases": (
            ReleaseStarted,
            ReleaseAdvanced,
            ReleasePromoted,
            ReleaseSettled,
            ReleaseRejected,
            ReleaseSuperseded,
            ReleaseWithdrawn,
            ReleaseHeld,
            ReleaseRefused,
            ModelRefused,
        ),
        "kpis": (KpiBreached, KpiUnknown, KpiRecovered),
        "dark_models": (ModelFailed, ModelUnanswered, ModelRecovered, ModelShed),
    }.items()
}
"""Each kind that somebody may want to be told of is in one group."""
