"""Which group of each segment a row belongs to."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from headrace.domain.pipeline.spec import Pipeline, Segment

Flags = npt.NDArray[np.bool_]
kernels: Any = pc  # its stubs know too few of the overloads
WHOLE = ("", "")
MISSING, OTHER = "missing", "other"


class Segments:
    """The segments of a pipeline, cut out of predictions and outcomes, which carry their columns."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._segments = [(segment, *pipeline.locate(segment.of)) for segment in pipeline.segments.values()]

    def groups(self, columns: pa.RecordBatch) -> Iterator[tuple[tuple[str, str], Flags | None]]:
        """((segment, group), its rows) for each group that rows belong to; first all rows, told as None.

        A number is in the group `low-high` of two neighbouring cuts when low <= number < high; what has no value is in
        `missing`, a value that the file does not list in `other`.
        """
        yield WHOLE, None
        for segment, struct, field in self._segments:
            column = columns.column(struct).field(field)
            codes, names = (_bands if segment.cuts else _values)(segment, column)
            for code in np.unique(codes).tolist():
                yield (segment.name, names[code]), codes == code


def group_names(segment: Segment) -> list[str]:
    """The groups that there can be."""
    if not segment.cuts:
        return [*map(str, segment.values), OTHER, MISSING]
    named = [_written(cut) for cut in segment.cuts]
    return [f"<{named[0]}", *(f"{low}-{high}" for low, high in pairwise(named)), f">={named[-1]}", MISSING]


def _bands(segment: Segment, column: Any) -> tuple[npt.NDArray[np.int64], list[str]]:
    cuts, names = segment.cuts, group_names(segment)
    numbers = column.cast(pa.float64(), safe=False).fill_null(np.nan).to_numpy(zero_copy_only=False)
    codes = np.searchsorted(np.array(cuts), numbers, side="right")
    codes[np.isnan(numbers)] = len(names) - 1
    return codes, names


def _written(cut: float) -> str:
    """A cut in few digits, in all of them where few would name another number.

    >>> _written(10.0), _written(1234567.0)
    ('10', '1234567.0')
    """
    short = f"{cut:g}"
    return short if float(short) == cut else repr(cut)


def _values(segment: Segment, column: Any) -> tuple[npt.NDArray[np.int64], list[str]]:
    names = group_names(segment)
    floating = pa.types.is_floating(column.type)
    listed = pa.array([float(v) if floating else v for v in segment.values]).cast(column.type)
    codes = kernels.index_in(column, value_set=listed).fill_null(len(names) - 2).to_numpy(zero_copy_only=False)
    codes = codes.astype(np.int64)
    codes[column.is_null().to_numpy(zero_copy_only=False)] = len(names) - 1
    return codes, names
