"""A graph of others as one that a package may hold: fed by features, a column each, answering scores alone.

What is one tensor of floats stays as it is. Else every feature becomes an input of its own, of which the tensors that
the graph wants are made: integers from 64-bit numbers, texts from the numbers of categories. A row that holds what the
graph's library would refuse (no integer, a text that it does not know) gets NaN for an answer: `score` dead-letters
it, and the rows beside it are answered.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, helper, numpy_helper

from headrace.domain.models.checks.graph_policy import answer_of, keep
from headrace.domain.models.package import Dtype, Input
from headrace.domain.registry.model_files.columns import ColumnKind, FileColumns, MatchedColumn
from headrace.domain.registry.model_files.text_encoders import TextColumn, TextEncoders, replace_encoders_of_numbers
from headrace.errors import ContractError

KINDS: dict[Any, ColumnKind] = {
    TensorProto.FLOAT: "float32",
    TensorProto.DOUBLE: "float64",
    TensorProto.INT64: "integer",
    TensorProto.INT32: "integer",
    TensorProto.BOOL: "boolean",
    TensorProto.STRING: "text",
}
DTYPES: dict[ColumnKind, Dtype] = {"float32": "float32", "text": "float32", "float64": "float64"}
"""Of features that feed a column; all others are 64 bits wide, so that integers keep their last digit."""
ELEMENTS = {"float32": TensorProto.FLOAT, "float64": TensorProto.DOUBLE}
EXACT = 2.0**53
"""Integers from here on are no longer told apart as 64-bit numbers."""
PREFIX, SCORE = "model/", "score"
LEAST_OPSET, OPSET = 11, 17
REMEDY = "convert it anew with target_opset=17"


@dataclass(frozen=True, slots=True)
class FedGraph:
    """A graph that features feed.

    Attributes:
        graph: ONNX.
        inputs: of the package, in the graph's order.
        output: its answer.
        strict: inputs whose unknown categories get no answer.
    """

    graph: bytes
    inputs: tuple[Input, ...]
    output: str
    strict: tuple[str, ...] = ()


def inputs_of(graph: onnx.GraphProto) -> list[FileColumns]:
    """What a graph takes. ContractError: inputs that no features can feed; with the remedy."""
    known = {tensor.name for tensor in graph.initializer}
    found = []
    for each in graph.input:
        if each.name in known:
            continue
        tensor = each.type.tensor_type
        kind = KINDS.get(tensor.elem_type)
        if kind is None:
            name = TensorProto.DataType.Name(tensor.elem_type)
            raise ContractError(f"its graph's input {each.name} takes {name}: convert it with FloatTensorType")
        shape = tensor.shape.dim
        if len(shape) not in (1, 2):
            raise ContractError(
                f"its graph's input {each.name} has {len(shape)} dimensions, and rows of features have two: convert it "
                "with the shape [rows, columns]"
            )
        # Converters of old write 0 for a number of rows that is open.
        if shape[0].HasField("dim_value") and shape[0].dim_value > 0:
            raise ContractError(
                f"its graph's input {each.name} takes {shape[0].dim_value} rows only: convert it with an open number "
                "of rows (torch.onnx.export: dynamic_axes; initial_types: [None, columns])"
            )
        width = 1 if len(shape) == 1 else shape[1].dim_value or None
        found.append(FileColumns(each.name, kind, width))
    if not found:
        raise ContractError("its graph takes no inputs: it answers the same for every row")
    return found


def fed_by_features(
    model: onnx.ModelProto,
    output: str,
    matched: Sequence[tuple[FileColumns, Sequence[MatchedColumn]]],
    levels: Mapping[int, tuple[str, ...]] | None = None,
) -> FedGraph:
    """The graph, fed by what was matched to each of its inputs.

    Args:
        model: changed.
        output: its answer, probabilities or maps of them.
        matched: each input and what feeds its columns, in the graph's order.
        levels: of columns of one tensor that are numbers of categories, by their place.

    Raises:
        ContractError: it takes texts in a way that cannot be served, or is too old to be changed.
    """
    graph = model.graph
    single = matched[0][0] if len(matched) == 1 else None
    if single is not None and single.kind in ("float32", "float64") and len(_tensor(graph, single.name).shape.dim) == 2:
        _open_rows(graph, single.name, len(matched[0][1]))
        if any(node.op_type in ("OneHotEncoder", "LabelEncoder") for node in graph.node):
            keep(graph, output)
            output = graph.output[0].name
            _check_opset(model)
            replace_encoders_of_numbers(graph)
        known = levels or {}
        inputs = tuple(
            Input(name=each.feature, dtype=DTYPES[each.kind], levels=known.get(at))
            for at, each in enumerate(matched[0][1])
        )
        return FedGraph(bytes(model.SerializeToString(deterministic=True)), inputs, output)
    _check_opset(model)
    answer = answer_of(graph, output)
    keep(graph, output)
    widths = {given.name: len(columns) for given, columns in matched if given.kind == "text"}
    texts = TextEncoders(graph, widths)
    texts.replace()
    replace_encoders_of_numbers(graph)
    _rename(graph)
    front = _Front()
    for given, columns in matched:
        front.take(given, columns, texts.columns.get(given.name, []), _tensor(graph, PREFIX + given.name))
    del graph.input[:]
    graph.input.extend(
        helper.make_tensor_value_info(each.name, ELEMENTS[each.dtype], [None, 1]) for each in front.inputs
    )
    nodes = [*front.nodes, *(NodeProto.FromString(node.SerializeToString()) for node in graph.node)]
    answered = PREFIX + answer
    if front.fine:
        nodes += _masked(front.fine, answered, graph)
        answered = SCORE
    del graph.node[:]
    graph.node.extend(nodes)
    graph.initializer.extend(front.tensors)
    del graph.output[:]
    graph.output.append(helper.make_tensor_value_info(answered, TensorProto.FLOAT, None))
    del graph.value_info[:]
    written = bytes(model.SerializeToString(deterministic=True))
    return FedGraph(written, tuple(front.inputs), answered, tuple(front.strict))


class _Front:
    """What stands before a graph: an input for each feature, and the tensors that are made of them."""

    def __init__(self) -> None:
        self.inputs: list[Input] = []
        self.nodes: list[NodeProto] = []
        self.tensors: list[TensorProto] = []
        self.fine: list[str] = []
        self.strict: list[str] = []

    def take(
        self, given: FileColumns, columns: Sequence[MatchedColumn], texts: Sequence[TextColumn], tensor: Any
    ) -> None:
        """Make an input of the graph from its columns."""
        parts = []
        for at, column in enumerate(columns):
            levels = tuple(texts[at].levels) if texts else None
            name = column.feature
            self.inputs.append(Input(name=name, dtype=DTYPES.get(column.kind, "float64"), levels=levels))
            if column.kind in ("integer", "boolean"):
                name = self._exact(name, tensor.elem_type)
            elif texts and texts[at].strict:
                self._known(name, len(texts[at].levels))
            parts.append(name)
        joined = PREFIX + given.name
        if len(tensor.shape.dim) == 1:
            self.tensors.append(numpy_helper.from_array(np.array([-1], np.int64), f"{joined}/flat"))
            self.nodes.append(helper.make_node("Reshape", [parts[0], f"{joined}/flat"], [joined]))
        elif len(parts) == 1:
            self.nodes.append(helper.make_node("Identity", parts, [joined]))
        else:
            self.nodes.append(helper.make_node("Concat", parts, [joined], axis=1))

    def _exact(self, name: str, kind: int) -> str:
        """A column as integers, or as true and false; what is missing, or too large to be exact, has no answer."""
        cast, size, most = f"{name}/cast", f"{name}/size", f"{name}/most"
        self.tensors.append(numpy_helper.from_array(np.array(EXACT, np.float64), most))
        self.nodes += [
            helper.make_node("Cast", [name], [cast], to=kind),
            helper.make_node("Abs", [name], [size]),
            helper.make_node("Less", [size, most], [f"{name}/fine"]),
        ]
        self.fine.append(f"{name}/fine")
        return cast

    def _known(self, name: str, count: int) -> None:
        """A category that is known; NaN, which is null, is less than nothing."""
        self.tensors.append(numpy_helper.from_array(np.array(count, np.float32), f"{name}/levels"))
        self.nodes.append(helper.make_node("Less", [name, f"{name}/levels"], [f"{name}/fine"]))
        self.fine.append(f"{name}/fine")
        self.strict.append(name)


def _masked(fine: Sequence[str], answer: str, graph: onnx.GraphProto) -> list[NodeProto]:
    """The answer where all is fine, else NaN."""
    nodes, all_fine = [], fine[0]
    for count, each in enumerate(fine[1:]):
        nodes.append(helper.make_node("And", [all_fine, each], [f"fine{count}"]))
        all_fine = f"fine{count}"
    graph.initializer.append(numpy_helper.from_array(np.array(np.nan, np.float32), "nothing"))
    graph.initializer.append(numpy_helper.from_array(np.array([0, -1], np.int64), "rows"))
    return [
        *nodes,
        helper.make_node("Reshape", [answer, "rows"], ["answer"]),
        helper.make_node("Cast", ["answer"], ["told"], to=TensorProto.FLOAT),
        helper.make_node("Where", [all_fine, "told", "nothing"], [SCORE]),
    ]


def _check_opset(model: onnx.ModelProto) -> None:
    """Raise ContractError where what is put in front could not be written in the graph's own version."""
    found = [each for each in model.opset_import if each.domain in ("", "ai.onnx")]
    if not found:
        model.opset_import.append(helper.make_opsetid("", OPSET))
        model.ir_version = max(model.ir_version, 8)
    elif found[0].version < LEAST_OPSET:
        raise ContractError(f"its graph is of opset {found[0].version}, and {LEAST_OPSET} is the least: {REMEDY}")


def _tensor(graph: onnx.GraphProto, name: str) -> Any:
    return next(each for each in graph.input if each.name == name).type.tensor_type


def _open_rows(graph: onnx.GraphProto, name: str, width: int) -> None:
    dims = _tensor(graph, name).shape.dim
    if dims[0].HasField("dim_value"):
        dims[0].dim_param = "rows"
    if not dims[1].dim_value:
        dims[1].dim_value = width


def _rename(graph: onnx.GraphProto) -> None:
    """Give every tensor a name that no feature has."""
    for node in graph.node:
        for field in (node.input, node.output):
            for place, name in enumerate(field):
                field[place] = PREFIX + name if name else name
    for tensor in graph.initializer:
        tensor.name = PREFIX + tensor.name
    for value in (*graph.input, *graph.output):
        value.name = PREFIX + value.name
