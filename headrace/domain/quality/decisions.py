"""What deciding at a threshold brings: a row whose score is at least the threshold is flagged."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from headrace.domain.quality.ranking import Floats, Graded


class DecisionWorth(Protocol):
    """What a decision of each kind is worth, in the user's own unit."""

    @property
    def true_positive(self) -> float:
        """A positive that was flagged."""

    @property
    def false_positive(self) -> float:
        """A negative that was flagged."""

    @property
    def true_negative(self) -> float:
        """A negative that was let pass."""

    @property
    def false_negative(self) -> float:
        """A positive that was let pass."""


@dataclass(frozen=True, slots=True)
class Confusion:
    """Decisions by what turned out; counts, or expected counts.

    A figure that divides by nothing is None, and so is a root of counts below zero.
    """

    true_positive: float
    false_positive: float
    true_negative: float
    false_negative: float

    @property
    def rows(self) -> float:
        """All labelled rows."""
        return self.true_positive + self.false_positive + self.true_negative + self.false_negative

    @property
    def positives(self) -> float:
        """Rows that turned out positive."""
        return self.true_positive + self.false_negative

    @property
    def negatives(self) -> float:
        """Rows that turned out negative."""
        return self.true_negative + self.false_positive

    @property
    def flagged(self) -> float:
        """Rows that were decided positive."""
        return self.true_positive + self.false_positive

    @property
    def precision(self) -> float | None:
        """Share of positives among the flagged; as scikit-learn's `precision_score`."""
        return _share(self.true_positive, self.flagged)

    @property
    def recall(self) -> float | None:
        """Share of positives that were flagged (true positive rate); as `recall_score`."""
        return _share(self.true_positive, self.positives)

    @property
    def specificity(self) -> float | None:
        """Share of negatives that were let pass (true negative rate)."""
        return _share(self.true_negative, self.negatives)

    @property
    def false_positive_rate(self) -> float | None:
        """Share of negatives that were flagged."""
        return _share(self.false_positive, self.negatives)

    @property
    def selection_rate(self) -> float | None:
        """Share of all rows that were flagged."""
        return _share(self.flagged, self.rows)

    @property
    def accuracy(self) -> float | None:
        """Share of right decisions; as `accuracy_score`."""
        return _share(self.true_positive + self.true_negative, self.rows)

    @property
    def balanced_accuracy(self) -> float | None:
        """Mean of recall and specificity; as `balanced_accuracy_score` where both classes occur."""
        if self.recall is None or self.specificity is None:
            return None
        return (self.recall + self.specificity) / 2

    @property
    def f1(self) -> float | None:
        """Harmonic mean of precision and recall; as `f1_score`."""
        return _share(2 * self.true_positive, 2 * self.true_positive + self.false_positive + self.false_negative)

    @property
    def mcc(self) -> float | None:
        """Matthews' correlation coefficient; as `matthews_corrcoef`, but None where that says 0 for dividing by 0."""
        sides = self.flagged * self.positives * self.negatives * (self.true_negative + self.false_negative)
        product = self.true_positive * self.true_negative - self.false_positive * self.false_negative
        return _share(product, math.sqrt(sides)) if self._whole else None

    def value(self, worth: DecisionWorth) -> float:
        """What the decisions were worth, all together."""
        return float(np.dot(self._counts(), _worths(worth)))

    def value_deviation(self, worth: DecisionWorth) -> float | None:
        """Standard deviation of what one decision is worth (of the population: divided by the rows)."""
        if not (self.rows > 0 and self._whole):
            return None
        distances = _worths(worth) - self.value(worth) / self.rows
        scale = float(np.abs(distances).max()) or 1.0  # worths may be as large as numbers are; their squares may not
        return scale * math.sqrt(float(np.dot(self._counts(), (distances / scale) ** 2)) / self.rows)

    @property
    def _whole(self) -> bool:
        """Whether no count is below zero."""
        return bool(np.all(self._counts() >= 0))

    def _counts(self) -> Floats:
        return np.array([self.true_positive, self.false_positive, self.true_negative, self.false_negative])


def confusion(table: Graded, threshold: float) -> Confusion:
    """Labelled rows by decision (score >= `threshold`) and label; as scikit-learn's `confusion_matrix`.

    In a table that is not exact, the rows of the cell that holds the threshold are decided by the cell's middle.
    """
    first = int(np.searchsorted(table.scores, threshold, side="left"))
    return Confusion(
        float(table.positives[first:].sum()),
        float(table.negatives[first:].sum()),
        float(table.negatives[:first].sum()),
        float(table.positives[:first].sum()),
    )


def best_threshold(table: Graded, worth: DecisionWorth) -> tuple[float, float] | None:
    """(threshold, value) that would have been worth most on these rows; None without labelled rows.

    Of equally good thresholds the highest: it flags least. It may lie just above all scores, flagging none. It is
    chosen in hindsight, so its value is more than the next window will bring.
    """
    positives, negatives = table.positives.astype(np.float64), table.negatives.astype(np.float64)
    if not positives.sum() + negatives.sum() > 0:
        return None
    found = np.append(np.cumsum(positives[::-1])[::-1], 0.0)
    false = np.append(np.cumsum(negatives[::-1])[::-1], 0.0)
    values = (
        found * worth.true_positive
        + false * worth.false_positive
        + (negatives.sum() - false) * worth.true_negative
        + (positives.sum() - found) * worth.false_negative
    )
    best = len(values) - 1 - int(np.argmax(values[::-1]))
    thresholds = np.append(table.scores, np.nextafter(table.scores[-1], np.inf))
    return float(thresholds[best]), float(values[best])


def _worths(worth: DecisionWorth) -> Floats:
    return np.array([worth.true_positive, worth.false_positive, worth.true_negative, worth.false_negative], np.float64)


def _share(part: float, whole: float) -> float | None:
    return part / whole if whole > 0 else None
