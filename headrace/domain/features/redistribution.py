"""State moved to where keys belong after a topic has grown: windows go entity by entity, as they are.

What an entity's windows are is a function of its own entries and of their order, so moved ones answer as those of a
pipeline that had as many partitions from the beginning.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import pyarrow as pa

from headrace.columnar import packing
from headrace.columnar.partitioner import partitions_of
from headrace.domain.features.window_pool import Flags, Ints

Columns = Mapping[str, packing.Column]
_OF_ENTITIES = ("sizes", "length", "rank", "labels.length", "labels.rank")
"""One number an entity; all other columns but keys and the watermark have one an entry."""


def homes_of(columns: Columns, partitions: int, whole_keys: bool) -> Ints:
    """The partition that each entity belongs to."""
    sizes, data = columns["sizes"].astype(np.int64), np.ascontiguousarray(columns["keys"].astype(np.uint8))
    if whole_keys:
        keys = pa.array(data.view("<i8")).cast(pa.string())
    else:
        ends = np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes)])
        buffers = [None, pa.py_buffer(ends), pa.py_buffer(data)]
        keys = pa.Array.from_buffers(pa.large_binary(), len(sizes), buffers)
    return partitions_of(keys, partitions).astype(np.int64)


def taken(columns: Columns, take: Flags) -> dict[str, packing.Column]:
    """Some of the entities, with their entries and the labels of these."""
    found: dict[str, packing.Column] = {}
    for name, column in columns.items():
        if name == "watermark":
            continue
        if name in _OF_ENTITIES:
            found[name] = column[take]
        elif name == "keys":
            found[name] = column[np.repeat(take, columns["sizes"].astype(np.int64))]
        else:
            length = columns["labels.length" if name.startswith("labels.") else "length"].astype(np.int64)
            found[name] = column[np.repeat(take, length)]
    return found


def joined(parts: Iterable[Columns]) -> dict[str, packing.Column]:
    """Columns of several partitions, one behind the other."""
    held = list(parts)
    return {name: np.concatenate([part[name] for part in held]) for name in held[0]}
