"""One tree, or the mean of many, by scikit-learn.

References:
    L. Breiman, J. Friedman, R. Olshen, C. Stone: Classification and Regression Trees, 1984.
    L. Breiman: Random Forests, Machine Learning 45, 2001.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib.metadata import version
from io import BytesIO
from typing import Any

import numpy as np
import numpy.typing as npt
import sklearn
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from headrace.domain.training.dataset import Dataset
from headrace.domain.training.graphs import CLASSES, OUTPUT, QUANTITY, Tree, forest, round_down
from headrace.domain.training.trainer import (
    TREES,
    Choice,
    Fitted,
    Matrix,
    Progress,
    answers_of,
    check_names,
    plain,
    refuse_infinite,
)
from headrace.errors import ConfigurationError

LARGEST_BASE = 32 << 20
"""Bytes of a forest's own form, beyond which a package holds none: every member that scores fetches it."""
FIELDS = (("feature", np.int32), ("threshold", np.float32), ("left", np.int32), ("right", np.int32),
          ("missing_left", np.bool_), ("value", np.float64))  # fmt: skip  # a table
"""Of a node, as that form has it; thresholds are 32-bit numbers already."""


def fit_decision_tree(rows: Dataset, choice: Choice, progress: Progress) -> Fitted:
    """See `Trainer`. Missing values go the way that the tree learns for them; it grows until told otherwise."""
    kind = DecisionTreeRegressor if rows.quantities else DecisionTreeClassifier
    check_names("decision_tree", choice.parameters, kind().get_params(), {"random_state": "--seed"})
    model = kind(**choice.parameters, random_state=choice.seed)
    fitted = _fit("decision_tree", model, rows)
    progress(1)
    return fitted


def fit_random_forest(rows: Dataset, choice: Choice, progress: Progress) -> Fitted:
    """See `Trainer`. Missing values go the way that each tree learns for them; trees grow until told otherwise.

    A model that goes on from another (`Choice.base`) is the mean of that one's trees and of `trees` that know these
    rows alone: what scikit-learn's `warm_start` does, without a pickle. Its seeds are others than those of the base.
    """
    reserved = {"random_state": "--seed", "n_estimators": "--trees"}
    kind = RandomForestRegressor if rows.quantities else RandomForestClassifier
    known = set(kind().get_params()) - {"warm_start"}  # a model of the store is gone on from instead
    check_names("random_forest", choice.parameters, known, reserved)
    base = [] if choice.base is None else _read(choice.base, len(rows.inputs))
    trees = choice.trees or TREES
    # Each tree has a seed of its own, so the number of threads makes no difference.
    chosen = {"n_jobs": -1, **choice.parameters}
    model = kind(**chosen, n_estimators=trees, random_state=choice.seed + len(base))
    fitted = _fit("random_forest", model, rows, base)
    progress(trees)
    return fitted


def _fit(trainer: str, model: Any, rows: Dataset, base: Sequence[Tree] = ()) -> Fitted:
    def finite(matrix: Matrix) -> Matrix:
        refuse_infinite(trainer, rows.inputs, matrix)
        return matrix

    try:
        model.fit(finite(rows.matrix), rows.labels, sample_weight=rows.weights)
    except ValueError as error:
        raise ConfigurationError(f"trainer {trainer}: {error}") from error
    several = hasattr(model, "estimators_")
    own = [_tree(member.tree_, rows.quantities) for member in (model.estimators_ if several else [model])]
    if base and base[0].value.shape[1:] != own[0].value.shape[1:]:
        raise ConfigurationError(f"trainer {trainer}: the model to go on from has other classes")
    parameters = plain(model.get_params())
    if "n_jobs" in parameters:
        model.set_params(n_jobs=1)  # threads add their trees' answers as they finish: other last bits every time
    trees = [*base, *own]

    def answers(matrix: Matrix) -> npt.NDArray[np.float64]:
        found = model.predict(matrix) if rows.quantities else answers_of(model.predict_proba(matrix))
        return np.asarray(found, np.float64)

    return Fitted(
        _graph(trees, len(rows.inputs), rows.quantities),
        lambda matrix: _mean(finite(matrix), base, answers, len(own)),
        parameters,
        {"scikit-learn": sklearn.__version__, "scipy": version("scipy")},
        _written(trees, len(rows.inputs)) if several else None,
    )


