"""Gradient boosting by XGBoost, with the library's defaults.

References:
    T. Chen, C. Guestrin: XGBoost: A Scalable Tree Boosting System, KDD 2016.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import xgboost as xgb

from headrace.domain.training.dataset import Dataset
from headrace.domain.training.graphs import Tree, forest
from headrace.domain.training.trainer import (
    TREES,
    Choice,
    Fitted,
    Matrix,
    Progress,
    check_names,
    plain,
    refuse_infinite,
)
from headrace.errors import ConfigurationError, ContractError

RESERVED = {"random_state": "--seed", "n_estimators": "--trees"}
OURS = ("callbacks", "missing")  # a callable, and what NaN is for


def fit(rows: Dataset, choice: Choice, progress: Progress) -> Fitted:
    """See `Trainer`. Missing values go the way that XGBoost learns for them.

    A model that goes on from another (`Choice.base`) has all the trees of that one, and as many of its own on top.
    """
    known = set(xgb.XGBClassifier().get_params()) - set(OURS)
    check_names("xgboost", choice.parameters, known, RESERVED)
    # One thread: histograms are sums of floats, whose last bit hangs on how many threads shared them.
    chosen = {"n_jobs": 1, **choice.parameters, "n_estimators": choice.trees or TREES, "random_state": choice.seed}
    model = xgb.XGBClassifier(**chosen, callbacks=[_Told(progress)])

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
        convert(booster),
        lambda matrix: model.predict_proba(finite(matrix))[:, 1],
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


def convert(booster: xgb.Booster) -> bytes:
    """An ONNX graph: `features` float32 [n, inputs] -> `probability` float32 [n, 1].

    XGBoost compares 32-bit values with 32-bit thresholds by `<`, and so does the graph.

    Raises:
        ContractError: the booster is not a binary classifier of plain trees.
    """
    learner = json.loads(bytes(booster.save_raw("json")))["learner"]
    objective, kind = learner["objective"]["name"], learner["gradient_booster"]["name"]
    if objective != "binary:logistic":
        raise ContractError(f"objective {objective!r} cannot be converted; train with 'binary:logistic'")
    if kind != "gbtree":
        raise ContractError(f"booster {kind!r} cannot be converted; train with 'gbtree'")
    trees = [_tree(tree) for tree in learner["gradient_booster"]["model"]["trees"]]
    # A list of one since version 3.1, a number before.
    (start,) = np.atleast_1d(json.loads(learner["learner_model_param"]["base_score"]))
    return forest(
        trees, booster.num_features(), test="BRANCH_LT", base=float(np.log(start / (1 - start))), sigmoid=True
    )


def _tree(tree: dict[str, Any]) -> Tree:
    if any(tree["split_type"]) or int(tree["tree_param"]["size_leaf_vector"]) > 1:
        raise ContractError("categorical splits and leaves of several values cannot be converted; train without them")
    # A leaf keeps its value where a split keeps its threshold.
    values = np.array(tree["split_conditions"], np.float32).astype(np.float64)
    return Tree(
        np.array(tree["split_indices"], np.int64),
        values,
        np.array(tree["left_children"], np.int64),
        np.array(tree["right_children"], np.int64),
        np.array(tree["default_left"], np.bool_),
        values,
    )
