"""What is told of incidents, of arms that break, and of models in the dark."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from headrace.domain.control.base import ControlFinding
from headrace.domain.control.breach import ArmBreached
from headrace.domain.control.dark_models import ModelFailed, ModelRecovered, ModelShed, ModelUnanswered
from headrace.domain.control.drift import DriftClosed, DriftFinding, DriftGrew, DriftHarmed, DriftOpened
from headrace.domain.notification.message import Message

Text = Callable[[str, ControlFinding], Message]
MOST_COLUMNS = 5


def opened(pipeline: str, finding: DriftOpened) -> Message:
    """An incident began."""
    return Message(
        "warning",
        f"{pipeline}: drift incident {finding.incident} opened",
        f"{_where(finding)} is not as it was{_since(finding)}: {columns(finding)}. "
        f"Evidence {finding.evidence:.3g}, over its threshold of 1.",
        f"headrace drift {pipeline} {finding.incident}",
    )


def grew(pipeline: str, finding: DriftGrew) -> Message:
    """Further columns changed."""
    return Message(
        "warning",
        f"{pipeline}: drift incident {finding.incident} grew",
        f"{_where(finding)}: {columns(finding)} changed as well{_since(finding)}.",
        f"headrace drift {pipeline} {finding.incident}",
    )


def closed(pipeline: str, finding: DriftClosed) -> Message:
    """It is over."""
    because = f": {finding.because}" if finding.because else ""
    return Message("info", f"{pipeline}: drift incident {finding.incident} closed", f"It is over{because}.")


def harmed(pipeline: str, finding: DriftHarmed) -> Message:
    """A model is proved worse than is tolerated."""
    kind = {
        "concept": "The same scores stand for other chances than they did.",
        "covariate": "What the model reads has shifted; its scores still stand for the same chances.",
    }.get(finding.kind, "It is not known yet of what kind the change is.")
    return Message(
        "critical",
        f"{pipeline}: {finding.model} is worse since incident {finding.incident}",
        f"Its mean loss, by {finding.basis}, over {finding.rows:,} rows, is {finding.worse:.4g} times its reference's; "
        f"{finding.tolerated:.4g} times is tolerated. {kind}",
        f"headrace drift {pipeline} {finding.incident}",
    )


def breached(pipeline: str, finding: ArmBreached) -> Message:
    """An arm broke at what needs no statistics."""
    what = {
        "non_finite_score": "gave no finite score",
        "does_not_run": "failed, or gave an answer of another shape",
        "out_of_memory": "found no memory",
        "latency": "takes longer than the target",
        "error_rate": "errs oftener than the champion",
    }.get(finding.breaker, f"broke ({finding.breaker})")
    return Message(
        "critical",
        f"{pipeline}: {finding.model} ({finding.arm}) {what}",
        f"{finding.rows} rows of a batch, under plan {finding.plan_version}: {finding.detail or 'no more is said'}.",
        f"headrace plan show {pipeline}",
    )


def failed(pipeline: str, finding: ModelFailed) -> Message:
    """A model in the dark does not run."""
    return Message(
        "warning",
        f"{pipeline}: {finding.model} ({finding.arm}) is not scored",
        f"It does not load or does not run: {finding.problem}. Predictions go on without it.",
        f"headrace plan show {pipeline}",
    )


def recovered(pipeline: str, finding: ModelRecovered) -> Message:
    """It runs after all."""
    return Message("info", f"{pipeline}: {finding.model} ({finding.arm}) is scored again", "It loads now.")


def shed(pipeline: str, finding: ModelShed) -> Message:
    """A model is left out for a while."""
    lag = "" if finding.lag_s is None else f", {finding.lag_s:.0f} s behind"
    return Message(
        "info",
        f"{pipeline}: {finding.model} ({finding.arm}) is left out for a while",
        f"The dark has more to score than it can{lag}. It comes back by itself; its scores have a gap.",
        f"headrace lag {pipeline}",
    )


def unanswered(pipeline: str, finding: ModelUnanswered) -> Message:
    """A model gives no finite score."""
    return Message(
        "warning",
        f"{pipeline}: {finding.model} ({finding.arm}) gives no score for some events",
        f"{finding.rows} rows have no finite score, the first under plan {finding.plan_version}.",
        f"headrace plan show {pipeline}",
    )


DRIFT_TEXTS: Mapping[type[ControlFinding], Callable[..., Message]] = {
    DriftOpened: opened,
    DriftGrew: grew,
    DriftClosed: closed,
    DriftHarmed: harmed,
    ArmBreached: breached,
    ModelFailed: failed,
    ModelRecovered: recovered,
    ModelShed: shed,
    ModelUnanswered: unanswered,
}


def columns(finding: DriftFinding) -> str:
    """The names of what changed, those with most evidence first, or that it is not said.

    >>> columns(DriftOpened(columns='[{"column": "a", "share": 0.25}, {"column": "b", "share": 0.75}]'))
    'b (75% of the evidence), a (25% of the evidence)'
    """
    try:
        listed = [(float(each["share"]), str(each["column"])) for each in json.loads(finding.columns)]
    except (ValueError, TypeError, KeyError):
        return "columns that its record does not name"
    named = [f"{name} ({share:.0%} of the evidence)" for share, name in sorted(listed, reverse=True)]
    more = [f"and {len(named) - MOST_COLUMNS} more"] if len(named) > MOST_COLUMNS else []
    return ", ".join([*named[:MOST_COLUMNS], *more]) or "no column of its own"


def _where(finding: DriftFinding) -> str:
    return f"What {finding.model} tells on {finding.stream}" if finding.model else f"What is told on {finding.stream}"


def _since(finding: DriftFinding) -> str:
    """Since when, by event time, where the calendar knows it."""
    if finding.began is None:
        return ""
    try:
        return f", since {datetime.fromtimestamp(finding.began / 1000, UTC):%Y-%m-%d %H:%M} UTC"
    except (ValueError, OverflowError, OSError):
        return ""
