"""The state of a view is a fold of its log: however this is cut into batches, and whenever it is swept or published."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pyarrow as pa
from hypothesis import example, given, settings
from hypothesis import strategies as st

from headrace.columnar import packing
from headrace.domain.records.view_changelog import Entries, updates
from headrace.stores.online import MemoryStore
from headrace.streaming.records.batch import Batch
from headrace.streaming.watermarks.marks import Mark
from services.views.service import Views
from tests.enrich import cases

Step = tuple[int, bool, int, int, tuple[tuple[str, int], ...]]
"""A record: its source, whether that is idle, by how much its floor rose (or fell), how much later by the clock (ms) it
was written, and entries: room, and how far ahead of its source's floor."""

SOURCES = 2
steps = st.lists(
    st.tuples(
        st.integers(0, SOURCES - 1),
        st.booleans(),
        st.integers(-300, 400),
        st.sampled_from([0, 1, 2_000]),
        st.lists(st.tuples(st.sampled_from(["hall", "attic"]), st.integers(-50, 500)), max_size=4).map(tuple),
    ),
    max_size=30,
)


def log_of(told: Sequence[Step]) -> pa.RecordBatch:
    """The records of a view's one partition."""
    floors, offsets, now, parts = [0] * SOURCES, [0] * SOURCES, 0, []
    for source, idle, more, later, entries in told:
        floors[source] += more
        now += later
        first = offsets[source]
        offsets[source] += len(entries) + 1
        rooms, ahead = [room for room, _ in entries], np.array([time for _, time in entries], np.int64)
        places = first + np.arange(len(entries))
        given = Entries(pa.array(rooms, pa.string()), floors[source] + ahead, places, np.ones((len(entries), 1)))
        mark = Mark(source, offsets[source], floors[source] + 150, now, idle, floors[source])
        parts.append(updates(cases.ROOM, 1, [mark], given.marked(0)).columns)
    return pa.Table.from_batches(parts).combine_chunks().to_batches()[0]


def state(log: pa.RecordBatch, cuts: Sequence[int], sweeps: Sequence[int]) -> dict[str, tuple[int, list[int]]]:
    """What a member holds after the log in these batches, swept and published after these records of them.

    Of entities that hold nothing, only who publishes knows when they are forgotten.
    """
    views = Views(cases.pipeline(), cases.ROOM, MemoryStore(), behind_s=0.0 if sweeps else 1e9)
    views.start({"events": SOURCES, "view.room": 1})
    bounds = sorted({0, log.num_rows, *cuts, *sweeps})
    for low, high in pairwise(bounds):
        rows = log.slice(low, high - low)
        nobody = pa.array([b""] * rows.num_rows, pa.binary())
        nothing = np.zeros(rows.num_rows, np.int64)
        views.replay(
            Batch("view.room", rows, nobody, nothing.astype(np.int32), low + np.arange(rows.num_rows), nothing)
        )
        if high in sweeps:
            views.tick(float(high), {})
            views.snapshot(0)
    columns = packing.unpack(views.snapshot(0))
    sizes, lengths = columns["entities.sizes"], columns["entities.length"]
    key = entry = 0
    found: dict[str, tuple[int, list[int]]] = {}
    for size, length, rank in zip(sizes, lengths, columns["entities.rank"], strict=True):
        name, times = columns["entities.keys"][key : key + size], columns["entities.times"][entry : entry + length]
        key, entry = key + size, entry + length
        if length:
            found[name.tobytes().decode()] = (int(rank), times.tolist())
    return found


LONG = tuple(("hall", 10 * at) for at in range(3))


@given(steps.filter(bool), st.data())
@settings(max_examples=150, deadline=None)
@example([(0, False, 0, 0, LONG), (1, False, 0, 0, ()), (0, False, 900, 0, ()), (1, False, 900, 0, LONG)], None).via(
    "an entity that became empty in the middle of a batch"
)
@example(
    [(0, False, 0, 0, LONG), (1, True, 0, 0, ()), (0, False, 900, 0, ()), (1, True, 0, 2_000, ()),
     (0, False, 900, 0, ()), (1, True, 0, 2_000, ()), (1, False, 0, 0, LONG)], None,
).via("a horizon that falls, for a source woke up")  # fmt: skip  # one line each would hide the story
def test_cuts(told: list[Step], data: st.DataObject | None) -> None:
    """Records one by one, all at once, or as it comes with publications and snapshots between: one state."""
    log = log_of(told)
    places = st.lists(st.integers(1, log.num_rows), max_size=6)
    cuts, sweeps = ([1], [2]) if data is None else (data.draw(places), data.draw(places))
    whole = state(log, [], [])
    assert state(log, range(1, log.num_rows), []) == whole
    assert state(log, cuts, sweeps) == whole
    assert state(log, [], range(1, log.num_rows)) == whole
