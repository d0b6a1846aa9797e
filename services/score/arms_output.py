"""What is written of rows that two arms had: refusals, and predictions of both in one order."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from headrace.domain.models.model_loader import OpenArm
from headrace.streaming.records.batch import Batch, Emit, Reject


def rejects_of(
    opened: OpenArm, batch: Batch, scores: npt.NDArray[np.float64], rows: npt.NDArray[np.bool_]
) -> Iterator[Reject]:
    """Why some rows of a batch, a mask, have no prediction."""
    for partition, offset, score in zip(batch.partition[rows], batch.offset[rows], scores[rows], strict=True):
        told = f"{score}" if scores.ndim == 1 else ", ".join(map(str, score.tolist()))
        detail = f"{opened.arm.title} gave {told} for these features"
        yield Reject(int(partition), int(offset), "non_finite_score", detail)


def together(first: Emit, second: Emit, order: npt.NDArray[np.int64]) -> Emit:
    """The records of two emits of one topic, in an order of all of them: an entity's follow one another."""
    assert first.key is not None
    assert second.key is not None
    columns = pa.Table.from_batches([first.columns, second.columns]).take(pa.array(order)).combine_chunks()
    keys = pa.chunked_array([first.key, second.key]).take(pa.array(order)).combine_chunks()
    source = np.append(first.source, second.source)[order].astype(np.int32)
    return Emit(first.topic, columns.to_batches()[0], keys, source)
