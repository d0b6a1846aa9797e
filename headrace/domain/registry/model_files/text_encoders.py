"""Encoders in a graph as comparisons of numbers.

A category is its place among the levels that the package names (ADR 54), so nothing in a graph that is served may take
texts. Converters write `OneHotEncoder` and `LabelEncoder` for them, which list the texts that they know. Each becomes a
comparison of a number with the numbers of those texts: `Equal` with one column a text, and for values a product of
that with them. Both are exact, and keep rows apart. Encoders of numbers are replaced likewise.

References:
    ONNX, operators of ai.onnx.ml: https://onnx.ai/onnx/operators/
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import NodeProto, TensorProto, helper, numpy_helper

from headrace.errors import ContractError

LABELS, ONE_HOT = "LabelEncoder", "OneHotEncoder"
REMEDY = "encode texts by OneHotEncoder, OrdinalEncoder or TargetEncoder before the model is converted"


@dataclass(frozen=True, slots=True)
class Encoder:
    """What an encoder says.

    Attributes:
        keys: that it knows, texts or numbers.
        values: of the keys; None: a column for each key, 1 where it is the one.
        default: value of what it does not know; None: its library refuses that.
        whole: whether values are integers.
    """

    keys: tuple[Any, ...]
    values: tuple[float, ...] | None
    default: float | None
    whole: bool = False

    @property
    def of_texts(self) -> bool:
        """Whether its keys are texts."""
        return any(isinstance(key, str) for key in self.keys)


def encoder_of(node: NodeProto) -> Encoder | None:
    """What a node encodes; None where it is no encoder, or none to numbers."""
    given = {each.name: helper.get_attribute_value(each) for each in node.attribute}
    if node.op_type == ONE_HOT:
        keys = _plain(given.get("cats_strings")) or _plain(given.get("cats_int64s"))
        return Encoder(keys, None, 0.0 if given.get("zeros", 1) else None)
    if node.op_type != LABELS:
        return None
    keys, values = _listed(given, "keys"), _listed(given, "values")
    if not keys or any(isinstance(value, str) for value in values) or len(keys) != len(values):
        return None
    whole = all(isinstance(value, int) for value in values)
    default = given.get("default_int64" if whole else "default_float")
    if "default_tensor" in given:
        default = numpy_helper.to_array(given["default_tensor"]).reshape(-1)[0]
    return Encoder(keys, tuple(map(float, values)), None if default is None else float(default), whole)


def _listed(given: Mapping[str, Any], what: str) -> tuple[Any, ...]:
    if f"{what}_tensor" in given:
        return _plain(numpy_helper.to_array(given[f"{what}_tensor"]).reshape(-1).tolist())
    return next(
        (_plain(given[f"{what}_{kind}"]) for kind in ("strings", "int64s", "floats") if given.get(f"{what}_{kind}")), ()
    )


def _plain(values: Sequence[Any] | None) -> tuple[Any, ...]:
    return tuple(value.decode(errors="replace") if isinstance(value, bytes) else value for value in values or ())


@dataclass(slots=True)
class TextColumn:
    """A column of texts that a graph takes.

    Attributes:
        levels: texts that its encoders know; their numbers are their places.
        strict: whether an encoder's library refuses others, so that a row with one has no answer.
    """

    levels: list[str] = field(default_factory=list)
    strict: bool = False

    def learn(self, encoder: Encoder) -> None:
        """Know these texts, too."""
        self.levels += [text for text in encoder.keys if text not in self.levels]
        self.strict |= encoder.default is None


class TextEncoders:
    """The encoders of a graph's texts, found and replaced.

    Args:
        graph: changed by `replace`.
        widths: input of texts -> how many columns it has.

    Raises:
        ContractError: something else takes texts; with the remedy.
    """

    def __init__(self, graph: onnx.GraphProto, widths: Mapping[str, int]) -> None:
        self._graph = graph
        self._constants = {tensor.name: tensor for tensor in graph.initializer}
        self.columns = {name: [TextColumn() for _ in range(width)] for name, width in widths.items()}
        self._texts: dict[str, list[TextColumn]] = dict(self.columns)
        self._encoders: dict[int, tuple[Encoder, list[TextColumn]]] = {}
        for place, node in enumerate(graph.node):
            self._follow(place, node)

    def _follow(self, place: int, node: NodeProto) -> None:
        taken = [name for name in node.input if name in self._texts]
        if not taken:
            return
        columns = [column for name in taken for column in self._texts[name]]
        encoder = encoder_of(node)
        if node.op_type in ("Identity", "Reshape") or (node.op_type == "Concat" and len(taken) == len(node.input)):
            self._texts[node.output[0]] = columns
        elif node.op_type in ("ArrayFeatureExtractor", "Gather") and node.input[1] in self._constants:
            places = numpy_helper.to_array(self._constants[node.input[1]]).reshape(-1).tolist()
            self._texts[node.output[0]] = [columns[at] for at in places]
        elif encoder is not None and encoder.of_texts:
            self._encoders[place] = encoder, columns
            for column in columns:
                column.learn(encoder)
        else:
            raise ContractError(f"its graph has {node.op_type} of texts, which cannot be served: {REMEDY}")

    def replace(self) -> None:
        """Have the graph take numbers, float32, in the place of texts."""
        replaced = {}
        for place, (encoder, columns) in self._encoders.items():
            numbers = [[column.levels.index(key) for key in encoder.keys] for column in columns]
            if any(row != numbers[0] for row in numbers):
                raise ContractError(f"a {self._graph.node[place].op_type} of its graph encodes several texts: {REMEDY}")
            node = self._graph.node[place]
            replaced[place] = list(_compared(self._graph, node, node.input[0], encoder, numbers[0], f"text{place}"))
        _put(self._graph, replaced)


def replace_encoders_of_numbers(graph: onnx.GraphProto) -> None:
    """Have comparisons do what encoders of numbers do in a graph."""
    replaced = {}
    for place, node in enumerate(graph.node):
        encoder = encoder_of(node)
        if encoder is None or encoder.of_texts or not encoder.keys:
            continue
        read = f"number{place}"
        cast = helper.make_node("Cast", [node.input[0]], [read], to=TensorProto.FLOAT)
        replaced[place] = [cast, *_compared(graph, node, read, encoder, encoder.keys, read)]
    if replaced:
        _put(graph, replaced)


def _compared(
    graph: onnx.GraphProto, node: NodeProto, read: str, encoder: Encoder, keys: Sequence[float], name: str
) -> Iterator[NodeProto]:
    """Nodes that give what an encoder gives, of float32 numbers [n, columns]."""

    def constant(what: str, values: npt.NDArray[Any]) -> str:
        graph.initializer.append(numpy_helper.from_array(values, f"{name}_{what}"))
        return f"{name}_{what}"

    apart, known = constant("apart", np.array([0, -1, 1], np.int64)), constant("keys", np.array(keys, np.float32))
    yield helper.make_node("Reshape", [read, apart], [f"{name}_each"])
    yield helper.make_node("Equal", [f"{name}_each", known], [f"{name}_is"])
    if encoder.values is None:
        yield helper.make_node("Cast", [f"{name}_is"], [node.output[0]], to=TensorProto.FLOAT)
        return
    default = encoder.default or 0.0
    # Values less the default, so that what is equal to no key comes out as that.
    over = constant("values", (np.array(encoder.values, np.float64) - default)[:, None])
    yield helper.make_node("Cast", [f"{name}_is"], [f"{name}_one"], to=TensorProto.DOUBLE)
    yield helper.make_node("MatMul", [f"{name}_one", over], [f"{name}_over"])
    yield helper.make_node("Add", [f"{name}_over", constant("default", np.array(default))], [f"{name}_value"])
    flat = constant("flat", np.array([0, -1], np.int64))
    yield helper.make_node("Reshape", [f"{name}_value", flat], [f"{name}_flattened"])
    kind = TensorProto.INT64 if encoder.whole else TensorProto.FLOAT
    yield helper.make_node("Cast", [f"{name}_flattened"], [node.output[0]], to=kind)


def _put(graph: onnx.GraphProto, replaced: Mapping[int, Sequence[NodeProto]]) -> None:
    nodes = [new for place, node in enumerate(graph.node) for new in replaced.get(place, [node])]
    copies = [NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del graph.node[:]
    graph.node.extend(copies)
