"""LightGBM to ONNX, with the library's scores to the last bit but for the sum's 32-bit rounding.

Pitfalls of 32-bit graphs are closed here. A split `x <= t` with a 64-bit threshold sends a 32-bit x the other way when
t rounds up past it; rounding t *down* to 32 bits keeps every 32-bit x on its side. A missing value goes where LightGBM
sends it: to the split's default side, or, where the feature had none missing in training, wherever zero goes. LightGBM
takes all between -1e-35 and 1e-35, both included, for zero (`kZeroThreshold`, a 32-bit number), so they go there too;
where zero is missing by the parameter `zero_as_missing`, the graph makes NaN of them first. And it writes an infinite
threshold, which parts all values from missing ones, as 1e300 (`AvoidInf`): an infinite value stays on its side only
where it is made infinite again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import lightgbm as lgb
import numpy as np

from headrace.domain.training.categories.lookup import with_tables
from headrace.domain.training.categories.sets import BETWEEN, CategorySets
from headrace.domain.training.graphs import CLASSES, OUTPUT, QUANTITY, Tree, forest, round_down
from headrace.errors import ContractError

ZERO = float(np.float32(1e-35))
WRITTEN_FOR_INFINITY = 1e300
QUANTITIES = ("regression", "regression_l1", "huber", "fair", "quantile", "mape")
"""Objectives whose sums of leaves are the answers; those of counts (poisson, gamma, tweedie) take an exponential."""
NO_CATEGORIES: Mapping[int, int] = {}


def convert(booster: lgb.Booster, categories: Mapping[int, int] = NO_CATEGORIES) -> bytes:
    """An ONNX graph: `features` float32 [n, inputs] -> `probability`, or `value` of quantities, float32 [n, 1]; of
    several classes `class`, float32 [n, classes].

    Args:
        categories: of columns that the booster splits by sets of categories, how many numbers there are.

    Raises:
        ContractError: the booster is neither a classifier nor tells quantities as they are, has categorical splits of
            other columns, or leaves that are lines.
    """
    return convert_dump(booster.dump_model(), categories)


def convert_dump(dump: Mapping[str, Any], categories: Mapping[int, int] = NO_CATEGORIES) -> bytes:
    """The graph of what `Booster.dump_model` gives; see `convert`."""
    objective = dump["objective"].split()
    quantity = objective[0] in QUANTITIES and "sqrt" not in objective
    classes = int(dump["num_class"]) if objective[0] == "multiclass" else 0
    if not quantity and not classes and (objective[0] != "binary" or "sigmoid:1" not in objective):
        raise ContractError(
            f"objective {dump['objective']!r} cannot be converted; train with objective 'binary', of more than two "
            f"classes with 'multiclass', or of quantities with one of {', '.join(QUANTITIES)}"
        )
    width = int(dump["max_feature_idx"]) + 1
    sets = CategorySets(width, categories)
    trees, tables = sets.settled([_tree(tree["tree_structure"], sets, categories) for tree in dump["tree_info"]])
    # Random forests of LightGBM answer the mean of their trees, boosted ones the sum.
    if dump["average_output"]:
        raise ContractError("boosting 'rf' cannot be converted; train with 'gbdt', or take the trainer random_forest")
    # With zero_as_missing there are no splits of which only NaN is missing; a zero goes where the others send it.
    zero = ZERO if any(_has_zeros(tree["tree_structure"]) for tree in dump["tree_info"]) else None
    if classes:  # trees of a round stand in the order of the classes
        targets = [at % classes for at in range(len(trees))]
        graph = forest(trees, sets.width, targets=targets, classes=classes, softmax=True, zero=zero, output=CLASSES)
    else:
        graph = forest(trees, sets.width, sigmoid=not quantity, zero=zero, output=QUANTITY if quantity else OUTPUT)
    return with_tables(graph, width, tables, range(width)) if tables else graph


def _has_zeros(root: dict[str, Any]) -> bool:
    pending = [root]
    while pending:
        node = pending.pop()
        if node.get("missing_type") == "Zero":
            return True
        pending += [node[side] for side in ("left_child", "right_child") if side in node]
    return False


def _as_compared(threshold: float) -> float:
    """What the library compares 32-bit values with, where a dump or a comparison of ours would say otherwise."""
    if abs(threshold) >= WRITTEN_FOR_INFINITY:
        return float(np.copysign(np.inf, threshold))
    if not -ZERO <= threshold <= ZERO:
        return threshold
    return ZERO if threshold >= 0 else float(np.nextafter(np.float32(-ZERO), np.float32(-np.inf)))


def _tree(root: dict[str, Any], sets: CategorySets, categories: Mapping[int, int]) -> Tree:
    nodes: list[tuple[int, float, bool, float]] = []
    sides: list[list[int]] = []
    pending: list[tuple[dict[str, Any], int | None, int]] = [(root, None, 0)]
    while pending:
        node, parent, side = pending.pop()
        place = len(nodes)
        if parent is not None:
            sides[parent][side] = place
        sides.append([-1, -1])
        if "leaf_coeff" in node:
            raise ContractError("leaves that are lines (linear_tree) cannot be converted; train without them")
        if "split_feature" not in node:
            nodes.append((0, 0.0, False, float(node["leaf_value"])))
            continue
        if node["decision_type"] == "<=":
            threshold = _as_compared(float(node["threshold"]))
            left = threshold >= 0 if node["missing_type"] == "None" else node["default_left"]
            nodes.append((node["split_feature"], threshold, left, 0.0))
        elif node["split_feature"] in categories:
            numbers = [int(number) for number in node["threshold"].split("||")]
            nodes.append((sets.column(node["split_feature"], numbers, left=True), BETWEEN, False, 0.0))
        else:
            raise ContractError(
                "categorical splits cannot be converted; say which inputs are categories, or train without them"
            )
        pending += [(node["right_child"], place, 1), (node["left_child"], place, 0)]
    feature, threshold_of, missing, value = (np.array(column) for column in zip(*nodes, strict=True))
    left_of, right_of = np.array(sides, np.int64).T
    return Tree(feature.astype(np.int64), round_down(threshold_of), left_of, right_of, missing.astype(np.bool_), value)
