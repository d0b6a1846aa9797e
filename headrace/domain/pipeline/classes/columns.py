"""Chances of classes as records have them: a field for each class, in the order of the pipeline file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

arrays: Any = pa  # their stubs know too few of the overloads
kernels: Any = pc
Floats = npt.NDArray[np.float64]
SCORES, CLASS, LABEL_CLASS = "scores", "class", "label_class"
"""Columns of predictions and outcomes: chances, the class decided on, the class that was true."""
NO_CLASS = -1
"""In the place of a class that is none."""


def chances_of(columns: pa.RecordBatch) -> Floats:
    """The chances of each row, float64 [rows, classes], C-contiguous; NaN where one is null.

    >>> rows = pa.RecordBatch.from_pylist([{"scores": {"cat": 0.25, "dog": 0.75}}])
    >>> chances_of(rows).tolist()
    [[0.25, 0.75]]
    """
    told = columns.column(SCORES)
    fields = [told.field(at).fill_null(np.nan).to_numpy(zero_copy_only=False) for at in range(told.type.num_fields)]
    return np.ascontiguousarray(np.column_stack(fields).astype(np.float64, copy=False))


def told_chances(chances: Floats, kind: pa.StructType) -> pa.StructArray:
    """What `chances_of` reads."""
    each = [pa.array(np.ascontiguousarray(chances[:, at])) for at in range(kind.num_fields)]
    return arrays.StructArray.from_arrays(each, fields=list(kind))


def places_of(names: pa.Array, classes: Sequence[str]) -> npt.NDArray[np.int64]:
    """The place of each name among classes, int64; `NO_CLASS` for null, and for what is none of them."""
    found = kernels.index_in(names.cast(pa.string()), value_set=arrays.array(classes, pa.string()))
    places: npt.NDArray[np.int64] = found.fill_null(NO_CLASS).to_numpy(zero_copy_only=False).astype(np.int64)
    return places


def names_at(places: Floats, classes: Sequence[str]) -> pa.Array:
    """The class at each place (float64, a whole number); null for NaN."""
    unknown = np.isnan(places)
    at = pa.array(np.where(unknown, 0, places).astype(np.int64), mask=unknown)
    return arrays.array(classes, pa.string()).take(at)
