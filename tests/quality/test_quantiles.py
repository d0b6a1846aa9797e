"""Buckets tell every quantile within 1%, however they came together."""

from __future__ import annotations

import numpy as np
import pytest

from headrace.domain.quality.statistics.quantiles import bucketed, merged, pack, unpack
from headrace.errors import ContractError

VALUES = np.concatenate([np.random.default_rng(0).lognormal(3, 2, 20_000), np.zeros(50), [1e-12, 1e9, 1.0, 1.0]])


@pytest.mark.parametrize("share", [0.0, 0.001, 0.01, 0.5, 0.9, 0.95, 0.99, 0.999, 1.0])
def test_accuracy(share: float) -> None:
    """The answer is within 1% of the value of that rank."""
    expected = np.quantile(VALUES, share, method="lower")
    assert bucketed(VALUES).quantile(share) == pytest.approx(expected, rel=0.0101, abs=1e-9)


def test_any_order() -> None:
    """Parts merged in any order are the buckets of all."""
    parts = [bucketed(part) for part in np.array_split(np.random.default_rng(1).permutation(VALUES), 9)]
    assert merged(parts) == merged(parts[::-1]) == merged([merged(parts[:4]), *parts[4:]]) == bucketed(VALUES)
    assert bucketed(VALUES).rows == len(VALUES)


def test_bytes() -> None:
    """Packed, buckets take little and come back; other bytes are refused."""
    buckets = bucketed(VALUES)
    data = pack(buckets)
    assert unpack(data) == buckets
    assert len(data) < 300 + 3 * len(buckets.numbers)
    assert unpack(pack(merged([]))).quantile(0.5) is None
    with pytest.raises(ContractError):
        unpack(data[:-1])


@pytest.mark.parametrize("bad", [-1e-12, np.nan, np.inf])
def test_no_quantity(bad: float) -> None:
    """What is negative or not finite has no bucket."""
    with pytest.raises(ValueError, match="negative or not finite"):
        bucketed(np.array([1.0, bad]))
