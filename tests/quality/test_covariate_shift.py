"""Estimates under shifted inputs are what labels then bring, where those that take scores as before are not."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headrace.domain.pipeline.scorecards.spec import Worth
from headrace.domain.quality.covariate_shift import ReferenceSample, shifted_estimates
from headrace.domain.quality.curve_estimates import steady_estimates
from headrace.domain.quality.decisions import confusion
from headrace.domain.quality.estimation import Estimate
from headrace.domain.quality.ranking import auc_roc, average_precision
from headrace.domain.quality.score_table import EMPTY, ScoreTable, tabulated

BINS = (2, 12, 8, 8, 8)
THRESHOLD = 0.4
WORTH = Worth(true_positive=100, false_positive=-5, false_negative=-100)
EMPLOYMENT = Path(__file__).resolve().parents[3] / "shared" / "data" / "employment"


def drawn(random: np.random.Generator, count: int, share: float) -> ReferenceSample:
    """Rows of two groups, which a model scores alike: of one it is too sure, and expects too much."""
    group = random.random(count) < share
    strength = random.normal(0, 1.5, count)
    log_odds = np.where(group, 0.4 * strength - 0.8, 1.2 * strength + 0.3)
    cell = np.clip((strength + 4.5) / 0.75, 0, 11)
    places = np.stack([group, cell, *random.integers(0, 8, (3, count))]).astype(np.uint8)
    return ReferenceSample(
        places, BINS, 1 / (1 + np.exp(-strength)), random.random(count) < 1 / (1 + np.exp(-log_odds))
    )


def realised(table: ScoreTable) -> dict[str, float]:
    """The figures that labels give."""
    matrix = confusion(table, THRESHOLD)
    shares = {name: getattr(matrix, name) for name in ("accuracy", "precision", "recall", "f1")}
    return {"auc_roc": auc_roc(table), "average_precision": average_precision(table), **shares}


def distances(found: Mapping[str, Estimate | None], real: Mapping[str, float]) -> np.ndarray:
    """(distance, by its standard error) of each figure."""
    return np.array([(found[name].value - value, (found[name].value - value) / found[name].error)
                     for name, value in real.items()])  # fmt: skip  # one line more says no more


@cache
def rounds(share: float, count: int = 30) -> tuple[np.ndarray, np.ndarray]:
    """Distances of (shifted, steady) estimates over windows of 1,500 rows, each with a reference of 6,000."""
    shifted, steady = [], []
    for seed in range(count):
        random = np.random.default_rng(seed)
        reference, window = drawn(random, 6_000, 0.3), drawn(random, 1_500, share)
        unlabelled = tabulated(window.scores, np.full(1_500, np.nan))
        real = realised(tabulated(window.scores, window.positive))
        found = shifted_estimates(reference, window.places, unlabelled, THRESHOLD)
        assert found.reason is None
        shifted.append(distances(found.figures, real))
        known = tabulated(reference.scores, reference.positive)
        steady.append(distances(steady_estimates(known, unlabelled, THRESHOLD), real))
    return np.array(shifted), np.array(steady)


@pytest.mark.slow
def test_a_group_that_grows() -> None:
    """Estimates that weigh the group err as labels do by chance; those that do not weigh err several times as much."""
    shifted, steady = rounds(0.75)
    for place, name in enumerate(("auc_roc", "average_precision", "accuracy", "precision")):
        distance = np.abs(shifted[:, place, 0]).mean()
        assert distance < 0.4 * np.abs(steady[:, place, 0]).mean() or (name == "accuracy" and distance < 0.02), name
        assert np.abs(shifted[:, place, 1]).mean() < 1.1, name
    bias = shifted[..., 0].mean(axis=0) / (shifted[..., 0].std(axis=0) / np.sqrt(len(shifted)))
    assert np.abs(bias).max() < 4


@pytest.mark.slow
def test_without_shift_nothing_is_lost() -> None:
    """Weighing rows that need no weights errs no more, within the noise, than not weighing."""
    shifted, steady = rounds(0.3)
    assert np.all(np.abs(shifted[..., 0]).mean(axis=0) < 1.05 * np.abs(steady[..., 0]).mean(axis=0))


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.3, 0.75])
def test_intervals_cover(share: float) -> None:
    """95% intervals hold the realised figure at least nine times in ten, and are not so wide that they say nothing."""
    shifted, _ = rounds(share)
    inside = np.abs(shifted[..., 1]) < 1.96
    assert np.all(inside.mean(axis=0) >= 0.85)
    assert 0.9 <= inside.mean() <= 0.99


def test_it_knows_what_it_does_not_know() -> None:
    """Errors grow when fewer reference rows speak for production."""
    random = np.random.default_rng(1)
    window = drawn(random, 1_500, 0.3)
    unlabelled = tabulated(window.scores, np.full(1_500, np.nan))
    errors = [
        shifted_estimates(drawn(random, rows, 0.3), window.places, unlabelled, THRESHOLD).figures["auc_roc"].error
        for rows in (400, 20_000)
    ]
    assert errors[0] > 1.3 * errors[1]


def test_the_same_again() -> None:
    """Rows of the reference in another order, and a repeat, give the same figures; the worth of decisions is one."""
    random = np.random.default_rng(2)
    reference, window = drawn(random, 4_000, 0.3), drawn(random, 1_000, 0.6)
    unlabelled = tabulated(window.scores, np.full(1_000, np.nan))
    one = shifted_estimates(reference, window.places, unlabelled, THRESHOLD, WORTH)
    assert one.figures == shifted_estimates(reference, window.places, unlabelled, THRESHOLD, WORTH).figures
    order = random.permutation(4_000)
    turned = ReferenceSample(
        np.ascontiguousarray(reference.places[:, order]), BINS, reference.scores[order], reference.positive[order]
    )
    other = shifted_estimates(turned, window.places, unlabelled, THRESHOLD, WORTH)
    real = confusion(tabulated(window.scores, window.positive), THRESHOLD).value(WORTH)
    for name, estimate in one.figures.items():
        assert other.figures[name].value == pytest.approx(estimate.value, rel=1e-6), name
    assert abs(one.figures["value"].value - real) < 3 * one.figures["value"].error


def test_too_far() -> None:
    """Production of a kind that the reference hardly has gets no figures, and the reason."""
    random = np.random.default_rng(3)
    found = shifted_estimates(
        drawn(random, 5_000, 0.001),
        drawn(random, 2_000, 1.0).places,
        tabulated(np.full(5, 0.5), np.full(5, np.nan)),
        0.5,
    )
    assert found.figures == {}
    assert "too far from the reference" in found.reason
    assert found.effective_rows < 60


def test_new_kinds_are_told() -> None:
    """The share of rows with values that the reference never had stands beside the figures."""
    random = np.random.default_rng(4)
    reference, window = drawn(random, 3_000, 0.3), drawn(random, 1_000, 0.3)
    reference.places[2][reference.places[2] == 7] = 0
    unlabelled = tabulated(window.scores, np.full(1_000, np.nan))
    found = shifted_estimates(reference, window.places, unlabelled, THRESHOLD)
    assert found.uncovered == pytest.approx((window.places[2] == 7).mean())
    assert found.figures["accuracy"] is not None


def test_nothing_to_estimate() -> None:
    """A window without rows says so; a reference of one class has no figures either."""
    random = np.random.default_rng(5)
    reference, window = drawn(random, 500, 0.3), drawn(random, 100, 0.3)
    assert shifted_estimates(reference, window.places[:, :0], EMPTY, 0.5).reason == "no rows in the window"
    alone = ReferenceSample(reference.places, BINS, reference.scores, np.ones(500, np.bool_))
    unlabelled = tabulated(window.scores, np.full(100, np.nan))
    assert "0 rows count" in shifted_estimates(alone, window.places, unlabelled, 0.5).reason
    one_class = tabulated(reference.scores, np.ones(500))
    assert steady_estimates(one_class, unlabelled, 0.5) is None


@pytest.mark.slow
@pytest.mark.skipif(not EMPLOYMENT.exists(), reason="the census sample is not beside the repository")
def test_the_census() -> None:
    """On the US census of three later years estimates under shift err less than steady ones."""
    reference, later = (pq.read_table(EMPLOYMENT / f"employment_MA_{part}.pq") for part in ("reference", "analysis"))
    labels = pq.read_table(EMPLOYMENT / "employment_MA_analysis_target.pq")["employed"].to_numpy() > 0
    names = ("SCHL", "MAR", "RELP", "ANC", "CIT", "SEX", "DIS")
    codes = [(reference[name].cast(pa.string()), later[name].cast(pa.string())) for name in names]
    seen = [pair[0].unique().to_pylist() for pair in codes]
    places = [
        np.stack([[each.index(value) for value in column.to_pylist()] for each, column in zip(seen, side, strict=True)])
        for side in zip(*codes, strict=True)
    ]
    scores, later_scores = (table["predicted_probability"].to_numpy() for table in (reference, later))
    known = reference["employed"].to_numpy() > 0
    sample = ReferenceSample(
        np.ascontiguousarray(places[0], np.uint8), [len(each) for each in seen], scores, known
    )  # fmt: skip  # as above
    found = []
    for start in range(0, len(labels) - 5_000, 25_000):
        here = slice(start, start + 5_000)
        unlabelled = tabulated(later_scores[here], np.full(5_000, np.nan))
        real = realised(tabulated(later_scores[here], labels[here]))
        production = np.ascontiguousarray(places[1][:, here], np.uint8)
        shifted = shifted_estimates(sample, production, unlabelled, THRESHOLD).figures
        steady = steady_estimates(tabulated(scores, known), unlabelled, THRESHOLD)
        found.append((distances(shifted, real)[:3, 0], distances(steady, real)[:3, 0]))
    shifted, steady = np.abs(found).mean(axis=0)
    assert shifted.mean() < steady.mean()
