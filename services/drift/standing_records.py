"""How everything stands that is watched, as records of the topic `drift`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from headrace.domain.drift.alarms import ColumnStanding
from headrace.domain.records.watched_columns import ModelIdentity
from headrace.streaming.records.batch import Emit
from headrace.streaming.watermarks.event_time import EARLIEST
from services.drift.stream_watch import Monitor

UNTOLD: dict[str, Any] = {
    "events": 0, "evidence": 0.0, "learnt": None, "divergence": 0.0, "edges": [], "reference": [], "recent": [],
}  # fmt: skip  # one column's worth
"""What a record says that is of no values."""


@dataclass(frozen=True, slots=True)
class ModelStanding:
    """What is said of a model beside its columns.

    Attributes:
        stream: whose rows these are.
        model: whose columns.
        reached: event time of the newest row, milliseconds.
        incident: the open one of the stream.
        left_out: columns that are not watched.
    """

    stream: str
    model: ModelIdentity
    reached: int
    incident: str | None
    left_out: Sequence[str]


class StandingRecords:
    """Writes how models stand.

    Args:
        pipeline: name of it.
        schema: of the topic's columns.
    """

    def __init__(self, pipeline: str, schema: pa.Schema) -> None:
        self._pipeline = pipeline
        self._schema = schema

    def rows(self, standing: ModelStanding, monitor: Monitor, now: float) -> list[dict[str, Any]]:
        """Of each hour of the course since this was asked last, of all columns, of each, of those left out."""
        same = {
            "pipeline": self._pipeline,
            "stream": standing.stream,
            "model": standing.model._asdict(),
            "time": int(now * 1000),
            "reached": max(standing.reached, EARLIEST),
            "incident": standing.incident,
        }
        return [
            *(
                same | UNTOLD | {"column": "", "state": "course", "reached": hour, "evidence": highest}
                for hour, highest in monitor.course()
                if hour >= EARLIEST  # the first rows of all have no time yet
            ),
            *(same | _said(each) for each in (monitor.whole(), *monitor.standing())),
            *(same | UNTOLD | {"column": name, "state": "left_out"} for name in standing.left_out),
        ]

    def emit(self, rows: Sequence[Mapping[str, Any]], source: int) -> tuple[Emit, ...]:
        """Rows as records that follow the partition `source`; nothing of none."""
        if not rows:
            return ()
        columns = pa.RecordBatch.from_pylist(rows, schema=self._schema)
        keys = pa.array([_key(row) for row in rows])
        return (Emit("drift", columns, keys, np.full(len(rows), source, np.int32)),)


def _key(row: Mapping[str, Any]) -> str:
    """Of a course, one for each hour."""
    hour = [str(row["reached"])] if row["state"] == "course" else []
    return "/".join((row["stream"], *row["model"].values(), row["column"], *hour))


def _said(each: ColumnStanding) -> dict[str, Any]:
    state = "learning" if each.learning is not None else "changed" if each.changed else "watched"
    return {
        "column": each.column,
        "events": each.events,
        "evidence": each.evidence,
        "state": state,
        "learnt": each.learning,
        "divergence": each.divergence,
        "edges": [] if each.edges is None else each.edges.tolist(),
        "reference": each.reference.tolist(),
        "recent": each.recent.tolist(),
    }
