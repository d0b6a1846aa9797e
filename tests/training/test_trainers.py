"""Every trainer: its graph says what its library says, missing values included, or it says what it cannot do."""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import xgboost as xgb

from headrace.domain.models.checks.graph_policy import inspect
from headrace.domain.models.checks.sandbox import admit
from headrace.domain.models.package import Input, Manifest, ModelPackage, pack
from headrace.domain.models.sessions import ForestSession, OnnxSession, SessionSettings, open_session
from headrace.domain.pipeline.retrain.section import TRAINERS as NAMED
from headrace.domain.training import graphs, xgboost_trainer
from headrace.domain.training import model_build as trainer
from headrace.domain.training import trainer as fitting
from headrace.domain.training.dataset import Dataset
from headrace.domain.training.model_build import Recipe, train
from headrace.domain.training.trainer import TRAINERS, Choice, Fitted, trainer_of
from headrace.errors import ConfigurationError, ContractError

CHOICES: list[tuple[str, Mapping[str, Any], type]] = [
    ("lightgbm", {}, ForestSession),
    ("xgboost", {}, ForestSession),
    ("xgboost", {"tree_method": "exact", "base_score": 0.5, "num_parallel_tree": 2}, ForestSession),
    ("random_forest", {}, OnnxSession),
    ("random_forest", {"max_depth": 4, "class_weight": "balanced"}, ForestSession),
    ("decision_tree", {"max_depth": 2}, ForestSession),
    ("decision_tree", {}, OnnxSession),
    ("logistic_regression", {"missing": "mean"}, OnnxSession),
]
"""Trainer, parameters, and what scores the package: small trees are walked by our own kernels."""


def rows(count: int = 3000, missing: float = 0.0, seed: int = 0) -> Dataset:
    """Rows a minute apart: amounts far from zero, counts with ties, and one input that is never missing."""
    rng = np.random.default_rng(seed)
    matrix = np.asfortranarray(rng.gamma(2.0, 30.0, (count, 5)).astype(np.float32))
    matrix[:, 2] = rng.poisson(3, count)
    matrix[:, 3] += 1e5
    labels = (rng.random(count) < 1 / (1 + np.exp(4 - matrix[:, 0] / 30 - (matrix[:, 1] > 80)))).astype(np.int8)
    matrix[rng.random(matrix.shape) < missing] = np.nan
    matrix[:, 4] = rng.random(count)
    return Dataset(tuple(f"v.f{i}" for i in range(5)), matrix, labels, np.arange(count) * 60_000)


def fitted(name: str, data: Dataset, parameters: Mapping[str, Any], trees: int | None = None) -> Fitted:
    """What the trainer makes of all rows."""
    return trainer_of(name)(data, Choice(parameters, trees), lambda trees: None)


def packed(model: Fitted, width: int = 5) -> ModelPackage:
    """The graph in a package of its own."""
    return pack(Manifest(name="m", version="1", inputs=tuple(Input(name=f"f{i}") for i in range(width))), model.graph)


