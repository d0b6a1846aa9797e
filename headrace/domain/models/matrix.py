"""From the columns of the features topic to the matrix that a model takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from headrace.domain.models.categories import CategoryCodes, kind_fault
from headrace.domain.models.package import Input
from headrace.errors import ContractError

EVENT = "event"  # the struct with the event's own fields; its fields are named without a prefix (`amount`)


@dataclass(frozen=True, slots=True)
class FeatureMatrix:
    """Where each input of a model stands in the columns; made once per model, used for every batch.

    Attributes:
        paths: per input, (struct column, field).
        dtype: float64 when any input asks for it.
        codes: per input that is a category, its place among the inputs and which numbers stand for what.
    """

    paths: tuple[tuple[str, str], ...]
    dtype: type[np.float32] | type[np.float64]
    codes: tuple[tuple[int, CategoryCodes], ...] = ()

    @classmethod
    def resolve(cls, inputs: Sequence[Input], schema: pa.Schema, title: str) -> FeatureMatrix:
        """Find a model's inputs in the schema of the features topic; `title` names the model in messages.

        Raises:
            ContractError: naming every input that the schema lacks, or has as something other than a number where the
                model counts with one, or a text or an integer where it takes a category.
        """
        paths, faults = [], []
        for given in inputs:
            struct, _, field = given.name.rpartition(".")
            struct = struct or EVENT
            paths.append((struct, field))
            fault = _fault(schema, struct, field, given.codes is not None)
            if fault:
                faults.append(f"{given.name} ({fault})")
        if faults:
            raise ContractError(f"{title} takes inputs that the features topic lacks: {', '.join(faults)}")
        wide = any(i.dtype == "float64" for i in inputs)
        codes = tuple((at, given.codes) for at, given in enumerate(inputs) if given.codes is not None)
        return cls(tuple(paths), np.float64 if wide else np.float32, codes)

    def of(self, columns: pa.RecordBatch | pa.Table) -> npt.NDArray[np.float32] | npt.NDArray[np.float64]:
        """The matrix [rows, inputs], column-major, nulls as NaN, true and false as 1 and 0, categories as numbers."""
        matrix: npt.NDArray[Any] = np.empty((columns.num_rows, len(self.paths)), dtype=self.dtype, order="F")
        structs: dict[str, Any] = {name: columns.column(name) for name, _ in set(self.paths)}
        codes = dict(self.codes)
        for place, (struct, field) in enumerate(self.paths):
            values = pc.struct_field(structs[struct], field)
            if place in codes:
                matrix[:, place] = codes[place].of(values)
                continue
            if values.null_count or pa.types.is_boolean(values.type):
                # Through Arrow: NumPy has neither nulls nor a quick way from Arrow's packed bits.
                values = values.cast(pa.uint8()) if pa.types.is_boolean(values.type) else values
                values = values.cast(pa.float64(), safe=False).fill_null(np.nan)
            matrix[:, place] = values.to_numpy(zero_copy_only=False)
        return matrix


def _fault(schema: pa.Schema, struct: str, field: str, category: bool) -> str | None:
    if struct not in schema.names:
        return f"no column {struct}"
    kind = schema.field(struct).type
    if not pa.types.is_struct(kind) or kind.get_field_index(field) < 0:
        return f"no field {field} in {struct}"
    value = kind.field(kind.get_field_index(field)).type
    if category:
        return kind_fault(value)
    if not (pa.types.is_integer(value) or pa.types.is_floating(value) or pa.types.is_boolean(value)):
        return f"it is {value}, no number"
    return None
