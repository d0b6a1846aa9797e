"""Items on their way to the partition of another topic that their new key chooses, with the marks of their sources."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from headrace.columnar.partitioner import partitions_of
from headrace.streaming.records.batch import unslot
from headrace.streaming.watermarks.marks import Mark

Ints = npt.NDArray[np.int64]
MILLIS = pa.timestamp("ms", tz="UTC")
_BOUNDS = ("floor", "heard")


class Lists:
    """Which of so many lists each item goes into; those of one stay in their order.

    Parameters:
        which: for each item its list.
        count: number of lists.

    Attributes:
        size: items of each list.
        order: the items, those of a list together, in their own order.
    """

    def __init__(self, which: Ints, count: int) -> None:
        self.size: Ints = np.bincount(which, minlength=count)
        self.order: Ints = np.argsort(which, kind="stable")

    def lists(self, items: pa.Array | Ints, kind: pa.DataType | None = None) -> pa.ListArray:
        """The lists, in a list type or that of the items."""
        ends = np.concatenate([np.zeros(1, np.int64), np.cumsum(self.size)]).astype(np.int32)
        ordered = pa.array(items[self.order]) if isinstance(items, np.ndarray) else items.take(pa.array(self.order))
        return pa.ListArray.from_arrays(pa.array(ends), ordered, type=kind)


class Spread(Lists):
    """How items fall to records: one for every mark and every partition of a topic, so that all hear of each mark.

    Parameters:
        keys: what decides on the partition of each item (text, no nulls); its mark stands in `mark`.
        marks: of the sources.
        partitions: of the topic.

    Attributes:
        source, target: int32, by record: the mark's source, and the partition of the topic.
        size, order: see `Lists`; a record has one list of items.
    """

    def __init__(self, keys: pa.StringArray, mark: Ints, marks: Sequence[Mark], partitions: int) -> None:
        super().__init__(mark * partitions + partitions_of(keys, partitions), len(marks) * partitions)
        self._each = np.repeat(np.arange(len(marks)), partitions)
        self._marks = marks
        self.source = np.array([mark.source for mark in marks], np.int32)[self._each]
        self.target = np.tile(np.arange(partitions, dtype=np.int32), len(marks))

    def __len__(self) -> int:
        return len(self.size)

    def none(self, kind: pa.DataType) -> pa.ListArray:
        """For every record an empty list, of this list type."""
        ends, nothing = pa.array(np.zeros(len(self) + 1, np.int32)), pa.nulls(0, kind.value_type)
        return pa.ListArray.from_arrays(ends, nothing, type=kind)

    def same(self, word: str) -> pa.StringArray:
        """The same word for every record."""
        return pa.array([word] * len(self), pa.string())

    def place(self) -> dict[str, pa.Array]:
        """What a record says of its mark, but for `bounds`."""
        marks = self._marks
        return {
            "source_partition": pa.array(np.array([unslot(m.source)[1] for m in marks], np.int32)[self._each]),
            "next_offset": self._of_marks([mark.next_offset for mark in marks]),
            "progress": self._of_marks([mark.progress for mark in marks], MILLIS),
            "idle": self._of_marks([mark.idle for mark in marks]),
            "time": self._of_marks([mark.time for mark in marks], MILLIS),
        }

    def bounds(self) -> dict[str, pa.Array]:
        """What a record says of its mark to those who ask for entries by their times."""
        return {name: self._of_marks([getattr(mark, name) for mark in self._marks], MILLIS) for name in _BOUNDS}

    def _of_marks(self, numbers: Sequence[int | bool], kind: pa.DataType | None = None) -> pa.Array:
        """For every record the number of its mark."""
        return pa.array(np.asarray(numbers)[self._each], kind)
