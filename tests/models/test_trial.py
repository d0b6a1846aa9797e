"""Candidates that pass admission and still must not be let near a service."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from onnx import NodeProto, TensorProto, helper, numpy_helper

from headrace.domain.models.checks.graph_policy import inspect
from headrace.domain.models.checks.sandbox import UNLIMITED, Limits, admit
from headrace.domain.models.package import pack
from headrace.errors import ContractError
from tests.models import graphs


def test_good_model() -> None:
    """A plain model passes, within all limits."""
    assert admit(graphs.package()) == ""


def test_a_system_that_does_not_tell_memory(tmp_path: Path) -> None:
    """Where the kernel has no such file, the trial runs all the same and says which limit did not hold."""
    assert admit(graphs.package(), statm=tmp_path / "nowhere") == UNLIMITED


def test_memory_that_grows_faster_than_rows() -> None:
    """Allowed operators that broadcast rows against rows run out of memory in the trial, not in a service."""
    axes = {"first": [0], "last": [2], "both": [1, 2]}
    nodes = [
        helper.make_node("Transpose", ["features"], ["t"]),
        helper.make_node("MatMul", ["features", "t"], ["square"]),
        helper.make_node("Unsqueeze", ["square", "last"], ["a"]),
        helper.make_node("Unsqueeze", ["square", "first"], ["b"]),
        helper.make_node("Add", ["a", "b"], ["cube"]),
        helper.make_node("ReduceSum", ["cube", "both"], ["probability"], keepdims=0),
    ]
    constants = [numpy_helper.from_array(np.array(value), name) for name, value in axes.items()]
    output = helper.make_tensor_value_info("probability", TensorProto.FLOAT, [None])
    package = pack(graphs.manifest(), graphs.serialise(nodes, [graphs.vector("features", 2)], constants, output))
    inspect(package)
    with pytest.raises(ContractError, match="failed its trial"):
        admit(package)


def test_slow_model() -> None:
    """A model that takes longer than it may is ended."""
    width = 1500
    wide = numpy_helper.from_array(np.zeros((2, width), np.float32), "wide")
    square = numpy_helper.from_array(np.zeros((width, width), np.float32), "square")
    column = numpy_helper.from_array(np.zeros((width, 1), np.float32), "column")
    nodes = [helper.make_node("MatMul", ["features", "wide"], ["t0"])]
    nodes += [helper.make_node("MatMul", [f"t{i}", "square"], [f"t{i + 1}"]) for i in range(1000)]
    nodes += [helper.make_node("MatMul", ["t1000", "column"], ["probability"])]
    package = pack(graphs.manifest(), graphs.serialise(nodes, [graphs.vector("features", 2)], [wide, square, column]))
    with pytest.raises(ContractError, match=r"SIGXCPU|SIGKILL|still running"):
        admit(package, Limits(seconds=0.5))


def test_model_that_does_not_load() -> None:
    """What ONNX Runtime refuses is told in its own words."""
    node = helper.make_node("MatMul", ["features", "nothing"], ["probability"])
    with pytest.raises(ContractError, match="does not load"):
        admit(pack(graphs.manifest(), graphs.serialise([node], [graphs.vector("features", 2)])))


def margins(*rest: NodeProto, **constants: Sequence[float]) -> bytes:
    """A linear model whose `margin` goes through some more nodes to `probability`."""
    nodes = [helper.make_node("MatMul", ["features", "w"], ["margin"]), *rest]
    tensors = {name: np.array(value, np.float32) for name, value in constants.items()}
    tensors |= {"w": np.array(graphs.WEIGHTS, np.float32)[:, None], "rows": np.array([0], np.int64)}
    made = [numpy_helper.from_array(value, name) for name, value in tensors.items()]
    return graphs.serialise(nodes, [graphs.vector("features", 2)], made)


def scaled(kind: str, **attributes: object) -> bytes:
    """A score that is divided by what an operator makes of all rows' scores."""
    inputs = ["big", "rows"] if kind == "ReduceSum" else ["big"]
    return margins(
        helper.make_node("Abs", ["margin"], ["size"]),
        helper.make_node("Add", ["size", "one"], ["big"]),
        helper.make_node(kind, inputs, ["every"], **attributes),
        helper.make_node("Div", ["margin", "every"], ["probability"]),
        one=[1.0],
    )


TOGETHER = {
    "the largest of the rows": scaled("ReduceMax", axes=[0]),
    "the least of the rows": scaled("ReduceMin", axes=[0]),
    "the mean of the rows": scaled("ReduceMean", axes=[0]),
    "the largest of all": scaled("ReduceMax"),
    "the sum of the rows": scaled("ReduceSum"),
    "a softmax along the rows": margins(helper.make_node("Softmax", ["margin"], ["probability"], axis=0)),
    "a softmax along no other axis": margins(
        helper.make_node("Transpose", ["margin"], ["t"]),
        helper.make_node("Softmax", ["t"], ["s"], axis=-1),
        helper.make_node("Transpose", ["s"], ["probability"]),
    ),
    "the first row": margins(
        helper.make_node("Gather", ["margin", "rows"], ["first"], axis=0),
        helper.make_node("Sub", ["margin", "first"], ["probability"]),
    ),
    "only a row that is very large": margins(
        helper.make_node("ReduceMax", ["features"], ["most"]),
        helper.make_node("Clip", ["most", "low", "high"], ["far"]),
        helper.make_node("Add", ["margin", "far"], ["probability"]),
        low=1e6,  # type: ignore[arg-type]  # a scalar
        high=2e6,  # type: ignore[arg-type]  # a scalar
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("graph", TOGETHER.values(), ids=TOGETHER)
def test_scores_that_depend_on_other_rows(graph: bytes) -> None:
    """A model whose score of a row hangs on the rows beside it is refused, and the message says what to look for."""
    package = pack(graphs.manifest(), graph)
    inspect(package)
    with pytest.raises(ContractError, match=r"the rows beside it: .*Reduce, Softmax"):
        admit(package)


def test_a_row_that_would_take_others_along() -> None:
    """A model that does not run on some values is refused: all rows of a batch would fail with one of them."""
    table = numpy_helper.from_array(np.linspace(0, 1, 5, dtype=np.float32)[:, None], "table")
    zero = numpy_helper.from_array(np.array(0), "zero")
    nodes = [
        helper.make_node("Gather", ["features", "zero"], ["amount"], axis=1),
        helper.make_node("Cast", ["amount"], ["code"], to=TensorProto.INT64),
        helper.make_node("Gather", ["table", "code"], ["probability"], axis=0),
    ]
    graph = graphs.serialise(nodes, [graphs.vector("features", 2)], [table, zero])
    with pytest.raises(ContractError, match="does not run"):
        admit(pack(graphs.manifest(reference={"amount": [0, 1, 2]}), graph))