def convert(model: Any, *, quantities: bool = False) -> bytes:
    """An ONNX graph of a fitted tree, or of a mean of many: `features` float32 [n, inputs] -> `probability` [n, 1].

    The probability is that of the second of its two classes; of several it gives `class`, float32 [n, classes]; of
    `quantities` the output is called `value`.
    """
    trees = [_tree(member.tree_, quantities) for member in getattr(model, "estimators_", [model])]
    return _graph(trees, int(model.n_features_in_), quantities)


def _graph(trees: Sequence[Tree], width: int, quantities: bool) -> bytes:
    """The graph of a mean of trees."""
    shares = [_shared(tree, len(trees)) for tree in trees]
    if trees[0].value.ndim == 2:
        return forest(shares, width, classes=trees[0].value.shape[1], output=CLASSES)
    return forest(shares, width, output=QUANTITY if quantities else OUTPUT)


def _tree(tree: Any, quantities: bool = False) -> Tree:
    """A tree whose leaves hold chances, or quantities; scikit-learn compares 32-bit values with 64-bit thresholds."""
    weights = tree.value[:, 0, :]
    chances = weights if quantities else weights / weights.sum(axis=1, keepdims=True)
    return Tree(
        tree.feature.astype(np.int64),
        round_down(tree.threshold),
        tree.children_left.astype(np.int64),
        tree.children_right.astype(np.int64),
        tree.missing_go_to_left.astype(np.bool_),
        np.asarray(weights[:, 0] if quantities else answers_of(chances), np.float64),
    )


def _shared(tree: Tree, members: int) -> Tree:
    """A tree whose leaves hold their share of the mean."""
    return replace(tree, value=tree.value / members)


def _mean(
    matrix: Matrix, base: Sequence[Tree], own: Callable[[Matrix], npt.NDArray[np.float64]], count: int
) -> npt.NDArray[np.float64]:
    """The mean of the answers of the base's trees and of `count` own ones, whose mean `own` tells."""
    if not base:
        return own(matrix)
    total = count * own(matrix)
    for tree in base:
        total += tree.value[_leaves(tree, matrix)]
    found: npt.NDArray[np.float64] = total / (count + len(base))
    return found


def _leaves(tree: Tree, matrix: Matrix) -> npt.NDArray[np.int64]:
    """At which leaf each row comes out."""
    node = np.zeros(len(matrix), np.int64)
    walks = np.arange(len(matrix))
    while len(walks := walks[tree.left[node[walks]] >= 0]):
        at = node[walks]
        values = matrix[walks, tree.feature[at]]
        left = np.where(np.isnan(values), tree.missing_left[at], values <= tree.threshold[at])
        node[walks] = np.where(left, tree.left[at], tree.right[at])
    return node


def _written(trees: Sequence[Tree], width: int) -> bytes | None:
    """Trees as plain arrays, one column behind the other; None where they are too large to be kept twice."""
    sizes = np.array([width, *(len(tree.feature) for tree in trees)], np.int64)
    if sizes[1:].sum() * sum(np.dtype(kind).itemsize for _, kind in FIELDS) > LARGEST_BASE:
        return None
    out = BytesIO()
    np.save(out, sizes, allow_pickle=False)
    for name, kind in FIELDS:
        np.save(out, np.concatenate([getattr(tree, name) for tree in trees]).astype(kind), allow_pickle=False)
    return out.getvalue()


def _read(written: bytes, width: int) -> list[Tree]:
    """What `_written` gave, of so many inputs. Raises ConfigurationError where it is none."""
    source = BytesIO(written)
    try:
        sizes = np.load(source, allow_pickle=False)
        columns = [np.load(source, allow_pickle=False) for _ in FIELDS]
    except (ValueError, EOFError, OSError) as error:
        raise ConfigurationError(f"trainer random_forest: the model to go on from is damaged: {error}") from error
    ends = np.cumsum(sizes[1:])
    if sizes[0] != width or any(len(column) != ends[-1] for column in columns):
        raise ConfigurationError("trainer random_forest: the model to go on from has other inputs, or is damaged")
    kinds = (np.int64, np.float64, np.int64, np.int64, np.bool_, np.float64)
    parts = [np.split(column.astype(kind), ends[:-1]) for column, kind in zip(columns, kinds, strict=True)]
    return [Tree(*fields) for fields in zip(*parts, strict=True)]
