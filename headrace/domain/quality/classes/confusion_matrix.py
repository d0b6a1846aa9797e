"""Decisions among several classes by what turned out, and the figures that are read from their counts."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class ConfusionMatrix:
    """Counts of labelled rows; a figure that divides by nothing is None.

    Attributes:
        counts: int64 [classes, classes]: row what was true, column what was decided; as scikit-learn's
            `confusion_matrix` with all classes.

    Means over classes are over those that occur, as what was true or as what was decided; a class that divides by
    nothing counts 0 in them, as scikit-learn has it.

    >>> matrix = ConfusionMatrix(np.array([[2, 1, 0], [0, 3, 0], [0, 0, 0]]))
    >>> matrix.accuracy, matrix.recall(0), matrix.recall(2), matrix.present
    (0.8333333333333334, 0.6666666666666666, None, [0, 1])
    """

    counts: Ints

    @property
    def rows(self) -> int:
        """All of them."""
        return int(self.counts.sum())

    @property
    def right(self) -> int:
        """Rows whose class was decided on."""
        return int(np.trace(self.counts))

    @property
    def support(self) -> Ints:
        """int64 [classes], rows of which each class was true."""
        found: Ints = self.counts.sum(axis=1)
        return found

    @property
    def decided(self) -> Ints:
        """int64 [classes], rows that were decided to be of each class."""
        found: Ints = self.counts.sum(axis=0)
        return found

    @property
    def present(self) -> list[int]:
        """The places of the classes that occur."""
        found: list[int] = np.flatnonzero((self.support > 0) | (self.decided > 0)).tolist()
        return found

    @property
    def accuracy(self) -> float | None:
        """The share of rows whose class was decided on."""
        return _share(self.right, self.rows)

    def precision(self, place: int) -> float | None:
        """Of the rows decided to be of a class, the share that is."""
        return _share(int(self.counts[place, place]), int(self.decided[place]))

    def recall(self, place: int) -> float | None:
        """Of the rows of a class, the share that was decided so."""
        return _share(int(self.counts[place, place]), int(self.support[place]))

    def f1(self, place: int) -> float | None:
        """Harmonic mean of both."""
        return _share(2 * int(self.counts[place, place]), int(self.support[place] + self.decided[place]))

    @property
    def macro_precision(self) -> float | None:
        """As `precision_score(average="macro")`."""
        return self._macro([self.precision(place) for place in self.present])

    @property
    def macro_recall(self) -> float | None:
        """As `recall_score(average="macro")`."""
        return self._macro([self.recall(place) for place in self.present])

    @property
    def macro_f1(self) -> float | None:
        """As `f1_score(average="macro")`."""
        return self._macro([self.f1(place) for place in self.present])

    @property
    def balanced_accuracy(self) -> float | None:
        """The mean recall of the classes that were true of some row; as `balanced_accuracy_score`."""
        return self._macro([self.recall(place) for place in np.flatnonzero(self.support > 0).tolist()])

    @property
    def mcc(self) -> float | None:
        """Matthews' correlation coefficient of several classes (Gorodkin 2004); as `matthews_corrcoef`, but None where
        that says 0 for dividing by 0.
        """
        rows, support, decided = self.rows, self.support.tolist(), self.decided.tolist()
        product = self.right * rows - sum(s * d for s, d in zip(support, decided, strict=True))
        sides = (rows**2 - sum(s * s for s in support)) * (rows**2 - sum(d * d for d in decided))
        return product / math.sqrt(sides) if sides > 0 else None

    def cost(self, costs: Floats) -> float:
        """What all decisions cost; `costs`: float64 [classes, classes], as `counts`."""
        return math.fsum((self.counts * costs).ravel().tolist())

    def cost_deviation(self, costs: Floats) -> float | None:
        """Standard deviation of what one decision costs (of the population: divided by the rows)."""
        if not self.rows > 0 or (self.counts < 0).any():
            return None
        distances = costs - self.cost(costs) / self.rows
        scale = float(np.abs(distances).max()) or 1.0  # costs may be as large as numbers are; their squares may not
        return scale * math.sqrt(float((self.counts * (distances / scale) ** 2).sum()) / self.rows)

    @staticmethod
    def _macro(each: list[float | None]) -> float | None:
        return math.fsum(value or 0.0 for value in each) / len(each) if each else None


def matrix_of(truths: Floats, decided: Ints, classes: int) -> Ints:
    """Counts of rows: int64 [classes, classes]; those whose truth (float64, a place) is NaN are left out."""
    known = ~np.isnan(truths)
    cells = truths[known].astype(np.int64) * classes + decided[known]
    return np.bincount(cells, minlength=classes * classes).astype(np.int64).reshape(classes, classes)


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole > 0 else None
