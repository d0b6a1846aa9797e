"""Gradient boosting by LightGBM.

References:
    G. Ke et al.: LightGBM: A Highly Efficient Gradient Boosting Decision Tree, NeurIPS 2017.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import lightgbm as lgb
import numpy as np

from headrace.domain.training.conversion import convert
from headrace.domain.training.dataset import Dataset
from headrace.domain.training.trainer import TREES, Choice, Fitted, Progress, check_names, check_objective
from headrace.errors import ConfigurationError

DEFAULTS: Mapping[str, Any] = {
    "objective": "binary",
    "num_leaves": 31,
    "learning_rate": 0.1,
    "min_data_in_leaf": 20,
    # The same rows give the same trees, on any number of cores.
    "deterministic": True,
    "force_row_wise": True,
    "verbosity": -1,
}
RESERVED = {"seed": "--seed", "num_iterations": "--trees", "num_class": "model.classes in the pipeline file"}
PARAMETER = re.compile(r"^\[(\w+): ", re.MULTILINE)


def fit(rows: Dataset, choice: Choice, progress: Progress) -> Fitted:
    """See `Trainer`. Missing values go the way that LightGBM learns for them.

    A model that goes on from another (`Choice.base`) has all the trees of that one, and as many of its own on top.
    """
    trees = choice.trees or TREES
    own: dict[str, Any] = {"objective": "regression"} if rows.quantities else {}
    if rows.classes:
        own = {"objective": "multiclass", "num_class": len(rows.classes)}
    parameters = {**DEFAULTS, **own, **choice.parameters, "seed": choice.seed}
    check_objective("lightgbm", str(parameters["objective"]), rows)
    names = [f"f{i}" for i in range(len(rows.inputs))]
    try:
        base = None if choice.base is None else lgb.Booster(model_str=choice.base.decode())
        before = 0 if base is None else base.current_iteration()
        booster = lgb.train(
            parameters,
            lgb.Dataset(
                rows.matrix,
                rows.labels,
                weight=rows.weights,
                feature_name=names,
                categorical_feature=[*rows.categories],
            ),
            num_boost_round=trees,
            init_model=base,
            callbacks=[lambda state: progress(state.iteration + 1 - before)],
        )
    except lgb.basic.LightGBMError as error:
        raise ConfigurationError(f"trainer lightgbm: {error}") from error
    # LightGBM passes over what it does not know; only a trained model lists what it does.
    check_names("lightgbm", choice.parameters, PARAMETER.findall(booster.model_to_string()), RESERVED)
    return Fitted(
        convert(booster, rows.categories),
        lambda matrix: np.asarray(booster.predict(matrix)),
        {**parameters, "trees": trees},
        {"lightgbm": lgb.__version__},
        booster.model_to_string().encode(),
    )
