"""What a model answered to an event."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class Prediction:
    """A row of the topic of predictions.

    Attributes:
        event_id: the event's id, as text.
        prediction_id: of this answer; a repeat has the same.
        entity: the event's key, as text.
        score: of the model; of several classes the probability of the one decided on.
        decision: whether the score reaches the model's threshold.
        model: `name@version`.
        arm: `champion` or `canary`.
        plan_version: of the plan that chose the model.
        event_time, predicted_time: with a zone.
        row: all columns, inputs of the model among them.
        class_: that is decided on, of a model of several classes; None of others.
        scores: the probability of each class, by its name; empty of others.
    """

    event_id: str
    prediction_id: str
    entity: str
    score: float
    decision: bool
    model: str
    arm: str
    plan_version: int
    event_time: datetime
    predicted_time: datetime
    row: Mapping[str, Any]
    class_: str | None = None
    scores: Mapping[str, float] = field(default_factory=dict)


def prediction_of(row: Mapping[str, Any], classes: Sequence[str] = ()) -> Prediction:
    """A row as Arrow gives it; `classes`: of the pipeline, where it has several."""
    model = row["model"]
    return Prediction(
        event_id=row["event_id"],
        prediction_id=row["prediction_id"],
        entity=row["entity"],
        score=row["score"],
        decision=row["decision"],
        model=f"{model['name']}@{model['version']}",
        arm=row["arm"],
        plan_version=row["plan_version"],
        event_time=row["event_time"],
        predicted_time=row["predicted_time"],
        row=row,
        class_=row["class"] if classes else None,
        scores=dict(zip(classes, row["scores"].values(), strict=True)) if classes else {},
    )
