"""What entries of a view keep of events: value columns of a batch, and whose they are in a checkpoint."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from headrace.columnar import packing
from headrace.columnar.hashes import codes_of
from headrace.domain.features.window_pool import Floats, Ints
from headrace.domain.pipeline.language.aggregation import ValueColumn
from headrace.domain.pipeline.spec import View
from headrace.errors import ContractError

NAMES = "names"
"""The column of a snapshot that says what its value columns are of."""
_BEYOND = np.uint64(12)
"""Bits of a hash that a float64 has no room for."""


def values_of(view: View, columns: pa.RecordBatch, times: Ints) -> Floats:
    """The value columns of a view for events, float64 (rows, values), null as NaN; `times` are theirs, ms."""
    found = np.empty((columns.num_rows, len(view.values)))
    for at, value in enumerate(view.values):
        numbers = _numbers(value, columns, times)
        if value.where is not None:
            numbers = np.where(value.where.evaluate(columns, times), numbers, np.nan)
        found[:, at] = numbers
    return found


def _numbers(value: ValueColumn, columns: pa.RecordBatch, times: Ints) -> npt.NDArray[np.float64] | float:
    if value.field is not None:
        column = columns.column(value.field)
        if column.type != pa.float64():
            column = column.cast(pa.float64(), safe=False)  # whole numbers that would be rounded were refused
        numbers: npt.NDArray[np.float64] = column.to_numpy(zero_copy_only=False)
        return numbers
    if value.of is None:
        return 1.0
    if value.codes is None:
        return value.of.numbers(columns, times)
    texts = value.of.texts(columns, times)
    if value.codes == "place":
        places = pc.index_in(texts, pa.array(value.listed, pa.string())).cast(pa.float64())
        return places.to_numpy(zero_copy_only=False)  # type: ignore[no-any-return]  # pyarrow says Any
    hashed = (codes_of(texts) >> _BEYOND).astype(np.float64)
    return np.where(texts.is_null().to_numpy(zero_copy_only=False), np.nan, hashed)


def names_of(view: View) -> tuple[str, ...]:
    """What the value columns of a view are called in records and checkpoints."""
    return tuple(value.name for value in view.values)


def packed_names(names: Sequence[str]) -> packing.Column:
    """Names as a column of a snapshot."""
    return np.array(bytearray("\n".join(names).encode()), np.uint8)


def check_names(packed: packing.Column | None, names: Sequence[str]) -> None:
    """Raise ContractError where the value columns of a snapshot are not these.

    A snapshot of before names were kept has None: it can only be of plain fields, which nothing else is called like.
    """
    if packed is None:
        strange = [name for name in names if not name.isidentifier()]
        if strange:
            held = f"state snapshot: kept by a version that knew nothing of {strange[0]}"
        else:
            return
    else:
        kept = bytes(packed.astype(np.uint8)).decode()
        if kept == "\n".join(names):
            return
        held = f"state snapshot: keeps {kept.splitlines()}, this view needs {list(names)}"
    raise ContractError(f"{held}: features of a running pipeline cannot be changed; give the pipeline another name")
