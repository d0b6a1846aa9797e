"""Packed timelines answer as the windows that they were packed from."""

from __future__ import annotations

from math import inf, nan

import numpy as np
import pytest

from headrace.domain.features.sliding_windows import Question, Windows
from headrace.domain.features.values import Timelines, pack
from headrace.errors import ContractError

QUESTION = Question((10, 3), 5, 0, 2, extremes=True)


def test_answers() -> None:
    """Windows end `delay` before the row and leave nulls out; a stranger has none."""
    timelines = Timelines([pack((np.array([0]), np.zeros(0, np.int64), np.zeros((0, 2))))[0], None], 2)
    nothing = timelines.answer(np.array([0, 1]), np.array([9, 9]), QUESTION)
    assert nothing.count.tolist() == [[0, 0], [0, 0]]
    assert nothing.sums[0, 0].tolist() == [[0.0, 0.0, inf, -inf]] * 2
    assert np.isnan(nothing.of("max", 0, 1)).all()

    windows = Windows(QUESTION)
    times = np.array([1, 4, 4, 9])
    values = np.array([[1.0, 10.0], [2.0, nan], [3.0, 30.0], [4.0, 40.0]])
    windows.fold(np.zeros(4, np.int64), times, values, np.full(4, -100))
    timelines = Timelines([None, *pack(windows.columns(np.array([0])))], 2)
    found = timelines.answer(np.array([1, 1, 0]), np.array([9, 14, 14]), QUESTION)
    assert found.count.tolist() == [[3, 2], [4, 1], [0, 0]]
    assert found.of("sum", 0, 0).tolist()[:2] == [6.0, 10.0]
    assert found.of("mean", 0, 1).tolist()[:2] == [20.0, pytest.approx(80 / 3)]
    assert found.of("min", 1, 0).tolist()[:2] == [2.0, 4.0]
    assert found.of("max", 1, 1).tolist()[:2] == [30.0, 40.0]


def test_ties() -> None:
    """Entries of one time are packed in the same order, whatever order they came in."""
    values = np.array([[0.1, 1.0], [-0.3, 2.0], [0.1, 0.5], [nan, 1.0]])
    times = np.full(4, 7)
    first = pack((np.array([4]), times, values))
    for seed in range(5):
        order = np.random.default_rng(seed).permutation(4)
        assert pack((np.array([4]), times, values[order])) == first


@pytest.mark.parametrize("value", [b"1234567", b"12345678", bytes(8), b"\x01\x01" + bytes(14), b"\x01\x02" + bytes(14)])
def test_strange_values(value: bytes) -> None:
    """A value that is no timeline of this view is refused by name."""
    with pytest.raises(ContractError, match="online store"):
        Timelines([None, value], 2)
