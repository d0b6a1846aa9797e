"""Predictions and labels by the hundred thousand: shuffled, twice, corrected, in conflict, early, late, of nobody."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from headrace.domain.pipeline.spec import Labels

arrays: Any = pa  # its stubs know too few of the overloads

DAY = 86_400_000
BEGIN = 1_522_540_800_000
"""2018-04-01, milliseconds."""
ARMS = ("card_fraud@2/champion", "card_fraud@3/canary", "rival@1/shadow")


@dataclass(frozen=True, slots=True)
class Flood:
    """What is published: `predictions` and `shadows` in the predictions' schema, `labels` in the labels'."""

    predictions: pa.RecordBatch
    shadows: pa.RecordBatch
    labels: pa.RecordBatch


def flood(events: int, predictions: pa.Schema, labels: pa.Schema, expires: int, seed: int = 1) -> Flood:
    """Predictions of so many events over a month, a tenth of them repeated, shadows of a tenth, and their labels."""
    draw = np.random.default_rng(seed)
    times = BEGIN + draw.integers(0, 30 * DAY, events)
    champions = draw.permutation(np.concatenate([np.arange(events), draw.integers(0, events, events // 10)]))
    shadows = draw.permutation(np.concatenate([draw.choice(events, events // 10, replace=False)] * 2))
    arm = (champions % 5 == 0).astype(np.int64)
    return Flood(
        predictions_of(champions, times, arm, predictions),
        predictions_of(shadows, times, np.full(len(shadows), 2), predictions),
        _labels(events, times, labels, expires, draw),
    )


def predictions_of(
    events: npt.NDArray[np.int64], times: npt.NDArray[np.int64], arm: npt.NDArray[np.int64], schema: pa.Schema
) -> pa.RecordBatch:
    """One prediction a row; whatever is in it follows from its event and arm, so that a repeat says the same."""
    ids = pa.array(events).cast(pa.string())
    place = arrays.array(list(ARMS)).take(pa.array(arm))
    parts: Any = pc.split_pattern(pc.replace_substring_regex(place, "[@/]", "|"), "|")
    name, version, part = (pc.list_element(parts, number) for number in range(3))
    known = {
        "event_id": ids,
        "prediction_id": pc.binary_join_element_wise(ids, place, "/"),
        "entity": pa.array(events % 5_000).cast(pa.string()),
        "event_time": pa.array(times[events]),
        "ingest_time": pa.array(times[events] + 40),
        "predicted_time": pa.array(times[events] + 55),
        "model": pa.StructArray.from_arrays([name, version, place], names=["name", "version", "digest"]),
        "arm": part,
        "plan_version": pa.array(arm + 1),
        "score": pa.array((events * 7 + arm) % 1_000 / 1_000),
        "decision": pa.array((events * 7 + arm) % 1_000 >= 500),
    }
    columns = [known[f.name].cast(f.type) if f.name in known else _made_up(f.type, events) for f in schema]
    return arrays.RecordBatch.from_arrays(columns, schema=schema)


def _made_up(kind: pa.DataType, events: npt.NDArray[np.int64]) -> pa.Array:
    if pa.types.is_struct(kind):
        parts = [_made_up(field.type, events + place) for place, field in enumerate(kind)]
        return arrays.StructArray.from_arrays(parts, fields=list(kind))
    return pa.array(events % 128 / 4).cast(kind, safe=False)


def _labels(
    events: int, times: npt.NDArray[np.int64], schema: pa.Schema, expires: int, draw: np.random.Generator
) -> pa.RecordBatch:
    told = draw.choice(events, events * 6 // 10, replace=False)
    again = [draw.choice(told, events // 20) for _ in range(3)]  # repeated, corrected, doubted
    late = draw.choice(events, events // 50, replace=False)
    nobody = np.arange(events, events + events // 100)
    event = np.concatenate([told, *again, late, nobody])
    happened = np.concatenate([times, np.full(len(nobody), BEGIN)])[event]
    delay = (event * 7_919 % 60) * DAY // 2 + 1_000
    delay = np.concatenate([delay[: len(told)], delay[len(told) :]])
    start = len(told) + len(again[0])
    moved = np.zeros(len(event), np.int64)
    moved[start : start + len(again[1])] = draw.choice([-500, 0, 3 * DAY], len(again[1]))
    known = happened + delay + moved
    at = len(told) + sum(map(len, again))
    known[at : at + len(late)] = happened[at : at + len(late)] + expires + draw.integers(0, 2, len(late)) * 1_000
    value = (event % 3 == 0).astype(float)
    value[start : start + len(again[1])] = 1 - value[start : start + len(again[1])]
    source = np.full(len(event), "chargeback", object)
    source[start + len(again[1]) : at] = draw.choice(["analyst", "customer"], len(again[2]))
    value[start + len(again[1]) : at] = draw.integers(0, 2, len(again[2]))
    order = draw.permutation(len(event))
    columns = {
        "event_id": pa.array(event[order]).cast(pa.string()),
        "value": pa.array(value[order]),
        "label_time": pa.array(known[order], schema.field("label_time").type),
        "source": pa.array(source[order], pa.string()),
    }
    return arrays.RecordBatch.from_arrays([columns[name] for name in schema.names], schema=schema)


def joined(found: Flood, rule: Labels) -> pl.DataFrame:
    """What must become of each prediction, by a batch join."""
    columns = ["prediction_id", "event_id", "event_time", "entity", "score", "arm"]
    both = pa.Table.from_batches([found.predictions, found.shadows]).select(columns)
    predictions = millis(pl.DataFrame(both)).unique("prediction_id")
    events = predictions.select("event_id", "event_time").unique()
    rank = {name: place for place, name in enumerate(rule.sources)}
    labels = (
        millis(pl.DataFrame(pa.Table.from_batches([found.labels])))
        .unique()
        .join(events, on="event_id")
        .filter(pl.col("label_time") <= pl.col("event_time") + rule.expires_after)
        .with_columns(pl.col("source").replace_strict(rank, default=len(rank), return_dtype=pl.Int64).alias("rank"))
        .sort(["label_time", "rank", "source", "value"], descending=[True, False, False, True])
    )
    newest = labels.unique(["event_id", "source"], keep="first", maintain_order=True)
    disagree = newest.group_by("event_id").agg((pl.col("value").n_unique() > 1).alias("conflicting"))
    held = labels.unique("event_id", keep="first", maintain_order=True).drop("event_time", "rank")
    return (
        predictions.join(held.join(disagree, on="event_id"), on="event_id", how="left")
        .with_columns(
            pl.when(pl.col("value").is_null())
            .then(pl.lit("presumed" if rule.unlabelled_is is not None else "unlabelled"))
            .otherwise(pl.lit("labelled"))
            .alias("state"),
            pl.col("value").fill_null(rule.unlabelled_is).alias("label"),
            pl.col("conflicting").fill_null(False),
            (pl.col("label_time") - pl.col("event_time")).alias("label_delay"),
        )
        .rename({"source": "label_source"})
        .select(*COMPARED)
        .sort("prediction_id")
    )


COMPARED = (
    "prediction_id", "event_id", "event_time", "entity", "score", "arm", "state", "label", "label_time", "label_delay",
    "label_source", "conflicting",
)  # fmt: skip  # columns of an outcome that must not depend on the way


def millis(frame: pl.DataFrame) -> pl.DataFrame:
    """Times as milliseconds."""
    return frame.with_columns(pl.col(pl.Datetime).dt.epoch("ms"))
