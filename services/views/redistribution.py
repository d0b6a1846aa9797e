"""Checkpoints of `views` for another number of partitions of a view's topic, or of those that tell it labels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from headrace.columnar import packing
from headrace.domain.features.redistribution import Columns, homes_of, joined, names_in, taken
from headrace.streaming.watermarks.sources import Sources


def moved_updates(
    states: Sequence[Columns], partitions: int, offsets: Sequence[int], forget: bool = False
) -> list[bytes]:
    """Snapshots of `views`, from those of the partitions that there were, all read to their ends, for so many.

    What a view knows of its sources it was told in every partition alike.

    Args:
        offsets: up to which each partition was read.
        forget: the exchange has grown: how far its partitions said that labels are told holds no longer.
    """
    parts = [packing.beneath(state, "entities.") for state in states]
    homes = [homes_of(part, partitions, whole_keys=False) for part in parts]
    watermark = max(int(part["watermark"][0]) for part in parts)
    found = []
    for partition in range(partitions):
        entities = joined([taken(part, home == partition) for part, home in zip(parts, homes, strict=True)])
        entities |= names_in(parts)
        entities["watermark"] = np.array([watermark])
        known = states[partition if partition < len(states) else 0]
        columns = {name: column for name, column in known.items() if name.startswith(("sources.", "exchange."))}
        if forget and "exchange.progress" in columns:
            columns |= _unheard(len(columns["exchange.progress"]))
        columns |= {"views": np.array([offsets[partition]])}
        found.append(packing.pack(columns | {f"entities.{name}": column for name, column in entities.items()}))
    return found


def _unheard(sources: int) -> dict[str, packing.Column]:
    """What is kept of marks before there were any, but for the offsets that are told: those of a log only ever grow."""
    fresh = Sources(sources, idle_after=0).columns()
    return {f"exchange.{name}": column for name, column in fresh.items() if name != "next_offset"}
