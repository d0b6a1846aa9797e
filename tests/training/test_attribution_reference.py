"""A trained model's package says what its inputs contributed on rows that it was not fitted on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from headrace.domain.explanations.attributions import attributions_like
from headrace.domain.models.package import ModelPackage
from headrace.domain.training.attribution_reference import FEWEST, LEAST_EVERY, background_of
from headrace.domain.training.dataset import Dataset
from headrace.domain.training.model_build import Recipe, train

HOUR = 3_600_000


def rows(count: int = 6_000, seed: int = 0) -> Dataset:
    """Rows a minute apart; labels hang on the first two inputs, and on the third where it is missing."""
    rng = np.random.default_rng(seed)
    matrix = np.asfortranarray(rng.gamma(2.0, 30.0, (count, 5)).astype(np.float32))
    matrix[rng.random(count) < 0.3, 2] = np.nan
    chance = 1 / (1 + np.exp(4 - matrix[:, 0] / 30 - (matrix[:, 1] > 80) - np.isnan(matrix[:, 2])))
    labels = (rng.random(count) < chance).astype(np.int8)
    return Dataset(tuple(f"v.f{at}" for at in range(5)), matrix, labels, np.arange(count) * 60_000)


def trained(data: Dataset, **given: object) -> ModelPackage:
    """A small model."""
    return train(data, replace(Recipe("m", "1", trees=8, parameters={"num_leaves": 6}), **given))


def test_contributions_travel_with_the_model() -> None:
    """Of each input that counts, as the package's own graph gives them with its own background; twice the same."""
    data = rows()
    package = trained(data)
    assert trained(data).digest == package.digest
    assert package.reference is not None
    attributions = package.reference.attributions
    assert attributions is not None
    assert (attributions.sample.of, attributions.sample.exact) == ("margin", True)
    assert attributions.sample.every == LEAST_EVERY
    assert {"v.f0", "v.f1", "v.f2"} <= attributions.columns.keys()
    held_out = data.matrix[data.times > data.times[-1] * 0.75]
    sizes = np.abs(attributions_like(package, attributions.sample).contributions(held_out))
    for name, column in attributions.columns.items():
        placed = column.place(np.ascontiguousarray(sizes[:, data.inputs.index(name)]), np.zeros(len(sizes), np.int64))
        assert np.abs(np.bincount(placed, minlength=len(column.bins.counts)) - column.bins.counts).max() <= 1


def test_inputs_of_the_clock_and_those_without_a_part_are_left_out() -> None:
    """What a caller names is not watched, and what no tree asks for contributes nothing to any row."""
    data = rows()
    matrix = data.matrix.copy(order="F")
    matrix[:, 4] = 1.0
    package = trained(replace(data, matrix=matrix), clock=frozenset({"v.f1"}))
    assert package.reference is not None
    assert package.reference.attributions is not None
    assert not {"v.f1", "v.f4"} & package.reference.attributions.columns.keys()
    assert package.reference.attributions.sample.background.shape[1] == 5


@pytest.mark.parametrize(("count", "holdout"), [(6_000, 0.0), (4 * FEWEST - 200, 0.25)])
def test_too_few_rows_tell_nothing(count: int, holdout: float) -> None:
    """Without rows held out, or with a handful, a package says nothing of contributions."""
    reference = trained(rows(count), holdout=holdout).reference
    assert reference is not None
    assert reference.attributions is None


def test_the_background_stands_for_all_rows() -> None:
    """Its scores are those of all rows, evenly; infinities are numbers."""
    data = rows()
    scores = np.nan_to_num(data.matrix[:, 0].astype(np.float64))
    data.matrix[np.argsort(scores, kind="stable")[6_000 // 128], 3] = np.inf
    background = background_of(data, scores)
    assert background.shape == (64, 5)
    assert background[:, 0].mean() == pytest.approx(scores.mean(), rel=0.02)
    assert np.isfinite(background[:, 3]).all()
