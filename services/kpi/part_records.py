"""What records of other topics say to rules: a pure function of their columns."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from math import isfinite
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from headrace.domain.kpi.activity import PREDICTIONS
from headrace.domain.pipeline.kpi.section import STEP
from headrace.domain.quality.statistics import quantiles
from headrace.domain.scorecards.backfills import backfilled
from headrace.streaming.records.batch import Batch

Ints = npt.NDArray[np.int64]
MOST_LATENCY = 1e12
"""Milliseconds."""
TOLD_STATES = frozenset({"learning", "watched", "changed", "left_out"})
"""Of the topic `drift`, what stands of a column; other records are of its past, and of incidents."""


def card_parts(columns: pa.RecordBatch, groups: Collection[tuple[str, str]]) -> Iterator[dict[str, Any]]:
    """Cards of all rows, and of the segments and groups that rules name."""
    for row in _plain(columns, ("window_start", "window_end", "time")):
        where = row["segment"], row["group"]
        if where != ("", "") and where not in groups:
            continue
        figures = {each["name"]: _finite(each["value"]) for each in row["figures"]}
        yield {
            "arm": row["arm"],
            "segment": row["segment"],
            "group": row["group"],
            "start": row["window_start"],
            "digest": row["model"]["digest"],
            "model": _title(row["model"]),
            "predictions": row["predictions"],
            "outcomes": row["outcomes"],
            "mature": row["mature"],
            "figures": figures,
            "notes": {
                each["name"]: each["note"] for each in row["figures"] if figures[each["name"]] is None and each["note"]
            },
        }


def drift_parts(columns: pa.RecordBatch, watched: Collection[tuple[str, str]]) -> Iterator[dict[str, Any]]:
    """How columns stand that rules name, as (stream, column), and all columns of each stream together."""
    harm = columns.column("harm")
    said = columns.drop_columns(["harm"])
    for at, row in enumerate(_plain(said, ("time", "reached"))):
        if row["state"] not in TOLD_STATES or (row["column"] and (row["stream"], row["column"]) not in watched):
            continue
        lost = _loss(harm[at])
        worse, why = (None, "") if lost is None else _worse(row["stream"], lost)
        yield {
            "stream": row["stream"],
            "digest": row["model"]["digest"],
            "model": _title(row["model"]),
            "column": row["column"],
            "time": row["time"],
            "reached": row["reached"],
            "state": row["state"],
            "learnt": row["learnt"],
            "events": row["events"],
            "figures": {
                "evidence": _finite(row["evidence"]),
                "divergence": _finite(row["divergence"]),
                "effect": _finite(row["effect"]),
                "worse": worse,
            },
            "why": why,
        }


def _loss(harm: Any) -> dict[str, Any] | None:
    if not harm.is_valid:
        return None
    return {name: harm[name].as_py() for name in ("reference", "loss", "estimate", "unknown")}


def _worse(stream: str, lost: Mapping[str, Any]) -> tuple[float | None, str]:
    """Mean loss less the reference's, by outcomes where there are; or why it is not known."""
    loss = lost["loss"] if stream == "outcomes" else lost["estimate"]
    if loss is None:
        return None, "; ".join(lost["unknown"]) or "there were no rows in the last seven days"
    return _finite(loss - lost["reference"]), ""


def read_part(batch: Batch, partition: int, lateness: int) -> dict[str, Any]:
    """Records of one partition of predictions or dead letters, counted by spans of ten seconds.

    `lateness`: of the pipeline's events, milliseconds: what was published longer after it happened is backfilled.
    """
    stamps = np.maximum(batch.timestamp, 0)
    spans = {}
    for number in np.unique(stamps // STEP).tolist():
        rows = stamps // STEP == number
        latency = _latency(batch.columns, rows, lateness) if batch.topic == PREDICTIONS else quantiles.EMPTY
        buckets = [list(pair) for pair in zip(latency.numbers.tolist(), latency.counts.tolist(), strict=True)]
        spans[str(number)] = [int(rows.sum()), int(stamps[rows].max()), buckets, latency.zeros]
    return {"topic": batch.topic, "partition": partition, "spans": spans, "until": int(stamps.max())}


def end_part(topic: str, partition: int, until: float) -> dict[str, Any]:
    """That the end of a partition was seen at a moment, seconds since the epoch."""
    return {"topic": topic, "partition": partition, "spans": {}, "until": int(until * 1000)}


def _latency(columns: pa.RecordBatch, rows: npt.NDArray[np.bool_], lateness: int) -> quantiles.Buckets:
    happened, ingested, predicted = (
        columns.column(name).cast(pa.int64()).to_numpy()[rows]
        for name in ("event_time", "ingest_time", "predicted_time")
    )
    live = ~backfilled(happened, ingested, lateness)
    return quantiles.bucketed(np.clip((predicted - ingested)[live].astype(np.float64), 0, MOST_LATENCY))


def _plain(columns: pa.RecordBatch, times: Collection[str]) -> list[dict[str, Any]]:
    """Rows with times in milliseconds, for calendars do not know all of them."""
    for name in times:
        columns = columns.set_column(columns.schema.get_field_index(name), name, columns[name].cast(pa.int64()))
    rows: list[dict[str, Any]] = columns.to_pylist()
    return rows


def _title(model: Mapping[str, str]) -> str:
    return f"{model['name']}@{model['version']}"


def _finite(value: float | None) -> float | None:
    return value if value is not None and isfinite(value) else None
