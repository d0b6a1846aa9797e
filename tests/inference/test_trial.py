"""Candidates that pass admission and still must not be let near a service."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from services.inference.admission import inspect
from services.inference.package import pack
from services.inference.trial import Limits, admit
from services.kit.errors import ContractError
from tests.inference import graphs


def test_good_model() -> None:
    """A plain model passes."""
    admit(graphs.package())


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
