"""Gradient boosting by XGBoost, with the library's defaults.

References:
    T. Chen, C. Guestrin: XGBoost: A Scalable Tree Boosting System, KDD 2016.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import xgboost as xgb

from headrace.domain.training.categories.lookup import with_tables
from headrace.domain.training.categories.sets import BETWEEN, CategorySets
from headrace.domain.training.dataset import Dataset
from headrace.domain.training.graphs import CLASSES, OUTPUT, QUANTITY, Tree, forest
from headrace.domain.training.trainer import (
    TREES,
    Choice,
    Fitted,
    Matrix,
    Progress,
    answers_of,
    check_names,
    check_objective,
    plain,
    refuse_infinite,
)
from headrace.errors import ConfigurationError, ContractError

RESERVED = {"random_state": "--seed", "n_estimators": "--trees"}
OURS = ("callbacks", "missing")  # a callable, and what NaN is for
NO_CATEGORIES: Mapping[int, int] = {}
SUMS = ("reg:squarederror", "reg:absoluteerror", "reg:pseudohubererror")
"""Objectives whose sums of leaves are the answers."""


def fit(rows: Dataset, choice: Choice, progress: Progress) -> Fitted:
    """See `Trainer`. Missing values go the way that XGBoost learns for them.

    A model that goes on from another (`Choice.base`) has all the trees of that one, and as many of its own on top.
    """
    kind = xgb.XGBRegressor if rows.quantities else xgb.XGBClassifier
    known = set(kind().get_params()) - set(OURS)
    check_names("xgboost", choice.parameters, known, RESERVED)
    # One thread: histograms are sums of floats, whose last bit hangs on how many threads shared them.
    chosen = {"n_jobs": 1, **choice.parameters, "n_estimators": choice.trees or TREES, "random_state": choice.seed}
    if rows.categories:
        kinds = ["c" if at in rows.categories else "q" for at in range(len(rows.inputs))]
        chosen |= {"enable_categorical": True, "feature_types": kinds}
    own = "multi:softprob" if rows.classes else kind().objective
    check_objective("xgboost", str(chosen.get("objective") or own), rows)
    model = kind(**chosen, callbacks=[_Told(progress)])

    def finite(matrix: Matrix) -> Matrix:
        refuse_infinite("xgboost", rows.inputs, matrix)
        return matrix

    try:
        base = None if choice.base is None else xgb.Booster(model_file=bytearray(choice.base))
        model.fit(finite(rows.matrix), rows.labels, sample_weight=rows.weights, xgb_model=base)
    except ValueError as error:
        lines = [line for line in str(error).splitlines() if line.strip()]
        raise ConfigurationError(f"trainer xgboost: {lines[0] if lines else type(error).__name__}") from error
    booster = model.get_booster()
    parameters = plain({k: v for k, v in model.get_params().items() if k not in OURS})
    return Fitted(
        convert(booster, rows.categories),
        lambda matrix: (
            model.predict(finite(matrix)) if rows.quantities else answers_of(model.predict_proba(finite(matrix)))
        ),
        parameters,
        {"xgboost": xgb.__version__},
        bytes(booster.save_raw("ubj")),
    )


class _Told(xgb.callback.TrainingCallback):
    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
        self._progress(epoch + 1)
        return False


def convert(booster: xgb.Booster, categories: Mapping[int, int] = NO_CATEGORIES) -> bytes:
    """An ONNX graph: `features` float32 [n, inputs] -> `probability`, or `value` of quantities, float32 [n, 1]; of
    several classes `class`, float32 [n, classes].

    XGBoost compares 32-bit values with 32-bit thresholds by `<`, and so does the graph.

    Args:
        categories: of columns that the booster splits by sets of categories, how many numbers there are.

    Raises:
        ContractError: the booster is not made of plain trees, tells neither classes nor quantities, or splits by sets
            of other columns.
    """
    learner = json.loads(bytes(booster.save_raw("json")))["learner"]
    objective, kind = learner["objective"]["name"], learner["gradient_booster"]["name"]
    classes = int(learner["learner_model_param"]["num_class"]) if objective.startswith("multi:") else 0
    if not classes and objective not in ("binary:logistic", *SUMS):
        raise ContractError(
            f"objective {objective!r} cannot be converted; train with 'binary:logistic', of more than two classes with "
            f"'multi:softprob', or of quantities with one of {', '.join(SUMS)}"
        )
    if kind != "gbtree":
        raise ContractError(f"booster {kind!r} cannot be converted; train with 'gbtree'")
    width = booster.num_features()
    sets = CategorySets(width, categories)
    found = [_tree(tree, sets, categories) for tree in learner["gradient_booster"]["model"]["trees"]]
    trees, tables = sets.settled(found)
    # A list of one since version 3.1, a number before.
    starts = np.atleast_1d(np.asarray(json.loads(learner["learner_model_param"]["base_score"]), np.float64))
    if classes:
        targets = [int(number) for number in learner["gradient_booster"]["model"]["tree_info"]]
        base = np.broadcast_to(starts, classes)
        graph = forest(
            trees,
            sets.width,
            test="BRANCH_LT",
            base=base,
            targets=targets,
            classes=classes,
            softmax=True,
            output=CLASSES,
        )
    else:
        (start,) = starts
        quantity = objective in SUMS
        own = float(start) if quantity else float(np.log(start / (1 - start)))
        output = QUANTITY if quantity else OUTPUT
        graph = forest(trees, sets.width, test="BRANCH_LT", base=own, sigmoid=not quantity, output=output)
    return with_tables(graph, width, tables, range(width)) if tables else graph


def _tree(tree: dict[str, Any], sets: CategorySets, categories: Mapping[int, int]) -> Tree:
    if int(tree["tree_param"]["size_leaf_vector"]) > 1:
        raise ContractError("leaves of several values cannot be converted; train without them")
    feature = np.array(tree["split_indices"], np.int64)
    # A leaf keeps its value where a split keeps its threshold.
    values = np.array(tree["split_conditions"], np.float32).astype(np.float64)
    thresholds, missing = values.copy(), np.array(tree["default_left"], np.bool_)
    begins, sizes = tree["categories_segments"], tree["categories_sizes"]
    for node, begin, size in zip(tree["categories_nodes"], begins, sizes, strict=True):
        if int(feature[node]) not in categories:
            raise ContractError(
                "categorical splits cannot be converted where nobody says which inputs are categories; say so, or "
                "train without them"
            )
        # Those that are named go right; all others, those that nobody has seen among them, left.
        numbers = tree["categories"][begin : begin + size]
        feature[node] = sets.column(int(feature[node]), numbers, left=False)
        thresholds[node] = BETWEEN
    left, right = (np.array(tree[f"{side}_children"], np.int64) for side in ("left", "right"))
    return Tree(feature, thresholds, left, right, missing, values)
