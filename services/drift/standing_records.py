"""How everything stands, as records of the topic `drift`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from headrace.domain.drift.alarms import ColumnChange, ColumnStanding
from headrace.domain.drift.harm.incident_harm import HarmCase
from headrace.domain.records.drift_parts import REFUSED
from headrace.domain.records.watched_columns import OUTCOMES, ModelIdentity, WatchedColumns
from headrace.streaming.records.batch import Emit
from headrace.streaming.watermarks.event_time import EARLIEST
from services.drift.control_records import incident_of
from services.drift.harm.harm_records import harm_of, recent_losses
from services.drift.metrics import DriftMetrics
from services.drift.stream_watch import Monitor, StreamWatch

UNTOLD: dict[str, Any] = {
    "events": 0, "evidence": 0.0, "learnt": None, "divergence": 0.0, "edges": [], "levels": [],
    "reference": [], "recent": [], "effect": None, "harm": None,
}  # fmt: skip  # one column's worth
"""What a record says that is of no values."""
Watched = Callable[[str, ModelIdentity], WatchedColumns | None]
EVIDENCE: Mapping[str, str] = {"labels": "evidence", "estimate": "estimate_evidence"}


class StandingRecords:
    """Writes how columns, models and incidents stand.

    Args:
        pipeline: name of it.
        schema: of the topic's columns.
        figures: the same for Prometheus.
        watched: what is watched of a model, of a stream.
    """

    def __init__(self, pipeline: str, schema: pa.Schema, figures: DriftMetrics, watched: Watched) -> None:
        self._pipeline = pipeline
        self._schema = schema
        self._figures = figures
        self._watched = watched

    def emit(
        self, watches: Mapping[str, StreamWatch], cases: Sequence[HarmCase], now: float, source: int
    ) -> tuple[Emit, ...]:
        """A record of each; they follow the partition `source`.

        Args:
            watches: by stream.
            cases: what incidents do to models.
        """
        rows: list[dict[str, Any]] = []
        for stream, watch in watches.items():
            incident = incident_of(stream, watch.incidents.count) if watch.incidents.open else None
            self._figures.incident.labels(stream).set(watch.incidents.open)
            for model, monitor in watch.monitors.items():
                self._figures.evidence.labels(stream, model.name, model.version).set(monitor.evidence)
                same = self._same(stream, model, watch, now) | {"incident": incident}
                rows += (same | row for row in self._of_model(stream, model, watch, monitor))
        rows += self._harms(watches, cases, now)
        self._figures.waiting.set(sum(len(watch.merge) for watch in watches.values()))
        if not rows:
            return ()
        columns = pa.RecordBatch.from_pylist(rows, schema=self._schema)
        keys = pa.array([_key(row) for row in rows])
        return (Emit("drift", columns, keys, np.full(len(rows), source, np.int32)),)

    def _same(self, stream: str, model: ModelIdentity, watch: StreamWatch, now: float) -> dict[str, Any]:
        return {
            "pipeline": self._pipeline,
            "stream": stream,
            "model": model._asdict(),
            "time": int(now * 1000),
            "reached": max(watch.reached or 0, EARLIEST),
        }

    def _of_model(
        self, stream: str, model: ModelIdentity, watch: StreamWatch, monitor: Monitor
    ) -> Iterator[dict[str, Any]]:
        for hour, highest in monitor.course():
            if hour >= EARLIEST:  # the first rows of all have no time yet
                yield UNTOLD | {"column": "", "state": "course", "reached": hour, "evidence": highest}
        losses = watch.losses.get(model)
        lost = recent_losses(None if losses is None else losses.losses, stream == OUTCOMES)
        yield _said(monitor.whole()) | {"effect": None, "harm": lost}
        for each in monitor.standing():
            yield _said(each) | {"effect": self.effect(stream, model, each), "harm": None}
        watched = None if stream == REFUSED else self._watched(stream, model)
        for name in () if watched is None else watched.left_out:
            yield UNTOLD | {"column": name, "state": "left_out"}

    def _harms(
        self, watches: Mapping[str, StreamWatch], cases: Sequence[HarmCase], now: float
    ) -> Iterator[dict[str, Any]]:
        self._figures.harm.clear()
        for case in cases:
            model, lost = ModelIdentity(*case.model), harm_of(case, watches)
            if case.ended is None:
                for basis, name in EVIDENCE.items():
                    self._figures.harm.labels(case.stream, model.name, model.version, basis).set(lost[name])
            same = self._same(case.stream, model, watches[case.stream], now) | UNTOLD
            yield same | {"incident": lost["incident"], "column": "harm", "state": "harm", "harm": lost}

    def effect(self, stream: str, model: ModelIdentity, each: ColumnChange | ColumnStanding) -> float | None:
        """By which share of its mean the loss of a model changes with a column; None: it is not known."""
        watched = None if stream == REFUSED else self._watched(stream, model)
        return None if watched is None else watched.effect(each.column, each.reference, each.recent)


def _key(row: Mapping[str, Any]) -> str:
    """Of a course, one for each hour; of harm, one for each incident."""
    further = {"course": [str(row["reached"])], "harm": [str(row["incident"])]}.get(row["state"], [])
    return "/".join((row["stream"], *row["model"].values(), row["column"], *further))


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
        "levels": list(each.levels),
        "reference": each.reference.tolist(),
        "recent": each.recent.tolist(),
    }
