"""Graphs that must not run, and what stops each."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import NodeProto, TensorProto, helper, numpy_helper

from headrace.domain.models.checks.graph_policy import inspect
from headrace.domain.models.package import pack
from headrace.errors import ContractError
from tests.models import graphs

FEATURES = graphs.vector("features", 2)


def refused(graph: bytes, because: str) -> None:
    """The graph is refused, and the message says why."""
    with pytest.raises(ContractError, match=because):
        inspect(pack(graphs.manifest(), graph))


def branch(kind: str, depth: int) -> NodeProto:
    """An `If` within an `If`, so many times."""
    body = branch(kind, depth - 1) if depth else helper.make_node("Identity", ["features"], ["probability"])
    inner = helper.make_graph([body], "b", [], [graphs.vector("probability", 2)])
    return helper.make_node(kind, ["yes"], ["probability"], then_branch=inner, else_branch=inner)


def test_good_graph() -> None:
    """A plain model is let through."""
    assert len(inspect(graphs.package()).graph.node) == 2


def test_control_flow() -> None:
    """Nested branches, which take minutes to load, are refused unread."""
    yes = numpy_helper.from_array(np.array(True), "yes")
    refused(graphs.serialise([branch("If", 6)], [FEATURES], [yes]), "If is not allowed")


@pytest.mark.parametrize("name", ["ConstantOfShape", "Loop", "Scan", "Expand", "Tile", "Range", "RandomNormal", "Pad"])
def test_unbounded_operators(name: str) -> None:
    """Operators whose output may be larger than their inputs are refused."""
    refused(graphs.serialise([helper.make_node(name, ["features"], ["probability"])], [FEATURES]), f"{name} is not")


def test_foreign_domain() -> None:
    """Operators of other domains are refused, whatever their name."""
    node = helper.make_node("Sigmoid", ["features"], ["probability"], domain="com.microsoft")
    refused(graphs.serialise([node], [FEATURES], domains=["com.microsoft"]), "com.microsoft")


def test_disguised_graph() -> None:
    """A graph hidden in an attribute of a harmless operator is refused."""
    inner = helper.make_graph([], "g", [], [])
    node = helper.make_node("Sigmoid", ["features"], ["probability"], body=inner)
    refused(graphs.serialise([node], [FEATURES]), "carries a graph")


def test_external_data() -> None:
    """A tensor that names another file is refused."""
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[1], data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value="/etc/passwd")
    node = helper.make_node("Mul", ["features", "w"], ["probability"])
    refused(graphs.serialise([node], [FEATURES], [tensor]), "another file")


def test_external_data_in_an_attribute() -> None:
    """... in a constant, too."""
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[1], data_location=TensorProto.EXTERNAL)
    nodes = [
        helper.make_node("Constant", [], ["w"], value=tensor),
        helper.make_node("Mul", ["features", "w"], ["probability"]),
    ]
    refused(graphs.serialise(nodes, [FEATURES]), "another file")


def test_tensor_larger_than_its_bytes() -> None:
    """A tensor that claims gigabytes in a few bytes is refused before anything allocates them."""
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[1 << 33, 1])
    node = helper.make_node("MatMul", ["features", "w"], ["probability"])
    refused(graphs.serialise([node], [FEATURES], [tensor]), "8589934592 elements")


def test_negative_dimensions() -> None:
    """Negative dimensions cannot cancel each other out."""
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[-(1 << 33), -1])
    node = helper.make_node("MatMul", ["features", "w"], ["probability"])
    refused(graphs.serialise([node], [FEATURES], [tensor]), "claims")


def test_fixed_rows() -> None:
    """A graph for a fixed number of rows is refused."""
    fixed = helper.make_tensor_value_info("features", TensorProto.FLOAT, [1, 2])
    refused(graphs.serialise([helper.make_node("Sigmoid", ["features"], ["probability"])], [fixed]), "1 rows only")


def test_zipmap() -> None:
    """An output of maps is refused with the remedy."""
    node = helper.make_node("Sigmoid", ["features"], ["probability"])
    kind = helper.make_sequence_type_proto(helper.make_tensor_type_proto(TensorProto.FLOAT, [None]))
    output = helper.make_value_info("probability", kind)
    refused(graphs.serialise([node], [FEATURES], output=output), "zipmap off")


@pytest.mark.parametrize("content", [b"\xff" * 100, b"not onnx", b""])
def test_no_onnx(content: bytes) -> None:
    """Bytes that are no model are refused, not parsed for as long as they like."""
    refused(content, "m@1")


def test_too_many_nodes() -> None:
    """Thousands of operators are refused: load time grows with them."""
    chain = [helper.make_node("Sigmoid", [f"t{i}"], [f"t{i + 1}"]) for i in range(3000)]
    refused(graphs.serialise(chain, [FEATURES]), "3000 nodes")
