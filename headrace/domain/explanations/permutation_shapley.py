"""Shapley values of any model, estimated by asking it for mixtures of a row and background rows.

Along an order of the inputs a background row turns into the row input by input, and what the answer changes by is the
input's (Štrumbelj and Kononenko 2014). Each order is walked in both directions (Mitchell and others 2022,
arXiv 2104.12199): so what two inputs do together is split as it should be, and only what three or more do together is
left to chance. Orders are drawn once, so the same row has the same contributions always, and they sum to what it should
be whatever the orders.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Matrix = npt.NDArray[np.float32] | npt.NDArray[np.float64]
MOST_ROWS = 16
"""Background rows that are mixed with, each by an order of its own and its reverse."""
SEED = 20_260_101


class PermutationShapley:
    """A model and a background.

    Args:
        answer: the model: [n, inputs] to float64 [n].
        background: [rows, inputs]; of more than `MOST_ROWS`, so many are taken, evenly.

    Attributes:
        calls: rows that the model is asked for, by row that is explained.
    """

    def __init__(self, answer: Callable[[Matrix], Floats], background: Matrix) -> None:
        rows = np.linspace(0, len(background) - 1, min(len(background), MOST_ROWS)).round().astype(np.int64)
        self._answer, self._background = answer, background[rows]
        width = background.shape[1]
        draw = np.random.default_rng(SEED)
        forward = np.argsort(draw.random((len(rows), width)), axis=1)
        self._orders = np.concatenate([forward, forward[:, ::-1]])
        place = np.argsort(self._orders, axis=1)
        # orders x steps x inputs: before step k, the first k inputs of the order are the row's.
        self._own = place[:, None, :] < np.arange(1, width)[None, :, None]
        self._known = np.tile(answer(self._background), 2)
        self.calls = self._own.shape[0] * (width - 1) + 1

    def contributions(self, matrix: Matrix) -> Floats:
        """Of each input to each row, float64 [n, inputs]; rows stand alone."""
        found = np.empty(matrix.shape)
        for at in range(len(matrix)):  # a sample; each row makes hundreds
            found[at] = self._of(matrix[at])
        return found

    def _of(self, row: Matrix) -> Floats:
        orders, steps, width = self._own.shape
        others = np.tile(self._background, (2, 1))[:, None, :]
        mixed = np.where(self._own, row, others).reshape(orders * steps, width)
        asked: Matrix = np.concatenate([mixed, row[None, :]]).astype(np.float32)
        worth = self._answer(asked)
        walked = np.empty((orders, width + 1))
        walked[:, 0], walked[:, 1:width], walked[:, width] = self._known, worth[:-1].reshape(orders, steps), worth[-1]
        found = np.zeros(width)
        np.add.at(found, self._orders, np.diff(walked, axis=1))
        found /= orders
        return found