def edges(model: Fitted, data: Dataset) -> np.ndarray:
    """Rows around the thresholds of the graph, and missing everywhere, even where no training row was."""
    package = packed(model)
    matrix = data.matrix.copy()
    for node in inspect(package).graph.node:
        given = {attribute.name: attribute for attribute in node.attribute}
        if "nodes_values" not in given:
            continue
        columns, limits = (
            np.array(getattr(given[f"nodes_{n}"], k)) for n, k in (("featureids", "ints"), ("values", "floats"))
        )
        for column in range(matrix.shape[1]):
            at = np.unique(limits[columns == column].astype(np.float32))[: len(matrix) // 4]
            around = np.concatenate([at, np.nextafter(at, np.float32(-np.inf)), np.nextafter(at, np.float32(np.inf))])
            around = around[np.isfinite(around)]  # a split between missing and not is one at infinity
            matrix[: len(around), column] = around
    for column in range(matrix.shape[1]):
        matrix[-50 * (column + 1) : -50 * column or None, column] = np.nan
    return matrix


@pytest.mark.slow
@pytest.mark.parametrize("missing", [0.0, 0.2])
@pytest.mark.parametrize(("name", "parameters", "session"), CHOICES, ids=[f"{n}-{len(p)}" for n, p, _ in CHOICES])
def test_parity(name: str, parameters: Mapping[str, Any], session: type, missing: float) -> None:
    """Values next to thresholds, and missing ones, seen in training or not, get the library's own answer."""
    data = rows(missing=missing)
    model = fitted(name, data, parameters)
    matrix = edges(model, data)
    opened = open_session(packed(model), SessionSettings(device="cpu", rows=256))
    assert isinstance(opened, session)
    np.testing.assert_allclose(opened.run(matrix), model.predict(matrix), atol=trainer.PARITY / 4, rtol=0)


@pytest.mark.slow
@pytest.mark.parametrize("name", TRAINERS)
def test_package(name: str) -> None:
    """Every trainer's package is admitted, says what made it, learns something, and is the same the second time."""
    data = rows()
    recipe = Recipe("m", "1", trainer=name, seed=3, gap=3_600_000, as_of=5)
    package = train(data, recipe)
    admit(package)
    parameters = package.manifest.parameters
    assert (parameters["trainer"], parameters["seed"], parameters["as_of"]) == (name, 3, 5)
    assert set(package.manifest.libraries) & {"lightgbm", "xgboost", "scikit-learn"}
    assert package.manifest.metrics["auc_roc"] > 0.6
    assert train(data, recipe).digest == package.digest


def test_names_agree() -> None:
    """A pipeline file may name the trainers that there are."""
    assert tuple(TRAINERS) == NAMED


def test_seed_matters() -> None:
    """Another seed grows another forest."""
    data = rows(1000)
    one, other = (train(data, Recipe("m", "1", trainer="random_forest", trees=5, seed=seed)) for seed in (0, 1))
    assert one.graph != other.graph


def test_threads_do_not_matter() -> None:
    """A forest is the same on any number of cores."""
    data = rows(1000)
    one, two = (fitted("random_forest", data, {"n_jobs": n}, trees=8).graph for n in (1, 2))
    assert one == two


def test_progress() -> None:
    """Trainers of many trees tell how many they have grown."""
    for name in sorted(fitting.MANY):
        grown: list[int] = []
        train(rows(1000), Recipe("m", "1", trainer=name, trees=4), grown.append)
        assert grown[-1] == 4


def test_all_rows_are_fitted_without_a_holdout() -> None:
    """With nothing held out the model learns from every row, and claims no metrics."""
    data = rows(1000)
    manifest = train(data, Recipe("m", "1", trainer="decision_tree", holdout=0.0, gap=3_600_000)).manifest
    assert manifest.training.rows == len(data)
    assert manifest.metrics == {}


def spoilt(value: float) -> Dataset:
    """Rows of which one has an input that is `value`, the last: it is judged by, not fitted."""
    data = rows(1000)
    data.matrix[-1, 1] = value
    return data


REFUSED: list[tuple[Recipe, Dataset, str]] = [
    (Recipe("m", "1", trainer="lightgb"), rows(1000), "did you mean lightgbm"),
    (Recipe("m", "1", trees=5, parameters={"num_leafs": 3}), rows(1000), "did you mean num_leaves"),
    (Recipe("m", "1", trees=5, parameters={"num_leaves": "x"}), rows(1000), "should be of type int"),
    (Recipe("m", "1", trees=5, parameters={"seed": 1}), rows(1000), "given by --seed"),
    (Recipe("m", "1", trainer="xgboost", parameters={"maxdepth": 3}), rows(1000), "did you mean max_depth"),
    (Recipe("m", "1", trainer="xgboost", parameters={"max_depth": "x"}), rows(1000), "max_depth"),
    (Recipe("m", "1", trainer="xgboost", parameters={"n_estimators": 1}), rows(1000), "given by --trees"),
    (Recipe("m", "1", trainer="xgboost"), spoilt(np.inf), "infinite values, of .* v.f1 in 1; keep them out"),
    (Recipe("m", "1", trainer="random_forest", parameters={"max_depth": "x"}), rows(1000), "max_depth"),
    (Recipe("m", "1", trainer="random_forest", parameters={"deep": 1}), rows(1000), "no parameter deep"),
    (Recipe("m", "1", trainer="random_forest", trees=5), spoilt(-np.inf), "v.f1 in 1; keep them out"),
    (Recipe("m", "1", trainer="decision_tree", trees=5), rows(1000), "leave --trees away"),
    (Recipe("m", "1", trainer="decision_tree", parameters={"criterion": "luck"}), rows(1000), "criterion"),
    (Recipe("m", "1", trainer="logistic_regression"), spoilt(np.nan), "v.f1 in 1; say .* missing=mean"),
    (Recipe("m", "1", trainer="logistic_regression", parameters={"missing": "zero"}), rows(1000), "refuse or mean"),
    (
        Recipe("m", "1", trainer="logistic_regression", parameters={"max_iter": 1}),
        rows(1000),
        "larger --param max_iter",
    ),
    (Recipe("m", "1", trainer="logistic_regression", parameters={"solver": "x"}), rows(1000), "solver"),
    (Recipe("m", "1", holdout=1.0), rows(1000), "up to, not including, 1"),
]


@pytest.mark.parametrize(("recipe", "data", "said"), REFUSED, ids=[said for _, _, said in REFUSED])
def test_refusals(recipe: Recipe, data: Dataset, said: str) -> None:
    """What cannot be is said in plain words, with what to do instead."""
    with pytest.raises(ConfigurationError, match=said):
        train(data, recipe)


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("xgboost", {"objective": "reg:squarederror"}),
        ("xgboost", {"booster": "dart"}),
        ("xgboost", {"booster": "gblinear"}),
        ("lightgbm", {"boosting": "rf", "bagging_freq": 1, "bagging_fraction": 0.5}),
    ],
)
def test_what_cannot_be_converted(name: str, parameters: dict[str, Any]) -> None:
    """Kinds of models that the graph would not repeat are refused, not approximated."""
    with pytest.raises(ContractError, match="cannot be converted"):
        fitted(name, rows(1000), parameters, trees=3)


