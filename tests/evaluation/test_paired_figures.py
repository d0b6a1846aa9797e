"""Figures are those of scikit-learn, and intervals hold what they promise."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest
from sklearn import metrics

from headrace.domain.evaluation.paired_figures import DAY, paired_figures
from headrace.domain.pipeline.release.gate_rules import OF_CLASSES, OF_QUANTITIES
from headrace.domain.pipeline.scorecards.spec import Worth
from headrace.domain.quality.comparison.pairs import Pair

WORTH = Worth(true_positive=100, false_positive=-5, false_negative=-100)
DEEP = ("precision_at_20", "entity_precision_at_10")


def rows(seed: int, count: int, noise: float = 1.0) -> tuple[Pair, npt.NDArray[np.int64], pa.Array]:
    """Two models of the same chance, the second with more noise; five days; 40 entities."""
    rng = np.random.default_rng(seed)
    margin = rng.normal(-2, 1.5, count)
    labels = (rng.random(count) < 1 / (1 + np.exp(-margin))).astype(np.float64)
    a = 1 / (1 + np.exp(-(margin + rng.normal(0, 0.5, count))))
    b = 1 / (1 + np.exp(-(margin + rng.normal(0, 0.5 * noise, count))))
    times = np.sort(rng.integers(0, 5 * DAY, count))
    entities = pa.array([f"e{number}" for number in rng.integers(0, 40, count)])
    return Pair(a, b, labels, 0.3, 0.3), times, entities


def test_figures_are_scikit_learns() -> None:
    """Each figure of both models."""
    pair, times, entities = rows(1, 3_000, 3.0)
    found = paired_figures(pair, (*OF_CLASSES, *DEEP), times, entities, WORTH)
    assert set(found) == {*OF_CLASSES, *DEEP}
    for scores, which in ((pair.a, "a"), (pair.b, "b")):
        flagged = scores >= 0.3
        expected = {
            "average_precision": metrics.average_precision_score(pair.labels, scores),
            "auc_roc": metrics.roc_auc_score(pair.labels, scores),
            "precision": metrics.precision_score(pair.labels, flagged),
            "recall": metrics.recall_score(pair.labels, flagged),
            "log_loss": metrics.log_loss(pair.labels, scores),
            "brier_score": metrics.brier_score_loss(pair.labels, scores),
        }
        for name, value in expected.items():
            assert getattr(found[name], which) == pytest.approx(value, rel=1e-9), name
        days = [np.flatnonzero(times // DAY == day) for day in range(5)]
        tops = [pair.labels[day][np.argsort(-scores[day])[:20]].mean() for day in days]
        assert getattr(found["precision_at_20"], which) == pytest.approx(np.mean(tops))
    assert found["value"].a == pytest.approx(found["value_per_event"].a * 3_000)
    for name in OF_CLASSES:
        better = found[name].interval.low > 0 if name in ("log_loss", "brier_score") else found[name].interval.high < 0
        assert better or name in ("precision", "calibration_error", "value", "recall", "value_per_event"), name


def test_quantities() -> None:
    """Errors of quantities, and the share of their variance that is explained."""
    rng = np.random.default_rng(2)
    labels = rng.normal(10, 3, 2_000)
    pair = Pair(labels + rng.normal(0, 1, 2_000), labels + rng.normal(0, 2, 2_000), labels)
    found = paired_figures(pair, OF_QUANTITIES, np.zeros(2_000, np.int64))
    assert set(found) == set(OF_QUANTITIES)
    assert found["r2"].b == pytest.approx(metrics.r2_score(labels, pair.b))
    assert found["root_mean_square_error"].b == pytest.approx(metrics.root_mean_squared_error(labels, pair.b))
    assert found["r2"].interval.high < 0 < found["root_mean_square_error"].interval.low


def test_a_figure_does_not_hang_on_what_else_is_asked() -> None:
    """Asked alone it is told alone, bit for bit as it is told beside all others."""
    pair, times, entities = rows(4, 400, 2.0)
    whole = paired_figures(pair, OF_CLASSES, times, entities, WORTH)
    for name in OF_CLASSES:
        assert paired_figures(pair, [name], times, entities, WORTH) == {name: whole[name]}
    of_quantities = paired_figures(pair, OF_QUANTITIES, times)
    for name in OF_QUANTITIES:
        assert paired_figures(pair, [name], times) == {name: of_quantities[name]}


@pytest.mark.parametrize(
    "name", ["average_precision", "brier_score", "log_loss", "precision", "recall", "value_per_event"]
)
def test_intervals_hold_a_true_difference_of_none(name: str) -> None:
    """Of 200 pairs of equal models at least 90% of the intervals, meant to be of 95%, hold zero."""
    held = 0
    for seed in range(200):
        pair, times, entities = rows(seed, 1_500)
        interval = paired_figures(pair, [name], times, entities, WORTH)[name].interval
        held += interval.low <= 0 <= interval.high
    assert held >= 180


def test_what_rows_cannot_tell_is_missing() -> None:
    """One class, one day, no rows, scores that are no chances, nobody flagged."""
    pair, times, entities = rows(3, 100)
    one = Pair(pair.a, pair.b, np.zeros(100), 0.3, 0.3)
    assert "average_precision" not in paired_figures(one, OF_CLASSES, times, entities)
    assert "recall" not in paired_figures(one, OF_CLASSES, times, entities)
    assert paired_figures(pair, ["precision_at_20"], np.zeros(100, np.int64), entities) == {}
    assert paired_figures(Pair(pair.a[:0], pair.b[:0], pair.labels[:0]), OF_CLASSES, times[:0]) == {}
    assert "brier_score" not in paired_figures(Pair(pair.a * 3, pair.b, pair.labels), OF_CLASSES, times, entities)
    assert "precision" not in paired_figures(Pair(pair.a, pair.b, pair.labels, 2.0, 2.0), OF_CLASSES, times, entities)
