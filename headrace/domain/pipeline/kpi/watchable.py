"""What rules of a pipeline may name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from headrace.domain.pipeline.classes.names import field_names
from headrace.domain.pipeline.kpi.section import Watchable
from headrace.domain.pipeline.scorecards.spec import ScorecardsSection
from headrace.domain.pipeline.segments import group_names
from headrace.domain.pipeline.spec import View, expanded

SCORE, DECISION, LOSS, LABEL, REFUSED = "model score", "model decision", "model loss", "positive label", "refused"
CLASS, TRUE_CLASS = "model class", "true class"


def watchable(key: str, views: Mapping[str, View], read: Mapping[str, Any], classes: bool) -> Watchable:
    """What there is in a file.

    Args:
        key: of the events; empty where it is not known.
        views: by name.
        read: the other sections, as arguments of `Pipeline`.
        classes: whether the model gives the probability of a class.
    """
    cards = read.get("scorecards", ScorecardsSection())
    names = field_names(read["model"].classes) if "model" in read else ()
    groups = {name: group_names(segment) for name, segment in read.get("segments", {}).items()}
    foreign = [view.name for view in views.values() if view.kind == "entity" and key not in view.keys]
    retrain, notify = read.get("retrain"), read.get("notify")
    idle = {}
    if not foreign:
        idle["views"] = "it has views of another entity alone: leave the rule out"
    if "labels" not in read:
        idle["labels"] = "add the section labels, or leave the rule out"
    if retrain is None and "release" not in read:
        idle["retrain"] = "add the section retrain, or leave the rule out"
    if notify is None:
        idle["notify"] = "add the section notify, or leave the rule out"
    return Watchable(
        classes,
        "labels" in read,
        "value" in read,
        cards.precision_at,
        cards.window,
        groups,
        _columns(views, read, groups, foreign, classes, names),
        None if notify is None else notify.channels,
        idle,
        retrain is not None and "scorecard" in retrain.on,
        names,
    )


def _columns(
    views: Mapping[str, View],
    read: Mapping[str, Any],
    groups: Mapping[str, list[str]],
    foreign: list[str],
    classes: bool,
    names: Sequence[str],
) -> dict[str, list[str]]:
    """Columns that `drift` watches, by stream."""
    inputs = expanded(read["model"].inputs, views) if "model" in read else []
    made = [SCORE, *([DECISION] if classes else []), *(f"{SCORE} of {name}" for name in names)]
    made += [*([CLASS] if names else []), *(f"age of {name}" for name in foreign)]
    answered = [*inputs, *made, *(f"contribution of {name}" for name in inputs)]
    lost = [LOSS, *([TRUE_CLASS] if names else [LABEL] if classes else [])]
    lost += [f"{LOSS} ({segment} {group})" for segment, names in groups.items() for group in names]
    return {"predictions": answered, "shadow-predictions": answered, "outcomes": lost, "dead-letters": [REFUSED]}
