"""State moved to where keys belong after a topic has grown: windows go entity by entity, as they are.

What an entity's windows are is a function of its own entries and of their order, so moved ones answer as those of a
pipeline that had as many partitions from the beginning. A partition's clock is that of the one that was least far:
nobody is late who was not. Ids of events, which name no entity, are remembered by all partitions.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pyarrow as pa

from services.enrich.entries import Flags, Ints
from services.enrich.repeats import STATE as IDS
from services.enrich.sources import Sources
from services.kit import packing
from services.kit.partitioning import partitions_of
from services.kit.timing import FIRM

Columns = Mapping[str, packing.Column]
_OF_ENTITIES = ("sizes", "length", "rank", "labels.length", "labels.rank")
"""One number an entity; all other columns but keys and the watermark have one an entry."""


def moved_events(states: Sequence[Columns], partitions: int, whole_keys: bool) -> list[bytes]:
    """Snapshots of `enrich`, from those of the partitions that there were, for so many.

    Args:
        states: unpacked snapshots, in the order of partitions.
        partitions: that there are now.
        whole_keys: whether entities are whole numbers, which state keeps as eight bytes.
    """
    views = sorted({name.partition(".")[0] for state in states for name in state if "." in name})
    homes = {view: [_homes(_part(state, view), partitions, whole_keys) for state in states] for view in views}
    clock = min((state["clock"] for state in states), key=lambda state: int(state[FIRM]))
    ids = _ids(states)
    found = []
    for partition in range(partitions):
        next_offset = int(states[partition]["enrich"][-1]) if partition < len(states) else 0
        columns: dict[str, packing.Column] = {"enrich": np.array([next_offset]), "clock": clock, **ids}
        for view in views:
            parts = [_taken(_part(s, view), home == partition) for s, home in zip(states, homes[view], strict=True)]
            columns |= {f"{view}.{name}": column for name, column in _joined(parts).items()}
            columns[f"{view}.watermark"] = np.array([min(int(state[f"{view}.watermark"][0]) for state in states)])
        found.append(packing.pack(columns))
    return found


def moved_updates(
    states: Sequence[Columns], partitions: int, offsets: Sequence[int], forget: bool = False
) -> list[bytes]:
    """Snapshots of `views`, from those of the partitions that there were, all read to their ends, for so many.

    What a view knows of its sources it was told in every partition alike.

    Args:
        offsets: up to which each partition was read.
        forget: the exchange has grown: how far its partitions said that labels are told holds no longer.
    """
    parts = [_part(state, "entities") for state in states]
    homes = [_homes(part, partitions, whole_keys=False) for part in parts]
    watermark = max(int(part["watermark"][0]) for part in parts)
    found = []
    for partition in range(partitions):
        joined = _joined([_taken(part, home == partition) for part, home in zip(parts, homes, strict=True)])
        joined["watermark"] = np.array([watermark])
        known = states[partition if partition < len(states) else 0]
        columns = {name: column for name, column in known.items() if name.startswith(("sources.", "exchange."))}
        if forget and "exchange.progress" in columns:
            columns |= _unheard(len(columns["exchange.progress"]))
        columns |= {"views": np.array([offsets[partition]])}
        found.append(packing.pack(columns | {f"entities.{name}": column for name, column in joined.items()}))
    return found


def _unheard(sources: int) -> dict[str, packing.Column]:
    """What is kept of marks before there were any, but for the offsets that are told: those of a log only ever grow."""
    fresh = Sources(sources, idle_after=0).columns()
    return {f"exchange.{name}": column for name, column in fresh.items() if name != "next_offset"}


def _part(columns: Columns, name: str) -> Columns:
    start = f"{name}."
    return {key.removeprefix(start): column for key, column in columns.items() if key.startswith(start)}


def _homes(columns: Columns, partitions: int, whole_keys: bool) -> Ints:
    """The partition that each entity belongs to."""
    sizes, data = columns["sizes"].astype(np.int64), np.ascontiguousarray(columns["keys"].astype(np.uint8))
    if whole_keys:
        keys = pa.array(data.view("<i8")).cast(pa.string())
    else:
        ends = np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes)])
        buffers = [None, pa.py_buffer(ends), pa.py_buffer(data)]
        keys = pa.Array.from_buffers(pa.large_binary(), len(sizes), buffers)
    return partitions_of(keys, partitions).astype(np.int64)


def _taken(columns: Columns, take: Flags) -> dict[str, packing.Column]:
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


def _joined(parts: Iterable[Columns]) -> dict[str, packing.Column]:
    held = list(parts)
    return {name: np.concatenate([part[name] for part in held]) for name in held[0]}


def _ids(states: Sequence[Columns]) -> dict[str, packing.Column]:
    """The ids that any partition remembers, for every one: an event's next copy comes to where its key belongs now."""
    if any(IDS not in state for state in states):
        return {}
    numbers = np.array([state[IDS] for state in states])
    found: dict[str, packing.Column] = {}
    counts = []
    for name in (f"{IDS}_new", f"{IDS}_former"):
        codes = np.concatenate([np.ascontiguousarray(state[f"{name}_codes"]).view(np.uint64) for state in states])
        checks = np.concatenate([np.ascontiguousarray(state[f"{name}_checks"]).view(np.uint16) for state in states])
        codes, at = np.unique(codes, return_index=True)
        found |= {f"{name}_codes": codes.view(np.int64), f"{name}_checks": checks[at].view(np.uint8)}
        counts.append(len(codes))
    # Begun when the last of them was: so none is forgotten before its time.
    found[IDS] = np.array([numbers[:, 0].max(), *counts, numbers[:, 3].max()])
    return found
