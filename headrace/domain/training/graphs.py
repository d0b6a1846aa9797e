"""ONNX graphs of trained models: sums of trees, and a line through scaled inputs. One tensor in, one probability out,
or one for each class.

A missing value is NaN in the graph as in the library; each tree says for each split which side it takes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from onnx import NodeProto, TensorProto, helper, numpy_helper

from headrace.domain.models.checks.graph_policy import LARGEST_GRAPH
from headrace.errors import ContractError

INPUT, OUTPUT, QUANTITY, CLASSES = "features", "probability", "value", "class"
LEAST_OF_NODE = 24  # bytes of a node in the file, at least: forests far too large are refused before they are written
REMEDY = "grow fewer or smaller trees (--trees, max_depth, min_samples_leaf)"

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Tree:
    """One tree as arrays of its nodes, the root first.

    Attributes:
        feature: int64 [nodes], which input a node tests; anything for a leaf.
        threshold: float64 [nodes], each a 32-bit number, what it is compared with.
        left, right: int64 [nodes], the children where the test holds and where not; -1 for a leaf.
        missing_left: bool [nodes], whether a missing value goes left.
        value: float64 [nodes], what a leaf adds to the sum; [nodes, classes] where it adds to that of each class.
    """

    feature: Integers
    threshold: Floats
    left: Integers
    right: Integers
    missing_left: npt.NDArray[np.bool_]
    value: Floats


def forest(
    trees: Sequence[Tree],
    width: int,
    *,
    test: Literal["BRANCH_LEQ", "BRANCH_LT"] = "BRANCH_LEQ",
    base: float | Floats = 0.0,
    sigmoid: bool = False,
    targets: Sequence[int] = (),
    classes: int = 0,
    softmax: bool = False,
    zero: float | None = None,
    output: str = OUTPUT,
) -> bytes:
    """A graph that sums trees: `features` float32 [n, width] -> `output` float32 [n, 1], or [n, classes].

    A regressor, with a sigmoid behind it where leaves are log odds: measured 10% faster in ONNX Runtime than the
    classifier operator, and what `headrace.domain.models.forest` understands.

    Args:
        trees: at least one.
        width: how many inputs.
        test: what sends a value left: `<=` or `<`.
        base: added to the sum; to each class's, float64 [classes].
        sigmoid: whether the answer is 1 / (1 + exp(-sum)).
        targets: the class whose sum each tree adds to, where leaves have one value.
        classes: how many there are; 0: there is one sum.
        softmax: whether the answers are exp(sum) over the sum of these.
        zero: values up to this size count as missing; None: none do.
        output: its name.

    Raises:
        ContractError: the graph would be larger than is admitted.
    """
    count = sum(len(tree.left) for tree in trees)
    if count * LEAST_OF_NODE > LARGEST_GRAPH:
        raise ContractError(f"{count:,} nodes are more than a graph may hold: {REMEDY}")
    given: dict[str, Any] = {"n_targets": max(classes, 1), **_ensemble(trees, test, targets)}
    if np.any(base):
        given["base_values"] = np.atleast_1d(np.asarray(base, np.float64)).tolist()
    summed = "margin" if sigmoid or softmax else output
    nodes, read = [], INPUT
    tensors: dict[str, npt.NDArray[np.floating]] = {}
    if zero is not None:
        tensors = {"zero": np.array([zero], np.float32), "missing": np.array([np.nan], np.float32)}
        read = "told"
        nodes = [
            helper.make_node("Abs", [INPUT], ["size"]),
            helper.make_node("LessOrEqual", ["size", "zero"], ["small"]),
            helper.make_node("Where", ["small", "missing", INPUT], [read]),
        ]
    nodes.append(helper.make_node("TreeEnsembleRegressor", [read], [summed], domain="ai.onnx.ml", **given))
    if sigmoid:
        nodes.append(helper.make_node("Sigmoid", [summed], [OUTPUT]))
    if softmax:
        nodes.append(helper.make_node("Softmax", [summed], [output], axis=1))
    return _graph("forest", nodes, width, tensors, output, max(classes, 1))


def _ensemble(trees: Sequence[Tree], test: str, targets: Sequence[int]) -> dict[str, Any]:
    sizes = [len(tree.left) for tree in trees]
    leaf = np.concatenate([tree.left for tree in trees]) < 0
    owner = np.repeat(np.arange(len(trees)), sizes)
    number = np.concatenate([np.arange(size) for size in sizes])

    def inner(name: str, otherwise: float) -> list[Any]:
        values = np.concatenate([getattr(tree, name) for tree in trees])
        return list(np.where(leaf, np.asarray(otherwise, values.dtype), values).tolist())

    weights = np.concatenate([tree.value for tree in trees])[leaf]
    told = np.asarray(targets or [0] * len(trees), np.int64)[owner[leaf]]
    if weights.ndim == 2:  # a leaf is of every class that it adds to
        leaves, told = np.nonzero(weights)
        weights = weights[leaves, told]
    else:
        leaves = np.arange(len(weights))
    return {
        "nodes_treeids": owner.tolist(),
        "nodes_nodeids": number.tolist(),
        "nodes_featureids": inner("feature", 0),
        "nodes_values": inner("threshold", 0.0),
        "nodes_modes": np.where(leaf, "LEAF", test).tolist(),
        "nodes_missing_value_tracks_true": [int(left) for left in inner("missing_left", 0)],
        "nodes_truenodeids": inner("left", 0),
        "nodes_falsenodeids": inner("right", 0),
        "target_treeids": owner[leaf][leaves].tolist(),
        "target_nodeids": number[leaf][leaves].tolist(),
        "target_ids": told.tolist(),
        "target_weights": weights.tolist(),
    }


def line(mean: Floats, scale: Floats, weights: Floats, intercept: Floats, fill: Floats | None = None) -> bytes:
    """A graph of 1 / (1 + exp(-(w . (x - mean) / scale + b))), float32 [n, width] -> float32 [n, 1]; of several classes
    exp(w_k . (x - mean) / scale + b_k) over the sum of these, [n, classes].

    It computes in 64 bits, as the library does: with 32, inputs far from zero would lose their last digits to the
    subtraction of the mean.

    Args:
        mean, scale: [width].
        weights: [width, 1], or [width, classes].
        intercept: b, [1] or [classes].
        fill: [width], what a missing input counts as; None lets the answer be missing, too.
    """
    classes = weights.shape[1]
    link: dict[str, Any] = {"op_type": "Sigmoid"} if classes == 1 else {"op_type": "Softmax", "axis": 1}
    output = OUTPUT if classes == 1 else CLASSES
    tensors = {"mean": mean, "scale": scale, "weights": weights, "intercept": intercept}
    nodes = [helper.make_node("Cast", [INPUT], ["wide"], to=TensorProto.DOUBLE)]
    known = "wide"
    if fill is not None:
        tensors["fill"] = fill
        known = "known"
        nodes.append(helper.make_node("IsNaN", ["wide"], ["missing"]))
        nodes.append(helper.make_node("Where", ["missing", "fill", "wide"], [known]))
    nodes += [
        helper.make_node("Sub", [known, "mean"], ["centred"]),
        helper.make_node("Div", ["centred", "scale"], ["scaled"]),
        helper.make_node("MatMul", ["scaled", "weights"], ["product"]),
        helper.make_node("Add", ["product", "intercept"], ["margin"]),
        helper.make_node(inputs=["margin"], outputs=["odds"], **link),
        helper.make_node("Cast", ["odds"], [output], to=TensorProto.FLOAT),
    ]
    return _graph("line", nodes, len(mean), tensors, output, classes)


def _graph(
    name: str,
    nodes: list[NodeProto],
    width: int,
    tensors: Mapping[str, npt.NDArray[np.floating]] | None = None,
    output: str = OUTPUT,
    columns: int = 1,
) -> bytes:
    graph = helper.make_graph(
        nodes,
        name,
        [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, [None, width])],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, [None, columns])],
        [numpy_helper.from_array(values, key) for key, values in (tensors or {}).items()],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8, producer_name="headrace")
    return bytes(model.SerializeToString(deterministic=True))


def round_down(thresholds: Floats) -> Floats:
    """The largest 32-bit numbers that are not above 64-bit ones: `x <= t` keeps its answer for every 32-bit x.

    >>> round_down(np.array([0.5, 0.1])) <= [0.5, 0.1]
    array([ True,  True])
    """
    with np.errstate(over="ignore"):
        rounded = thresholds.astype(np.float32)
        lower = np.nextafter(rounded, np.float32(-np.inf))
    return np.where(rounded > thresholds, lower, rounded).astype(np.float64)
