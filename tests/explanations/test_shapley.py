"""Contributions are Shapley values: what the sum over all coalitions gives, for trees exactly."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from math import factorial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.domain.explanations.attributions import attributions_of
from headrace.domain.explanations.permutation_shapley import PermutationShapley
from headrace.domain.explanations.tree_shapley import MOST_ROWS, tree_shapley
from headrace.domain.models.checks.graph_policy import inspect
from headrace.domain.models.forest import TreeSum, trees_of
from headrace.domain.models.package import pack
from headrace.domain.models.sessions import SessionSettings, open_session
from headrace.domain.training.dataset import Dataset
from headrace.domain.training.trainer import Choice, trainer_of
from tests.models import graphs
from tests.models.test_forest import NAMES, graph, grow, values

Floats = np.ndarray


def by_coalitions(worth: Callable[[Floats], Floats], row: Floats, background: Floats) -> Floats:
    """Shapley's own formula: every set of inputs is tried, against each background row."""
    width, found = len(row), np.zeros(len(row))
    for size in range(width):
        weight = factorial(size) * factorial(width - size - 1) / factorial(width)
        for at in range(width):
            for taken in combinations([each for each in range(width) if each != at], size):
                without = background.copy()
                without[:, taken] = row[list(taken)]
                joined = without.copy()
                joined[:, at] = row[at]
                found[at] += weight * float(np.mean(worth(joined) - worth(without)))
    return found


def summed(seed: int, trees: int, leaves: int) -> TreeSum:
    """Random trees."""
    content = graph(grow(np.random.default_rng(seed), trees, leaves))
    found = trees_of(inspect(pack(graphs.manifest(NAMES), content)), 1_000)
    assert found is not None
    return found


@given(
    st.integers(0, 10_000),
    st.integers(1, 4),
    st.integers(1, 70),
    st.integers(1, MOST_ROWS),
    st.sampled_from([0, 60, 999]),
)
@settings(max_examples=40, deadline=None)
def test_any_trees(seed: int, trees: int, leaves: int, rows: int, tabled: int) -> None:
    """Of any shape, tests met again on a path, values missing, infinite and on thresholds, with tables for all, some
    or no leaves: as by all coalitions.
    """
    rng = np.random.default_rng(seed)
    background, matrix = values(rng, rows), values(rng, 8)
    made = tree_shapley(summed(seed, trees, leaves), background, tabled)
    found, _, _ = made.contributions(matrix)

    def worth(rows: Floats) -> Floats:
        return made.contributions(rows)[1]

    for row, contributions in zip(matrix, found, strict=True):
        np.testing.assert_allclose(contributions, by_coalitions(worth, row, background), atol=1e-9)


def trained(trainer: str, rows: int = 3_000, width: int = 6) -> tuple[bytes, Floats]:
    """A graph that was fitted, and rows of its inputs: two of them count together only, one not at all."""
    rng = np.random.default_rng(1)
    matrix = np.asfortranarray(rng.normal(size=(rows, width)).astype(np.float32))
    truth = matrix[:, 0] + np.where(matrix[:, 1] > 0, matrix[:, 2], -matrix[:, 2]) > rng.logistic(size=rows)
    names = tuple(f"v.f{at}" for at in range(width))
    data = Dataset(names, matrix, truth.astype(np.int8), np.arange(rows) * 60_000)
    choice = Choice({}, 20 if trainer == "lightgbm" else None)
    return trainer_of(trainer)(data, choice, lambda _: None).graph, matrix


def test_contributions_of_a_trained_model_sum_to_its_margin() -> None:
    """Above the mean of the background, to the last digits; inputs without a part in the labels have less."""
    content, matrix = trained("lightgbm")
    package = pack(graphs.manifest([f"v.f{at}" for at in range(6)]), content)
    background = np.ascontiguousarray(matrix[:64])
    made = attributions_of(package, background)
    assert (made.exact, made.of) == (True, "margin")
    found = made.contributions(matrix[1_000:1_300])
    trees = trees_of(inspect(package), 64)
    assert trees is not None

    def sums(rows: Floats) -> Floats:
        return tree_shapley(trees, background).contributions(rows)[1]

    np.testing.assert_allclose(found.sum(axis=1), sums(matrix[1_000:1_300]) - sums(background).mean(), atol=1e-9)
    sizes = np.abs(found).mean(axis=0)
    assert min(sizes[:3]) > 1.5 * max(sizes[3:])
    np.testing.assert_allclose(found[0], by_coalitions(sums, matrix[1_000], background), atol=1e-9)


def test_rows_stand_alone() -> None:
    """Whoever is explained together: the same bits."""
    rng = np.random.default_rng(3)
    background, matrix = values(rng, 20), values(rng, 50)
    made = tree_shapley(summed(3, 5, 20), background)
    whole, _, steps = made.contributions(matrix)
    parts = [made.contributions(np.asfortranarray(matrix[at : at + 7])) for at in range(0, 50, 7)]
    np.testing.assert_array_equal(np.concatenate([found for found, _, _ in parts]), whole)
    assert sum(taken for _, _, taken in parts) == steps


def test_other_models_are_asked() -> None:
    """A line of inputs through a sigmoid: estimates that sum to the score, near what all coalitions give, and the same
    each time.
    """
    content, matrix = trained("logistic_regression")
    package = pack(graphs.manifest([f"v.f{at}" for at in range(6)]), content)
    background = np.ascontiguousarray(matrix[:16])
    made = attributions_of(package, background)
    assert (made.exact, made.of) == (False, "score")
    score = open_session(package, SessionSettings(device="cpu", rows=512)).run
    found = made.contributions(matrix[500:520])
    np.testing.assert_allclose(found.sum(axis=1), score(matrix[500:520]) - score(background).mean(), atol=1e-6)
    np.testing.assert_allclose(found[0], by_coalitions(score, matrix[500], background), atol=0.01)
    np.testing.assert_array_equal(made.contributions(matrix[510:511])[0], found[10])


def test_what_two_inputs_do_together_is_split_exactly() -> None:
    """But for the rounding of 32 bits: orders and reverses leave only what three or more do together to chance."""
    rng = np.random.default_rng(5)
    background, rows = rng.normal(size=(9, 5)), rng.normal(size=(4, 5))

    def worth(matrix: Floats) -> Floats:
        return matrix[:, 0] * matrix[:, 1] + 2 * matrix[:, 2] * matrix[:, 3] - matrix[:, 4]

    found = PermutationShapley(worth, background).contributions(rows)
    for row, contributions in zip(rows, found, strict=True):
        np.testing.assert_allclose(contributions, by_coalitions(worth, row, background), atol=1e-6)


@pytest.mark.parametrize("rows", [0, MOST_ROWS + 1])
def test_a_background_has_a_bit_for_each_row(rows: int) -> None:
    """No row, or one too many, is refused."""
    with pytest.raises(ValueError, match="background rows"):
        tree_shapley(summed(1, 1, 3), np.zeros((rows, 3), np.float32))
