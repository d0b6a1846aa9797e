"""Two models' scores of the same rows."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Pair:
    """Columns of one length, row by row the same event.

    Attributes:
        a, b: float64, finite: the scores.
        labels: float64; above zero is positive, NaN is not known.
        threshold_a, threshold_b: a score that is at least its model's threshold flags the row.

    Raises ValueError when columns differ in length or a score is not finite.
    """

    a: Floats
    b: Floats
    labels: Floats
    threshold_a: float = 0.5
    threshold_b: float = 0.5

    def __post_init__(self) -> None:
        if not len(self.a) == len(self.b) == len(self.labels):
            raise ValueError(f"a pair's columns are {len(self.a)}, {len(self.b)} and {len(self.labels)} rows long")
        if not (np.all(np.isfinite(self.a)) and np.all(np.isfinite(self.b))):
            raise ValueError("a score is not finite")

    def __len__(self) -> int:
        return len(self.a)

    @property
    def flagged_a(self) -> npt.NDArray[np.bool_]:
        """Rows that `a` flags."""
        return self.a >= self.threshold_a

    @property
    def flagged_b(self) -> npt.NDArray[np.bool_]:
        """Rows that `b` flags."""
        return self.b >= self.threshold_b

    def labelled(self) -> Pair:
        """The rows whose label is known."""
        known = ~np.isnan(self.labels)
        return replace(self, a=self.a[known], b=self.b[known], labels=self.labels[known])


def midranks(values: Floats) -> Floats:
    """Ranks from 1 on, float64; equal values share the mean of theirs."""
    _, place, sizes = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(sizes) - (sizes - 1) / 2)[place]
