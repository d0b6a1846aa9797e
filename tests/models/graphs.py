"""Graphs built by hand, so that tests of inference need no training library."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from onnx import GraphProto, NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper

from headrace.domain.models.package import Input, Manifest, ModelPackage, pack

NAMES = ("amount", "customer.nb_tx_1d")
WEIGHTS = (0.01, -0.5)


def manifest(names: Sequence[str] = NAMES, **others: object) -> Manifest:
    """A manifest over these inputs."""
    return Manifest.model_validate({"name": "m", "version": "1", "inputs": [Input(name=n) for n in names], **others})


def vector(name: str, width: int = 1, kind: int = TensorProto.FLOAT) -> ValueInfoProto:
    """A tensor of any number of rows."""
    return helper.make_tensor_value_info(name, kind, [None, width])


def serialise(
    nodes: Sequence[NodeProto],
    inputs: Sequence[ValueInfoProto],
    initializers: Sequence[TensorProto] = (),
    output: ValueInfoProto | None = None,
    domains: Sequence[str] = (),
) -> bytes:
    """A model of these nodes that answers `probability`."""
    graph: GraphProto = helper.make_graph(
        nodes, "g", inputs, [output or vector("probability")], initializer=list(initializers)
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    opsets += [helper.make_opsetid(domain, 1) for domain in domains]
    return bytes(helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString())


def logistic(weights: Sequence[float] = WEIGHTS) -> bytes:
    """sigmoid(features @ weights) over one tensor."""
    nodes = [
        helper.make_node("MatMul", ["features", "w"], ["margin"]),
        helper.make_node("Sigmoid", ["margin"], ["probability"]),
    ]
    w = numpy_helper.from_array(np.array(weights, np.float32)[:, None], "w")
    return serialise(nodes, [vector("features", len(weights))], [w])


def roots() -> bytes:
    """The root of the smaller of two inputs: no number where one is below 0."""
    nodes = [
        helper.make_node("ReduceMin", ["features"], ["least"], axes=[1], keepdims=1),
        helper.make_node("Sqrt", ["least"], ["probability"]),
    ]
    return serialise(nodes, [vector("features", 2)])


def package(**others: object) -> ModelPackage:
    """A logistic model over `NAMES`."""
    return pack(manifest(**others), logistic())


def deep(inputs: int, width: int, layers: int) -> bytes:
    """A network of `layers` square layers that share their weights: as slow as one likes, small, and never wrong."""
    rng = np.random.default_rng(0)
    shapes = {"first": (inputs, width), "square": (width, width), "last": (width, 1)}
    weights = [
        numpy_helper.from_array(rng.normal(0, np.sqrt(2 / shape[0]), shape).astype(np.float32), name)
        for name, shape in shapes.items()
    ]
    weights += [numpy_helper.from_array(np.array(value, np.float32), name) for name, value in (("low", 0), ("high", 1))]
    nodes, last = [], "features"
    for layer, name in enumerate(["first", *["square"] * layers, "last"]):
        nodes.append(helper.make_node("MatMul", [last, name], [f"m{layer}"]))
        last = f"a{layer}"
        nodes.append(helper.make_node("Clip", [f"m{layer}", "low", "high"], [last]))
    nodes[-1].output[0] = "probability"
    return serialise(nodes, [vector("features", inputs)], weights)
