"""Tables in an ONNX graph: a column that holds the number of a category is replaced by what a table says of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from headrace.domain.training.graphs import INPUT
from headrace.domain.training.trainer import Matrix


@dataclass(frozen=True, slots=True, eq=False)
class CategoryTable:
    """What stands for each category of an input.

    Attributes:
        column: of the input, in the matrix.
        rows: float32 [known + 2, columns]: a row for each known category, one for any other, one for null.
        names: of the columns.
    """

    column: int
    rows: npt.NDArray[np.float32]
    names: tuple[str, ...]

    def places(self, numbers: npt.NDArray[np.floating]) -> npt.NDArray[np.int64]:
        """The row of each number (NaN for null), int64; numbers that there are none for count as the nearest."""
        last = len(self.rows) - 1
        known = np.clip(np.where(np.isnan(numbers), last, numbers), 0, last)
        found: npt.NDArray[np.int64] = known.astype(np.int64)
        return found


def looked_up(matrix: Matrix, tables: Sequence[CategoryTable], kept: Sequence[int]) -> Matrix:
    """A matrix with the columns `kept`, and behind them those of the tables, float32, column-major.

    >>> table = CategoryTable(0, np.array([[1.0], [0.0], [0.5]], np.float32), ("a",))
    >>> looked_up(np.array([[0, 7], [9, 8], [np.nan, 9]], np.float32), [table], [1]).tolist()
    [[7.0, 1.0], [8.0, 0.5], [9.0, 0.5]]
    """
    width = len(kept) + sum(len(table.names) for table in tables)
    found = np.empty((len(matrix), width), np.float32, order="F")
    for at, column in enumerate(kept):
        found[:, at] = matrix[:, column]
    at = len(kept)
    for table in tables:
        found[:, at : at + len(table.names)] = table.rows[table.places(matrix[:, table.column])]
        at += len(table.names)
    return found


def with_tables(graph: bytes, width: int, tables: Sequence[CategoryTable], kept: Sequence[int]) -> bytes:
    """A graph of what `looked_up` makes as one of the matrix before: `features` float32 [n, width].

    Args:
        graph: of one input, `features`, float32 [n, columns of `looked_up`].
        width: columns of the matrix.
    """
    model = ModelProto.FromString(graph)
    taken = {name for each in model.graph.node for name in (*each.input, *each.output)}
    stage = next(f"encoded_{number}" for number in count() if f"encoded_{number}" not in taken)
    for each in model.graph.node:
        for at, name in enumerate(each.input):
            if name == INPUT:
                each.input[at] = stage
    nodes: list[NodeProto] = []
    tensors: list[TensorProto] = []
    parts: list[str] = []

    def node(kind: str, inputs: list[str], name: str, **given: Any) -> str:
        nodes.append(helper.make_node(kind, inputs, [f"{stage}_{name}"], **given))
        return f"{stage}_{name}"

    def tensor(name: str, values: Any) -> str:
        tensors.append(numpy_helper.from_array(values, f"{stage}_{name}"))
        return f"{stage}_{name}"

    if kept:
        parts.append(node("Gather", [INPUT, tensor("kept", np.array(kept, np.int64))], "numbers", axis=1))
    first = tensor("first", np.array(0, np.float32)) if tables else ""
    for at, table in enumerate(tables):
        last = tensor(f"last_{at}", np.array(len(table.rows) - 1, np.float32))
        number = node(
            "Gather", [INPUT, tensor(f"column_{at}", np.array(table.column, np.int64))], f"number_{at}", axis=1
        )
        null = node("IsNaN", [number], f"null_{at}")
        known = node("Where", [null, last, number], f"known_{at}")
        within = node("Clip", [known, first, last], f"within_{at}")
        place = node("Cast", [within], f"place_{at}", to=TensorProto.INT64)
        parts.append(node("Gather", [tensor(f"rows_{at}", table.rows), place], f"said_{at}", axis=0))
    nodes.append(helper.make_node("Concat", parts, [stage], axis=1))
    whole = [NodeProto.FromString(each.SerializeToString()) for each in model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend([*nodes, *whole])
    model.graph.initializer.extend(tensors)
    del model.graph.input[:]
    model.graph.input.append(helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, [None, width]))
    return bytes(model.SerializeToString(deterministic=True))
