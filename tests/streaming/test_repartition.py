"""Items on their way to another topic's partitions: each once, with the marks of their sources in every partition."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from headrace.columnar.partitioner import partitions_of
from headrace.streaming.records.batch import slot
from headrace.streaming.watermarks.marks import NOTHING, Mark
from headrace.streaming.watermarks.repartition import Lists, Spread

MARKS = [Mark(slot(1, 7), 50, 900, 1_000), Mark(slot(0, 2), 60, 800, 2_000, idle=True, floor=300)]


@given(st.lists(st.tuples(st.text("abc", max_size=3), st.sampled_from([0, 1])), max_size=40), st.integers(1, 5))
def test_every_item_is_told_once_where_it_belongs(items: list[tuple[str, int]], partitions: int) -> None:
    """An item lies in the record of its mark and of its key's partition, items of one record in their own order."""
    keys, mark = pa.array([key for key, _ in items], pa.string()), np.array([at for _, at in items], np.int64)
    spread = Spread(keys, mark, MARKS, partitions)
    assert len(spread) == len(MARKS) * partitions
    homes = partitions_of(keys, partitions).tolist()
    wanted = [
        [place for place, (_, at) in enumerate(items) if (at, homes[place]) == (number, partition)]
        for number in range(len(MARKS))
        for partition in range(partitions)
    ]
    assert spread.lists(np.arange(len(items))).to_pylist() == wanted
    assert spread.lists(keys).to_pylist() == [[items[place][0] for place in places] for places in wanted]


def test_every_partition_hears_of_every_mark() -> None:
    """Each record names its mark's partition, not its number among a service's inputs, and says all of the mark."""
    spread = Spread(pa.array([], pa.string()), np.zeros(0, np.int64), MARKS, 2)
    assert spread.target.tolist() == [0, 1, 0, 1]
    assert spread.source.tolist() == [slot(1, 7)] * 2 + [2] * 2
    told = {name: column.cast(pa.int64()).to_pylist() for name, column in spread.place().items()}
    assert told == {
        "source_partition": [7, 7, 2, 2], "next_offset": [50, 50, 60, 60], "progress": [900, 900, 800, 800],
        "idle": [0, 0, 1, 1], "time": [1_000, 1_000, 2_000, 2_000],
    }  # fmt: skip  # a table
    bounds = {name: column.cast(pa.int64()).to_pylist() for name, column in spread.bounds().items()}
    assert bounds == {"floor": [NOTHING, NOTHING, 300, 300], "heard": [mark.heard for mark in MARKS for _ in (0, 1)]}
    assert spread.none(pa.list_(pa.int64())).to_pylist() == [[]] * 4


def test_lists_may_be_empty() -> None:
    """A list that no item goes into is empty, the last ones too."""
    assert Lists(np.array([2, 0, 2]), 4).lists(np.array([5, 6, 7])).to_pylist() == [[6], [], [5, 7], []]
