"""What is told of trainings."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from headrace.domain.control.base import ControlFinding
from headrace.domain.control.retrain import ModelRefused, RetrainFailed, RetrainFinished, RetrainIgnored, RetrainStarted
from headrace.domain.notification.message import Message

BUDGET = "budget"
"""The rule by which trainings of a month are counted; what other rules ignore is nothing that somebody has to mend."""


def training_started(pipeline: str, finding: RetrainStarted) -> Message:
    """A trigger is answered by a training."""
    budget = "" if finding.per_month is None else f" It is training {finding.used} of {finding.per_month} this month."
    return Message(
        "info",
        f"{pipeline}: a training began",
        f"Started by {finding.source}, as {finding.run}.{budget}",
        f"headrace retrain {pipeline} --history",
    )


def budget_used_up(pipeline: str, finding: RetrainIgnored) -> Message | None:
    """A trigger found no training left this month; None where another rule ignored it."""
    if finding.rule != BUDGET:
        return None
    return Message(
        "warning",
        f"{pipeline}: no training is left this month",
        f"A trigger ({finding.source}) was ignored: {finding.because}. retrain.per_month bounds them.",
        f"headrace retrain {pipeline} --history",
    )


def training_finished(pipeline: str, finding: RetrainFinished) -> Message:
    """It made a package."""
    return Message(
        "info",
        f"{pipeline}: {finding.model} was trained",
        f"{finding.run} took {finding.seconds:.0f} s. It is judged next.",
        f"headrace models show {finding.model}",
    )


def training_failed(pipeline: str, finding: RetrainFailed) -> Message:
    """It made none."""
    log = f" Its log is {finding.log} where the service runs." if finding.log else ""
    return Message(
        "warning",
        f"{pipeline}: a training failed",
        f"{finding.run} made no model: {finding.problem.rstrip('.')}.{log}",
        f'headrace retrain {pipeline} --reason "tried again"',
    )


def version_refused(pipeline: str, finding: ModelRefused) -> Message:
    """A version of a registry of others does not fit."""
    return Message(
        "warning",
        f"{pipeline}: {finding.model} was not brought in",
        f"{finding.because.rstrip('.')}.",
        f"headrace models follow {pipeline}",
    )


RETRAIN_TEXTS: Mapping[type[ControlFinding], Callable[..., Message | None]] = {
    RetrainStarted: training_started,
    RetrainIgnored: budget_used_up,
    RetrainFinished: training_finished,
    RetrainFailed: training_failed,
    ModelRefused: version_refused,
}
