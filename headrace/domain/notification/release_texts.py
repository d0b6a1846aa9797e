"""What is told of releases: what a person has to decide, and what was decided."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from headrace.domain.control.base import ControlFinding
from headrace.domain.control.release import (
    ApprovalRequested,
    ReleaseAdvanced,
    ReleaseFinding,
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
from headrace.domain.notification.message import Message


def approval_due(pipeline: str, finding: ApprovalRequested) -> Message:
    """People have to approve."""
    people = "one person has" if finding.missing == 1 else f"{finding.missing} people have"
    return Message(
        "warning",
        f"{pipeline}: {finding.model} waits for approval",
        f"It passed its gates; {people} to approve it. {_why(finding)}",
        _command("approve", pipeline, finding),
    )


def started(pipeline: str, finding: ReleaseStarted) -> Message:
    """In the dark."""
    return _told("info", pipeline, finding, "is scored in the dark beside the champion")


def advanced(pipeline: str, finding: ReleaseAdvanced) -> Message:
    """It answers a share."""
    return _told("info", pipeline, finding, f"answers {finding.share} of the entities")


def promoted(pipeline: str, finding: ReleasePromoted) -> Message:
    """It is the champion."""
    return _told("info", pipeline, finding, "is the champion, and guarded")


def settled(pipeline: str, finding: ReleaseSettled) -> Message:
    """The guard is over."""
    return _told("info", pipeline, finding, "is champion for good: its guard is over")


def rolled_back(pipeline: str, finding: ReleaseRolledBack) -> Message:
    """Put back."""
    return _told(
        "critical",
        pipeline,
        finding,
        "was rolled back; the champion before it answers",
        f"headrace plan show {pipeline}",
    )


def rejected(pipeline: str, finding: ReleaseRejected) -> Message:
    """Never let in."""
    return _told(
        "warning", pipeline, finding, "was rejected", f"headrace ledger show {pipeline} --model {finding.model}"
    )


def inconclusive(pipeline: str, finding: ReleaseInconclusive) -> Message:
    """A person has to decide."""
    return _told(
        "warning",
        pipeline,
        finding,
        "is not decided by evidence: a person has to",
        _command("promote", pipeline, finding),
    )


def superseded(pipeline: str, finding: ReleaseSuperseded) -> Message:
    """Another took its place."""
    return _told("info", pipeline, finding, "was superseded by another model")


def withdrawn(pipeline: str, finding: ReleaseWithdrawn) -> Message:
    """Taken out by hand."""
    return _told("info", pipeline, finding, "was taken out of the plan by hand")


def held(pipeline: str, finding: ReleaseHeld) -> Message:
    """Machines are stopped, or go on."""
    return _told(
        "info", pipeline, finding, "is held: no machine moves it" if finding.held else "may be moved by machines again"
    )


def warned(pipeline: str, finding: ReleaseWarned) -> Message:
    """A machine would have acted."""
    would = finding.instead.removeprefix("release_").replace("_", " ")
    return _told(
        "critical",
        pipeline,
        finding,
        f"would have been {would}, were it not held",
        _command("rollback", pipeline, finding),
    )


def refused(pipeline: str, finding: ReleaseRefused) -> Message:
    """A request cannot be met."""
    asked = finding.asked.removesuffix("_asked").replace("_", " ")
    return _told("info", pipeline, finding, f"stays as it is: what was asked ({asked}) was refused")


RELEASE_TEXTS: Mapping[type[ControlFinding], Callable[..., Message]] = {
    ApprovalRequested: approval_due,
    ReleaseStarted: started,
    ReleaseAdvanced: advanced,
    ReleasePromoted: promoted,
    ReleaseSettled: settled,
    ReleaseRolledBack: rolled_back,
    ReleaseRejected: rejected,
    ReleaseInconclusive: inconclusive,
    ReleaseSuperseded: superseded,
    ReleaseWithdrawn: withdrawn,
    ReleaseHeld: held,
    ReleaseWarned: warned,
    ReleaseRefused: refused,
}


def _told(severity: str, pipeline: str, finding: ReleaseFinding, what: str, command: str = "") -> Message:
    return Message(severity, f"{pipeline}: {finding.model} {what}", _why(finding), command)


def _command(verb: str, pipeline: str, finding: ReleaseFinding) -> str:
    return f'headrace models {verb} {finding.model} --pipeline {pipeline} --reason "..."'


def _why(finding: ReleaseFinding) -> str:
    """The rule's own sentence, and who asked where it was a person."""
    why = (finding.why or finding.rule).strip()
    why = f"{why[0].upper()}{why[1:].rstrip('.')}." if why else "Its record gives no reason."
    if not finding.person:
        return why
    return f"{why} Asked by {finding.person}" + (f": {finding.reason}" if finding.reason else ".")
