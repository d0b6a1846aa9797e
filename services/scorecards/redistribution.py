"""Sums that move to where keys belong after topics have grown: as they are, for sums add up wherever they lie.

What was told of a model lies in the partition of its name: it goes where that is now. Sums of outcomes stay, whatever
partition they came from; what is remembered of an entity's day goes where its next outcome comes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from headrace.columnar.arrow_stream import stream, streamed
from headrace.columnar.partitioner import partitions_of
from headrace.domain.pipeline.segments import WHOLE
from headrace.domain.scorecards.identity import Identity
from headrace.domain.scorecards.partial_aggregate import NOTHING, pack
from headrace.domain.scorecards.window_sums import STATE
from headrace.streaming.watermarks.event_time import Clock

Row = dict[str, Any]
Place = tuple[Any, ...]
_PLACE = ("window", *Identity._fields, "generation")


def moved_parts(states: Sequence[bytes], partitions: int) -> list[bytes]:
    """Snapshots of what was told of models, from those of the partitions that there were, for so many."""
    tables = [streamed(state) for state in states]
    told = pa.concat_tables(tables, promote_options="default")  # some have memos
    names = (told[name] for name in Identity._fields)
    texts = [Identity(*each).text for each in zip(*(column.to_pylist() for column in names), strict=True)]
    homes = partitions_of(pa.array(texts, pa.string()), partitions) if texts else np.zeros(0, np.int32)
    return [stream(told.filter(pa.array(homes == partition))) for partition in range(partitions)]


def began(states: Sequence[bytes]) -> bytes:
    """The snapshot of a partition of outcomes that begins where the furthest other is: nothing is young there that was
    given up here.
    """
    clock = max((_clock(state) for state in states), key=lambda clock: clock.firm)
    row = {"window": None, "next_offset": 0, "clock": clock.state.tobytes()}
    return stream(pa.Table.from_pylist([row], schema=STATE))


def _clock(state: bytes) -> Clock:
    """How far the event time of a partition's sums has come."""
    return Clock(np.frombuffer(streamed(state)["clock"][0].as_py(), np.int64))


def moved_sums(
    states: Sequence[bytes], given_up: Callable[[int, int, int], bool], offsets: Sequence[int]
) -> list[bytes]:
    """Snapshots of the sums of outcomes, each entity's days in the partition of the entity.

    Args:
        states: of all partitions that there are.
        given_up: (time, start, generation): whether a window's part of a generation is no longer kept where event time
            has come so far. What is left of one where its entity belongs is a part of its own that must not be
            written over, so its entity stays where it is.
        offsets: up to which each partition was folded.
    """
    rows = [streamed(state).to_pylist() for state in states]
    clocks = [_clock(state) for state in states]
    parts: list[dict[Place, Row]] = [
        {tuple(row[name] for name in _PLACE): row for row in part if row["window"] is not None} for part in rows
    ]
    days: list[dict[Place, list[pa.Table]]] = [{} for _ in states]
    for partition, mine in enumerate(parts):
        for place, row in mine.items():
            if not row["entities"]:
                continue
            table = streamed(row["entities"])
            homes = partitions_of(table["entity"].combine_chunks(), len(states))
            stay = [given_up(clock.firm, row["window"], row["generation"]) for clock in clocks]
            homes = np.where(np.array(stay)[homes], partition, homes)
            for home in np.unique(homes).tolist():
                days[home].setdefault(place, []).append(table.filter(pa.array(homes == home)))
    found = []
    for partition, mine in enumerate(parts):
        for place in days[partition]:
            if place not in mine:
                mine[place] = dict(zip(_PLACE, place, strict=True)) | {"tallies": pack({WHOLE: NOTHING})}
        made = [
            row
            | {
                "entities": stream(pa.concat_tables(days[partition][place])) if place in days[partition] else b"",
                "next_offset": offsets[partition],
            }
            for place, row in mine.items()
        ]
        if not made:
            made = [{"window": None, "next_offset": offsets[partition]}]
        made[0]["clock"] = clocks[partition].state.tobytes()
        found.append(stream(pa.Table.from_pylist(made, schema=STATE)))
    return found
