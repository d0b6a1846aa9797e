"""Rows that a model in a file is tried on: a person's or made-up ones, as its library and its package take them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from headrace.domain.models.categories import CategoryCodes
from headrace.domain.models.package import Input
from headrace.domain.registry.estimators import trial_rows
from headrace.domain.registry.model_files.columns import MatchedColumn
from headrace.errors import ContractError

kernels: Any = pc  # its stubs know too few of the overloads
MADE_UP = 2_000
UNSEEN = "\N{SYMBOL FOR NULL} unseen"
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class TriedRows:
    """Rows, column by column in the model's order.

    Attributes:
        values: of each column: float64, or an Arrow array of texts.
        expected: answers that a person's sample has, [n], or [n, classes]; None where it has none.
        sample: whether they are a person's.
        holes: whether some of their values were taken out.
    """

    values: tuple[Any, ...]
    expected: Floats | None = None
    sample: bool = False
    holes: bool = False

    def __len__(self) -> int:
        return len(self.values[0])

    @property
    def numbers(self) -> Floats:
        """All columns as a matrix [n, columns], where none is a text."""
        return np.column_stack(self.values)

    def numbered(self, levels: Mapping[int, tuple[str, ...]]) -> Floats:
        """All columns as a matrix, categories as a library numbers them; NaN for one that it does not know."""
        columns = list(self.values)
        for at, known in levels.items():
            numbers = CategoryCodes(known).of(columns[at])
            columns[at] = np.where(numbers < len(known), numbers, np.nan)
        return np.column_stack(columns)

    def kept(self, which: npt.NDArray[np.bool_]) -> TriedRows:
        """Those rows alone."""
        values = tuple(
            each[which] if isinstance(each, np.ndarray) else each.filter(pa.array(which)) for each in self.values
        )
        return TriedRows(values, None if self.expected is None else self.expected[which], self.sample, self.holes)

    def matrix(self, inputs: Sequence[Input]) -> npt.NDArray[Any]:
        """What a package of these inputs is fed, [n, inputs], column-major."""
        wide = np.float64 if any(each.dtype == "float64" for each in inputs) else np.float32
        matrix = np.empty((len(self), len(inputs)), wide, order="F")
        for at, (given, values) in enumerate(zip(inputs, self.values, strict=True)):
            matrix[:, at] = given.codes.of(values) if given.codes is not None else values
        return matrix


def sampled(table: pa.Table, columns: Sequence[MatchedColumn], expected: Sequence[str]) -> TriedRows:
    """A person's rows.

    Args:
        table: with a column for each of the model's, called as it or as its feature.
        expected: its columns of answers: one, or one for each of several classes.

    Raises:
        ContractError: a column is missing, or holds what it may not; says which, and the row.
    """
    missing, values = [], []
    for column in columns:
        name = next((name for name in (column.feature, column.column) if name in table.column_names), None)
        if name is None:
            missing.append(column.feature)
            continue
        found = _texts(table, name) if column.kind == "text" else _numbers(table, name)
        # As events are fed to it: the library is asked about the same numbers.
        values.append(found.astype(np.float32).astype(np.float64) if column.kind == "float32" else found)
    missing += [name for name in expected if name not in table.column_names]
    if missing:
        raise ContractError(
            f"the sample has no {', '.join(missing)}; it has {', '.join(table.column_names)}: call its columns as the "
            "features, or as the model's columns"
        )
    if not table.num_rows:
        raise ContractError("the sample has no rows: nothing is proven by it")
    answers = [_numbers(table, name) for name in expected]
    told = None if not answers else answers[0] if len(answers) == 1 else np.column_stack(answers)
    return TriedRows(tuple(values), told, sample=True)


def _texts(table: pa.Table, name: str) -> pa.Array:
    whole = table.column(name).combine_chunks()
    inner = whole.type.value_type if pa.types.is_dictionary(whole.type) else whole.type
    if pa.types.is_string(inner) or pa.types.is_large_string(inner) or pa.types.is_integer(inner):
        return whole.cast(pa.string())
    raise ContractError(f"the sample's {name} is {whole.type}, and the model takes texts: write them as texts")


def _numbers(table: pa.Table, name: str) -> Floats:
    whole = table.column(name).combine_chunks()
    if pa.types.is_null(whole.type):
        return np.full(len(whole), np.nan)
    if pa.types.is_boolean(whole.type):
        whole = whole.cast(pa.uint8())
    if not (pa.types.is_integer(whole.type) or pa.types.is_floating(whole.type)):
        place = next((at for at, value in enumerate(whole.to_pylist()) if value is not None), 0)
        raise ContractError(
            f"the sample's {name} is {whole.type}, and the model takes numbers: row {place + 1} has {whole[place]}"
        )
    found: Floats = kernels.fill_null(whole.cast(pa.float64(), safe=False), np.nan).to_numpy(zero_copy_only=False)
    return found


def made_up(
    graph: bytes, inputs: Sequence[Input], columns: Sequence[MatchedColumn], strict: Sequence[str]
) -> TriedRows:
    """Rows where trees decide and lines bend; of texts those that are known, and others where those have an answer."""
    rng = np.random.default_rng(1)
    numbers = trial_rows(graph, len(inputs), MADE_UP)
    values: list[Any] = []
    for at, (given, column) in enumerate(zip(inputs, columns, strict=True)):
        if given.levels is not None:
            texts = [*given.levels, *([] if given.name in strict else [UNSEEN])]
            values.append(pa.array(np.array(texts, object)[rng.integers(0, len(texts), MADE_UP)], pa.string()))
        elif column.kind == "integer":
            values.append(rng.integers(0, 10, MADE_UP).astype(np.float64))
        elif column.kind == "boolean":
            values.append(rng.integers(0, 2, MADE_UP).astype(np.float64))
        else:
            values.append(numbers[:, at].astype(np.float64))
    return TriedRows(tuple(values))


def with_holes(rows: TriedRows, columns: Sequence[MatchedColumn]) -> TriedRows:
    """The same with one in fifty of the numbers missing that may have a fraction."""
    rng = np.random.default_rng(2)
    pairs = zip(columns, rows.values, strict=True)
    holes = [
        np.where(rng.random(len(rows)) < 0.02, np.nan, values) if column.kind in ("float32", "float64") else values
        for column, values in pairs
    ]
    return TriedRows(tuple(holes), sample=rows.sample, holes=True)
