"""One tree, or the mean of many, by scikit-learn.

References:
    L. Breiman, J. Friedman, R. Olshen, C. Stone: Classification and Regression Trees, 1984.
    L. Breiman: Random Forests, Machine Learning 45, 2001.
"""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

import numpy as np
import sklearn
from sklearn.ensemble import RandomForestClassifier
from sklearn.tree import DecisionTreeClassifier

from headrace.domain.training.dataset import Dataset
from headrace.domain.training.graphs import Tree, forest, round_down
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
from headrace.errors import ConfigurationError


def fit_decision_tree(rows: Dataset, choice: Choice, progress: Progress) -> Fitted:
    """See `Trainer`. Missing values go the way that the tree learns for them; it grows until told otherwise."""
    check_names("decision_tree", choice.parameters, DecisionTreeClassifier().get_params(), {"random_state": "--seed"})
    model = DecisionTreeClassifier(**choice.parameters, random_state=choice.seed)
    fitted = _fit("decision_tree", model, rows)
    progress(1)
    return fitted


def fit_random_forest(rows: Dataset, choice: Choice, progress: Progress) -> Fitted:
    """See `Trainer`. Missing values go the way that each tree learns for them; trees grow until told otherwise."""
    reserved = {"random_state": "--seed", "n_estimators": "--trees"}
    check_names("random_forest", choice.parameters, RandomForestClassifier().get_params(), reserved)
    trees = choice.trees or TREES
    # Each tree has a seed of its own, so the number of threads makes no difference.
    chosen = {"n_jobs": -1, **choice.parameters}
    model = RandomForestClassifier(**chosen, n_estimators=trees, random_state=choice.seed)
    fitted = _fit("random_forest", model, rows)
    progress(trees)
    return fitted


def _fit(trainer: str, model: Any, rows: Dataset) -> Fitted:
    def finite(matrix: Matrix) -> Matrix:
        refuse_infinite(trainer, rows.inputs, matrix)
        return matrix

    try:
        model.fit(finite(rows.matrix), rows.labels, sample_weight=rows.weights)
    except ValueError as error:
        raise ConfigurationError(f"trainer {trainer}: {error}") from error
    members = getattr(model, "estimators_", [model])
    parameters = plain(model.get_params())
    if "n_jobs" in parameters:
        model.set_params(n_jobs=1)  # threads add their trees' answers as they finish: other last bits every time
    return Fitted(
        forest([_tree(member.tree_, len(members)) for member in members], len(rows.inputs)),
        lambda matrix: model.predict_proba(finite(matrix))[:, 1],
        parameters,
        {"scikit-learn": sklearn.__version__, "scipy": version("scipy")},
    )


def _tree(tree: Any, members: int) -> Tree:
    """A tree whose leaves hold their share of the mean; scikit-learn compares 32-bit values with 64-bit thresholds."""
    weights = tree.value[:, 0, :]
    return Tree(
        tree.feature.astype(np.int64),
        round_down(tree.threshold),
        tree.children_left.astype(np.int64),
        tree.children_right.astype(np.int64),
        tree.missing_go_to_left.astype(np.bool_),
        weights[:, 1] / weights.sum(axis=1) / members,
    )
