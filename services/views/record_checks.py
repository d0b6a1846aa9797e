"""Which view updates can be folded: columns of one length, times that windows can be subtracted from."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headrace.domain.features.window_pool import Flags, Ints
from headrace.domain.records.view_changelog import EXCHANGE
from headrace.streaming.records.batch import PARTITION_BITS, Batch, Reject, set_apart
from headrace.streaming.watermarks.event_time import EARLIEST, LATEST
from headrace.streaming.watermarks.marks import NOTHING

kernels: Any = pc  # its stubs know too few of the overloads
FURTHEST = -NOTHING
"""Of marks, in milliseconds: far enough from the ends of int64 to add durations."""


def sound(batch: Batch) -> tuple[Batch, tuple[Reject, ...]]:
    """The updates of a batch that can be folded, and the others, with what is wrong with them.

    Value columns of other names are no fault of an update: the view has changed, which is for the fold to say.
    """
    return set_apart(batch, (("not_foldable", why, rows) for why, rows in _faults(batch.columns)))


def _faults(columns: pa.RecordBatch) -> Iterator[tuple[str, Flags]]:
    of_labels = kernels.equal(columns["source"], EXCHANGE).to_numpy(zero_copy_only=False)
    strange = ~of_labels & ~kernels.equal(columns["source"], "events").to_numpy(zero_copy_only=False)
    yield f"its source is neither events nor {EXCHANGE}", strange
    partition = columns["source_partition"].to_numpy()
    yield "it tells of a partition that no topic has", (partition < 0) | (partition >= 1 << PARTITION_BITS)
    for name in ("progress", "floor", "time", "heard"):
        mark = columns[name].cast(pa.int64()).to_numpy(zero_copy_only=False)
        yield f"its {name} is beyond all times", (mark < -FURTHEST) | (mark > FURTHEST)
    many = _lengths(columns["keys"])
    for name in ("times", "offsets"):
        yield f"it has not as many {name} as keys", _lengths(columns[name]) != many
    yield "it does not say of each key from when on it is known", _lengths(columns["known"]) != many * of_labels
    for name in ("times", "known"):
        moments = columns[name].flatten().to_numpy(zero_copy_only=False)
        yield (
            f"one of its {name} is not within the years 1 to 9999",
            _any(columns[name], (moments < EARLIEST) | (moments > LATEST)),
        )
    lists = columns["values"]
    owner = kernels.list_parent_indices(lists).to_numpy(zero_copy_only=False)
    sizes = _lengths(lists.flatten().field("values"))
    yield "a value column has not as many values as keys", _any(lists, sizes != many[owner])


def _any(lists: pa.ListArray, items: Flags) -> Flags:
    """Lists with an item that is marked."""
    counted = np.concatenate([np.zeros(1, np.int64), np.cumsum(items)])
    ends = lists.offsets.to_numpy()
    ends = ends - ends[0]
    return cast(Flags, counted[ends[1:]] > counted[ends[:-1]])


def _lengths(lists: pa.ListArray) -> Ints:
    return cast(Ints, lists.value_lengths().to_numpy(zero_copy_only=False).astype(np.int64))
