"""Which class is decided on: the one that costs least, as far as the model knows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Costs = tuple[tuple[float, ...], ...]


def equal_costs(classes: int) -> Costs:
    """What a decision costs where the file says nothing: 1 where it is wrong, 0 where it is right."""
    return tuple(tuple(float(truth != decided) for decided in range(classes)) for truth in range(classes))


def decided(scores: Floats, costs: Sequence[Sequence[float]]) -> npt.NDArray[np.int64]:
    """The place of the class decided on, for each row: argmin_j sum_i p_i cost[i][j], the first of equal ones.

    Where all errors cost 1 it is the most probable class, ties again to the first. A row's answer depends on that row
    alone: sums are made in the order of the classes, however many rows there are.

    Args:
        scores: float64 [rows, classes], the probability of each class.
        costs: [classes][classes], row the truth, column the decision.

    Returns:
        int64 [rows].

    >>> scores = np.array([[0.5, 0.4, 0.1], [0.4, 0.4, 0.2]])
    >>> decided(scores, equal_costs(3)).tolist()
    [0, 0]
    >>> decided(scores, [[0, 1, 1], [5, 0, 1], [1, 1, 0]]).tolist()
    [1, 1]
    """
    classes = scores.shape[1]
    table = np.array(costs, np.float64)
    if np.array_equal(table, np.array(equal_costs(classes))):
        return np.asarray(scores.argmax(axis=1), np.int64)
    expected = np.zeros(scores.shape)
    for truth in range(classes):
        expected += scores[:, truth, None] * table[truth]
    return np.asarray(expected.argmin(axis=1), np.int64)
