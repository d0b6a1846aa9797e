"""State moved to where keys belong after a topic has grown: windows go entity by entity, as they are.

What an entity's windows are is a function of its own entries and of their order, so moved ones answer as those of a
pipeline that had as many partitions from the beginning.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pyarrow as pa

from headrace.columnar import packing
from headrace.columnar.partitioner import partitions_of
from headrace.domain.features.entities import part_of
from headrace.domain.features.value_columns import NAMES
from headrace.domain.features.window_pool import Flags, Ints
from headrace.errors import ContractError

Columns = Mapping[str, packing.Column]
_OF_ENTITIES = ("sizes", "length", "rank", "labels.length", "labels.rank")
"""One number an entity; all other columns but keys and the watermark have one an entry."""


def homes_of(columns: Columns, partitions: int, whole_keys: bool, part: int | None = None) -> Ints:
    """The partition that each entity belongs to; by one `part` of its name where several fields make it up."""
    sizes, data = columns["sizes"].astype(np.int64), np.ascontiguousarray(columns["keys"].astype(np.uint8))
    if whole_keys and part is None:
        keys = pa.array(data.view("<i8")).cast(pa.string())
    else:
        ends = np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes)])
        buffers = [None, pa.py_buffer(ends), pa.py_buffer(data)]
        keys = pa.Array.from_buffers(pa.large_binary(), len(sizes), buffers)
        if part is not None:
            keys = pa.array([part_of(name.decode(), part) for name in keys.to_pylist()], pa.string())
    return partitions_of(keys, partitions).astype(np.int64)


def taken(columns: Columns, take: Flags) -> dict[str, packing.Column]:
    """Some of the entities, with their entries and the labels of these."""
    found: dict[str, packing.Column] = {}
    for name, column in columns.items():
        if name in ("watermark", NAMES):
            continue
        if name in _OF_ENTITIES:
            found[name] = column[take]
        elif name == "keys":
            found[name] = column[np.repeat(take, columns["sizes"].astype(np.int64))]
        else:
            length = columns["labels.length" if name.startswith("labels.") else "length"].astype(np.int64)
            found[name] = column[np.repeat(take, length)]
    return found


def names_in(states: Sequence[Columns]) -> dict[str, packing.Column]:
    """The column that says what value columns are of, where there is one. Raises ContractError where they differ."""
    kept = [state[NAMES] for state in states if NAMES in state]
    if any(not np.array_equal(kept[0], names) for names in kept) or len(kept) not in (0, len(states)):
        raise ContractError("state snapshots: partitions keep different value columns; start each service once before")
    return {NAMES: kept[0]} if kept else {}


def joined(parts: Iterable[Columns]) -> dict[str, packing.Column]:
    """Columns of several partitions, one behind the other."""
    held = list(parts)
    return {name: np.concatenate([part[name] for part in held]) for name in held[0]}
