"""Which records can be watched, and why others cannot."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from headrace.domain.records.drift_parts import DECISIONS, PARTS, REFUSED, SOURCES
from headrace.streaming.records.batch import Batch, Reject, set_apart
from headrace.streaming.watermarks.event_time import EARLIEST, LATEST

Flags = npt.NDArray[np.bool_]
MOST = 100_000
"""Partitions of a topic."""
TOLD = (*SOURCES, DECISIONS)


def sound(batch: Batch) -> tuple[Batch, tuple[Reject, ...]]:
    """The rows of a batch that can be folded, and the others. What a part has inside is seen when it is folded."""
    columns = batch.columns
    if batch.topic == PARTS:
        strange = ~np.isin(columns["source"].to_numpy(zero_copy_only=False), TOLD)
        number, count = (columns[name].to_numpy() for name in ("source_partition", "partitions"))
        nowhere = (number < 0) | (number >= np.where(count > 0, np.minimum(count, MOST), MOST)) | (count > MOST)
        return set_apart(
            batch,
            [("source", "it tells of another topic", strange), ("source", "there is no such partition", nowhere)],
        )
    return set_apart(batch, _of_rows(columns, ("timestamp", "time") if batch.topic == REFUSED else ("event_time",)))


def _of_rows(columns: pa.RecordBatch, names: tuple[str, ...]) -> Iterator[tuple[str, str, Flags]]:
    for name in names:
        times: Any = columns[name].cast(pa.int64()).to_numpy(zero_copy_only=False)
        yield "event_time", "an event happened between the years 1 and 9999", (times < EARLIEST) | (times > LATEST)
