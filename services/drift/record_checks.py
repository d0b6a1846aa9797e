"""Which records can be watched, and why others cannot."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from headrace.domain.records.drift_parts import DECISIONS, Acceptance, unpack
from headrace.domain.records.watched_columns import STREAMS, ModelIdentity
from headrace.errors import ContractError
from headrace.streaming.records.batch import Batch, Reject, set_apart
from headrace.streaming.watermarks.event_time import EARLIEST, LATEST

Flags = npt.NDArray[np.bool_]


def sound(batch: Batch, parts: str) -> tuple[Batch, tuple[Reject, ...]]:
    """The rows of a batch that can be folded, and the others.

    Args:
        batch: predictions, outcomes or, where the topic is `parts`, what was told of them.
        parts: name of that topic.
    """
    return set_apart(batch, _of_parts(batch.columns) if batch.topic == parts else _of_rows(batch.columns))


def _of_rows(columns: pa.RecordBatch) -> Iterator[tuple[str, str, Flags]]:
    times: Any = columns["event_time"].cast(pa.int64()).to_numpy(zero_copy_only=False)
    yield "event_time", "an event happened between the years 1 and 9999", (times < EARLIEST) | (times > LATEST)


def _of_parts(columns: pa.RecordBatch) -> Iterator[tuple[str, str, Flags]]:
    rows = columns.to_pylist()  # each is of many predictions
    strange = np.array([row["source"] not in (*STREAMS, DECISIONS) for row in rows], np.bool_)
    yield "source", "it tells of another topic", strange
    yield "payload", "its rows are none of ours, or damaged", np.array([_damaged(row) for row in rows], np.bool_)


def _damaged(row: dict[str, Any]) -> bool:
    try:
        if row["source"] == DECISIONS:
            Acceptance.of(row["payload"])
            return False
        unpack([ModelIdentity(**model) for model in row["models"]], row["payload"])
    except ContractError:
        return True
    return False
