"""From a category's text to the number that stands for it in the rows that a model takes.

Rows are numbers everywhere: in packages, in bins, where contributions are asked for. So a category is its place among
those that the package knows by name, or the bucket that its text falls into; what the number means to the model is in
its graph. All that a package does not know has one number more, and null is NaN, as every missing value.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from headrace.columnar.partitioner import partitions_of

kernels: Any = pc  # its stubs know too few of the overloads

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class CategoryCodes:
    """Which number stands for which category of an input.

    Attributes:
        levels: categories by their number.
        buckets: how many numbers there are where none is known by name: that of a category is Kafka's murmur2 of its
            UTF-8, modulo so many. None where `levels` count.
    """

    levels: tuple[str, ...] = ()
    buckets: int | None = None

    @property
    def unseen(self) -> int:
        """The number of every category that is not known; all others are below."""
        return len(self.levels) if self.buckets is None else self.buckets

    def of(self, values: Any) -> Floats:
        """The number of each category, float64 of the same length, NaN for null.

        Args:
            values: an Arrow array of strings, dictionaries of them, or integers, chunked or not.

        >>> CategoryCodes(("a", "7")).of(pa.array(["7", None, "b", "a"])).tolist()
        [1.0, nan, 2.0, 0.0]
        >>> CategoryCodes(("7",)).of(pa.array([7, 8])).tolist()
        [0.0, 1.0]
        >>> CategoryCodes(buckets=4).of(pa.array(["596", "abc", None])).tolist()
        [0.0, 3.0, nan]
        """
        values = texts(values)
        missing = values.is_null().to_numpy(zero_copy_only=False)
        if self.buckets is not None:
            found = partitions_of(values.fill_null(""), self.buckets).astype(np.float64)
        else:
            places = kernels.index_in(values, value_set=pa.array(self.levels, pa.string()))
            found = places.fill_null(self.unseen).to_numpy(zero_copy_only=False).astype(np.float64)
        return np.where(missing, np.nan, found)

    def name(self, number: int) -> str:
        """How people read a number.

        >>> [CategoryCodes(("a",)).name(number) for number in (0, 1)], CategoryCodes(buckets=4).name(2)
        (['a', 'unseen'], 'bucket 2')
        """
        if number >= self.unseen:
            return "unseen"
        return self.levels[number] if self.buckets is None else f"bucket {number}"


def texts(values: Any) -> Any:
    """Categories as one Arrow array of strings."""
    whole = values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
    if isinstance(whole, pa.ChunkedArray):  # without any chunk there is nothing to combine
        whole = pa.array([], whole.type)
    return whole.cast(pa.string())


def levels_of(values: Any, most: int) -> tuple[str, ...]:
    """The most frequent categories, so many at most, the first by name of equally frequent ones; by name.

    >>> levels_of(pa.array(["b", "a", "b", None, "c"]), 2)
    ('a', 'b')
    """
    counted = [(row["counts"], row["values"]) for row in texts(values).drop_null().value_counts().to_pylist()]
    counted.sort(key=lambda pair: (-pair[0], pair[1]))
    return tuple(sorted(level for _, level in counted[:most]))


def kind_fault(kind: pa.DataType) -> str | None:
    """Why a column of this type is no category; None where it may be one."""
    inner = kind.value_type if pa.types.is_dictionary(kind) else kind
    if pa.types.is_string(inner) or pa.types.is_large_string(inner) or pa.types.is_integer(inner):
        return None
    return f"it is {kind}, no category"
