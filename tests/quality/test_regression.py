"""Figures of quantities equal scikit-learn's, and merge to the same bits."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics

from headrace.domain.quality.regression import Errors, measured, merged, pack, unpack
from headrace.errors import ContractError

FIGURES = ("bias", "mean_absolute", "root_mean_square", "median_absolute", "r2")


@pytest.mark.parametrize("seed", range(5))
def test_figures(seed: int) -> None:
    """Rows with a label give scikit-learn's figures; the median is within 1%."""
    random = np.random.default_rng(seed)
    labels = random.normal(1000, 20, 501)
    scores = (labels + random.normal(1, 5, 501)).astype(np.float32)
    labels[::5] = np.nan
    y, p = labels[~np.isnan(labels)], scores[~np.isnan(labels)].astype(np.float64)
    found = measured(scores, labels)
    assert found.rows == 400
    assert found.bias == pytest.approx((p - y).mean())
    assert found.mean_absolute == pytest.approx(metrics.mean_absolute_error(y, p), rel=1e-13)
    assert found.root_mean_square == pytest.approx(metrics.root_mean_squared_error(y, p), rel=1e-13)
    assert found.r2 == pytest.approx(metrics.r2_score(y, p), rel=1e-12)
    lower = np.quantile(np.abs(p - y), 0.5, method="lower")
    assert found.median_absolute == pytest.approx(lower, rel=0.01)


def test_any_order() -> None:
    """However rows are split and ordered, sums and figures have the same bits."""
    random = np.random.default_rng(3)
    labels, scores = random.normal(1e6, 1, 2000), random.normal(1e6, 1, 2000)
    whole = measured(scores, labels)
    order = random.permutation(2000)
    parts = [measured(scores[rows], labels[rows]) for rows in np.array_split(order, 7)]
    assert merged(parts) == merged(parts[::-1]) == merged([merged(parts[:3]), merged(parts[3:])]) == whole


def test_nothing_to_tell() -> None:
    """Without rows every figure is None; without variance of labels, R2 is."""
    for empty in (Errors(), merged([]), measured(np.ones(3), np.full(3, np.nan))):
        assert [getattr(empty, figure) for figure in FIGURES] == [None] * 5
    constant = measured(np.array([0.1, 0.2, 0.4]), np.full(3, 0.1))
    assert constant.r2 is None
    assert constant.bias == pytest.approx(0.4 / 3)


def test_bytes() -> None:
    """Packed, sums come back bit for bit; other bytes are refused."""
    random = np.random.default_rng(5)
    for size in (0, 1, 1000):
        errors = measured(random.normal(-5, 1e-3, size), random.normal(0, 100, size))
        assert unpack(pack(errors)) == errors
    data = pack(errors)
    assert len(data) < 600 + 3 * len(errors.sizes.numbers)
    for bad in (b"", data[:60], data[:-1], b"abcd" + data[4:]):
        with pytest.raises(ContractError):
            unpack(bad)
