"""What is told of each kind of control event: a pure function of the event."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from headrace.domain.control.base import ControlFinding
from headrace.domain.control.dark_models import ModelRestored
from headrace.domain.control.events import ControlEvent
from headrace.domain.control.release import (
    ApprovalDenied,
    ApprovalGiven,
    HoldAsked,
    PromotionAsked,
    ReleaseQueued,
    ReleaseRebased,
    RollbackAsked,
)
from headrace.domain.control.retrain import ModelEvaluated, ModelRegistered, RetrainAsked, RetrainProgress
from headrace.domain.notification.drift_texts import DRIFT_TEXTS
from headrace.domain.notification.kpi_texts import KPI_TEXTS
from headrace.domain.notification.message import Message
from headrace.domain.notification.release_texts import RELEASE_TEXTS
from headrace.domain.notification.retrain_texts import RETRAIN_TEXTS
from headrace.domain.pipeline.notification.spec import SEVERITIES

TEXTS: Mapping[type[ControlFinding], Callable[..., Message | None]] = {
    **DRIFT_TEXTS,
    **RETRAIN_TEXTS,
    **RELEASE_TEXTS,
    **KPI_TEXTS,
}
"""By kind; a text is None where this event of the kind is nothing to be told."""

_ANSWERED = "a person's request: what is told is its answer"
SILENT: Mapping[type[ControlFinding], str] = {
    ModelRestored: "a model that was left out for a while comes back by itself",
    ApprovalGiven: _ANSWERED,
    ApprovalDenied: _ANSWERED,
    PromotionAsked: _ANSWERED,
    RollbackAsked: _ANSWERED,
    HoldAsked: _ANSWERED,
    RetrainAsked: _ANSWERED,
    RetrainProgress: "its end is told",
    ModelRegistered: "the end of its training is told, and what becomes of its release",
    ModelEvaluated: "what becomes of its release is told",
    ReleaseQueued: "it waits for its turn: nothing changes, and nobody has to act",
    ReleaseRebased: "whoever changed the plan knows; the release goes on",
}
"""Kinds that nobody is told of, and why."""
MOST_LINES = 8


def message_of(event: ControlEvent) -> Message | None:
    """What is told of an event; None for one that nobody is told of."""
    text = TEXTS.get(type(event.finding))
    return None if text is None else text(event.pipeline, event.finding)


def folded_title(pipeline: str, kind: str, count: int) -> str:
    """The first line of a message that tells of several events; `kind` is empty where they are of several.

    >>> folded_title("p", "drift_grew", 12), folded_title("p", "", 3)
    ('p: 12 more times drift_grew', 'p: 3 events of a time when nobody was told')
    """
    return (
        f"{pipeline}: {count} more times {kind}"
        if kind
        else f"{pipeline}: {count} events of a time when nobody was told"
    )


def folded_body(pipeline: str, kind: str, titles: Sequence[str], first: str, last: str) -> str:
    """The newest of their titles, where all are, and which events it tells of."""
    lines = [*dict.fromkeys(reversed(titles))]
    more = [f"and {len(lines) - MOST_LINES} more"] if len(lines) > MOST_LINES else []
    where = f"> headrace ledger show {pipeline}" + (f" --type {kind}" if kind else "")
    return "\n".join([*lines[:MOST_LINES], *more, where, f"events {first} to {last}"])


def worst(severities: Sequence[str]) -> str:
    """The worst of some severities.

    >>> worst(["info", "critical", "warning"])
    'critical'
    """
    return max(severities, key=SEVERITIES.index)
