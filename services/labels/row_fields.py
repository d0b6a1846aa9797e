"""What a join keeps of predictions and events, as Avro records."""

from __future__ import annotations

from collections.abc import Sequence

from headrace.domain.pipeline.contracts import outcomes, predictions
from headrace.domain.pipeline.spec import Pipeline
from headrace.streaming.records.rows import Packed

OWN = frozenset(
    (
        "prediction_id", "event_id", "event_time", "predicted_time", "model", "arm", "plan_version", "score",
        "decision", "class", "scores",
    )
)  # fmt: skip  # as records have them
"""Fields of an outcome that are told of each prediction alone, or that a join keeps as numbers."""


def shared(pipeline: Pipeline) -> Packed:
    """What all predictions of an event share, and outcomes repeat: entity, ingest time, features and their ages."""
    definition = predictions(pipeline)
    wanted = {field["name"] for field in outcomes(pipeline)["fields"]} - OWN
    return Packed(definition, [field["name"] for field in definition["fields"] if field["name"] in wanted])


def entities(names: Sequence[str]) -> Packed:
    """Whom an event belongs to: a field for each of some views that fold labels."""
    fields = [{"name": name, "type": ["null", "string"], "doc": "Its entity.", "default": None} for name in names]
    return Packed({"type": "record", "name": "entities", "doc": "Entities of an event.", "fields": fields}, names)
