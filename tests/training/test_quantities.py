"""Models that tell a quantity: trained, converted, packed and judged by their errors."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from headrace.domain.drift.reference_profile import LOSS, SCORE
from headrace.domain.models.checks.sandbox import admit
from headrace.domain.models.package import ModelPackage
from headrace.domain.models.sessions import SessionSettings, open_session
from headrace.domain.pipeline.categories.spec import Category
from headrace.domain.pipeline.spec import Labels
from headrace.domain.training.dataset import Dataset, assemble, labelled_rows
from headrace.domain.training.job.order import WindowCandidate
from headrace.domain.training.job.windows import best_window
from headrace.domain.training.model_build import Recipe, train
from headrace.domain.training.trainer import QUANTITIES, TAKES
from headrace.errors import ConfigurationError, ContractError

OF_QUANTITIES = [name for name, takes in TAKES.items() if QUANTITIES in takes]
OFFSET = 40_000.0


def rows(count: int = 3_000, seed: int = 0) -> Dataset:
    """Prices far from zero: a line, a step, and noise of one hundred; some inputs missing."""
    rng = np.random.default_rng(seed)
    matrix = np.asfortranarray(rng.normal(size=(count, 3)).astype(np.float32))
    labels = OFFSET + 1_000.0 * matrix[:, 0] + 500.0 * (matrix[:, 1] > 0.5) + rng.normal(0, 100.0, count)
    matrix[rng.random(matrix.shape) < 0.05] = np.nan
    inside = {("side", "left"): matrix[:, 2] < 0}
    return Dataset(("a", "b", "c"), matrix, labels.astype(np.float64), np.arange(count) * 60_000, inside)


def trained(name: str, **parameters: Any) -> ModelPackage:
    """A package of all rows but the last quarter, which judges it."""
    trees = None if name in ("decision_tree", "logistic_regression") else 40
    bounded = {"max_depth": 6} if name in ("random_forest", "decision_tree") else {}
    return train(rows(), Recipe("m", "1", trainer=name, trees=trees, parameters={**bounded, **parameters}))


@pytest.mark.parametrize("name", OF_QUANTITIES)
def test_a_package_of_every_trainer_tells_quantities(name: str) -> None:
    """It answers what its library does (else there is no package), is admitted, and says how far it is off."""
    package = trained(name)
    assert admit(package) == ""
    manifest, later = package.manifest, rows(seed=1)
    assert (manifest.output, manifest.training.positives) == ("value", 0)
    scores = open_session(package, SessionSettings(device="cpu", rows=256)).run(later.matrix)
    off = float(np.sqrt(np.mean((scores - later.labels) ** 2)))
    assert off < 700 < float(later.labels.std())
    assert manifest.metrics["root_mean_square_error"] == pytest.approx(off, rel=0.25)
    assert manifest.metrics["r2"] > 0.6
    assert "auc_roc" not in manifest.metrics
    reference, card = package.reference, package.model_card
    assert reference is not None
    assert card is not None
    assert set(reference.answers) == {SCORE, LOSS}
    assert reference.loss is not None
    assert reference.loss.scores is None
    assert package.held_out is None
    interval = manifest.interval
    assert interval is not None
    assert (interval.coverage, interval.rows) == (0.9, 750)
    held = float(np.mean(np.abs(scores - later.labels) <= interval.half_width))
    assert 0.86 < held < 0.94, "as many rows as it was made of err by 1% in it, those of a day to come by 1% more"
    (group,) = card.groups
    assert group.metrics["mean_squared_error"] > 0


@pytest.mark.parametrize(
    ("name", "objective"),
    [("lightgbm", "regression_l1"), ("lightgbm", "huber"), ("lightgbm", "quantile"), ("xgboost", "reg:absoluteerror")],
)
def test_other_errors_can_be_fitted(name: str, objective: str) -> None:
    """Objectives whose sums of leaves are the answer are converted as they are."""
    assert trained(name, objective=objective).manifest.metrics["mean_absolute_error"] < 1_200


@pytest.mark.parametrize(
    ("name", "objective", "said"),
    [
        ("lightgbm", "binary", "objective 'binary' cannot be converted: the model tells a quantity"),
        ("lightgbm", "poisson", "objective 'poisson' cannot be converted"),
        ("xgboost", "binary:logistic", "the model tells a quantity"),
        ("xgboost", "reg:gamma", "objective 'reg:gamma' cannot be converted"),
    ],
)
def test_what_is_no_sum_is_refused(name: str, objective: str, said: str) -> None:
    """An exponential behind the sum would be left out in silence; classes are no quantities."""
    with pytest.raises((ConfigurationError, ContractError), match=said):
        trained(name, objective=objective)


def test_a_trainer_of_classes_refuses() -> None:
    """A logistic regression has no quantities to tell, and quantities are no classes."""
    with pytest.raises(ConfigurationError, match="fits classes, and the model tells a quantity"):
        trained("logistic_regression")
    classes = replace(rows(), labels=(rows().labels > OFFSET).astype(np.int8))
    with pytest.raises(ContractError, match="the model tells a probability"):
        train(classes, Recipe("m", "1", parameters={"objective": "regression"}))


def test_the_best_window_has_the_least_error() -> None:
    """Of windows as of models, the mean squared error decides; a model may go on from another."""
    whole = rows(4_000)
    moved = replace(whole, labels=np.where(np.arange(4_000) < 2_000, whole.labels - 5_000, whole.labels))
    recipe = Recipe("m", "1", trees=30, holdout=0.1)
    windows = [WindowCandidate(kind="all", name="all"), WindowCandidate(kind="since", name="new", start=2_000 * 60_000)]
    best, told = best_window(moved, recipe, windows, lambda window: pytest.fail("none goes on"))
    assert best.figures.name == "new"
    assert told[0].behind is not None
    assert told[0].behind[0] > 0
    assert set(best.figures.metrics) == {"mean_squared_error", "root_mean_square_error", "mean_absolute_error", "r2"}


def test_rows_of_quantities_and_their_categories() -> None:
    """Labels stay what they are; a target encoding of quantities is their mean."""
    count = 600
    event = pa.StructArray.from_arrays([pa.array(["x", "y", "z"] * (count // 3))], names=["kind"])
    times = pa.array(np.arange(count) * 60_000, pa.timestamp("ms", "UTC"))
    ids = pa.array([f"e{at}" for at in range(count)])
    table = pa.table({"event_id": ids, "event_time": times, "event": event})
    worth = np.tile([10.0, 20.0, 90.0], count // 3) + np.random.default_rng(0).normal(size=count)
    labels = pa.table({"event_id": ids, "value": worth, "label_time": times})
    categories = {"kind": Category("target")}
    data = assemble(table, labels, ["kind"], Labels("id", "v"), 10**12, None, categories, quantities=True)
    np.testing.assert_array_equal(data.labels, worth)
    package = train(data, Recipe("m", "1", trees=60, parameters={"min_data_in_leaf": 5}, categories=categories))
    scores = open_session(package, SessionSettings(device="cpu", rows=8)).run(np.array([[0], [1], [2]], np.float32))
    np.testing.assert_allclose(scores, [10, 20, 90], atol=2)
    with pytest.raises(ConfigurationError, match=r"labels other than 0 and 1.*output: value"):
        labelled_rows(table, worth, ["kind"], 10**12, None, categories)
    with pytest.raises(ConfigurationError, match="all the same"):
        labelled_rows(table, np.full(count, 3.0), ["kind"], 10**12, None, categories, quantities=True)