def test_categories_cannot_be_converted() -> None:
    """A booster that splits by sets of values is refused."""
    data = rows(1000)
    kinds = ["q", "q", "c", "q", "q"]
    matrix = xgb.DMatrix(data.matrix, data.labels, feature_types=kinds, enable_categorical=True)
    booster = xgb.train({"objective": "binary:logistic", "max_cat_to_onehot": 1}, matrix, 3)
    with pytest.raises(ContractError, match="categorical"):
        xgboost_trainer.convert(booster)


def test_a_graph_that_differs_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A package is not made when its graph says something else than the library on any row."""
    data = rows(1000)
    honest = fitted("decision_tree", data, {"max_depth": 3})
    lying = Fitted(honest.graph, lambda matrix: honest.predict(matrix) + 1e-3, honest.parameters, honest.libraries)
    monkeypatch.setattr(trainer, "trainer_of", lambda name: lambda rows, choice, progress: lying)
    with pytest.raises(ContractError, match=r"differs from trainer decision_tree by 0\.001 on 1000 rows"):
        train(data, Recipe("m", "1", trainer="decision_tree"))


@pytest.mark.parametrize(("place", "said"), [(graphs, "nodes are more than"), (trainer, "bytes, more than the 2,000")])
def test_a_model_too_large(monkeypatch: pytest.MonkeyPatch, place: ModuleType, said: str) -> None:
    """A model beyond what is admitted is refused with the remedy, before or after its graph is written."""
    monkeypatch.setattr(place, "LARGEST_GRAPH", 2000)
    with pytest.raises(ContractError, match=f"{said}.*max_depth"):
        train(rows(1000), Recipe("m", "1", trainer="random_forest", trees=5))


def test_size_of_a_node() -> None:
    """No node takes fewer bytes in the file than the bound says by which forests are refused unwritten."""
    small, large = (fitted("random_forest", rows(1000), {}, trees=n) for n in (1, 5))
    bytes_more = len(large.graph) - len(small.graph)
    assert bytes_more / (nodes(large) - nodes(small)) > graphs.LEAST_OF_NODE


def nodes(model: Fitted) -> int:
    """How many nodes its trees have."""
    (ensemble,) = inspect(packed(model)).graph.node
    return next(len(given.ints) for given in ensemble.attribute if given.name == "nodes_nodeids")
