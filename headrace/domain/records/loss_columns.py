"""What is told of each prediction and outcome beside the columns that are watched: where its loss lies."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from headrace.domain.drift.harm.loss_reference import NOWHERE, LossReference

Floats = npt.NDArray[np.float64]
Bytes = npt.NDArray[np.uint8]
Flags = npt.NDArray[np.bool_]


class LossColumns:
    """A byte a row where the package tells losses by score; else, of outcomes, the score and the truth as they are.

    Args:
        reference: of the package; None where it tells none.
        labelled: whether rows are outcomes.

    Attributes:
        places, values: how many further columns of each there are.
    """

    def __init__(self, reference: LossReference | None, labelled: bool) -> None:
        self.reference = reference
        self._labelled = labelled
        self.places = int(reference is not None)
        self.values = 2 if labelled and reference is None else 0

    def read(self, scores: Floats, truths: Floats | None) -> tuple[Bytes, Floats]:
        """Of each row its place, uint8 rows x `places`, and its values, float64 rows x `values`.

        Args:
            scores: float64, NaN where there is none.
            truths: of outcomes, float64, NaN where not known: of chances what came true, of values the squared error,
                of several classes what was lost.
        """
        rows = len(scores)
        truths = np.zeros(rows) if truths is None else truths
        if self.reference is not None:
            found = self.reference.places(scores, truths) if self._labelled else self._cells(self.reference, scores)
            return found.astype(np.uint8).reshape(-1, 1), np.empty((rows, 0))
        values = np.column_stack([scores, truths]) if self._labelled else np.empty((rows, 0))
        return np.empty((rows, 0), np.uint8), values

    def _cells(self, reference: LossReference, scores: Floats) -> npt.NDArray[np.int64]:
        return np.where(np.isnan(scores), NOWHERE, reference.cells(scores))

    def fits(self, places: Bytes, values: Floats) -> bool:
        """Whether these can be what `read` gives."""
        if (places.shape[1], values.shape[1]) != (self.places, self.values):
            return False
        most = 0
        if self.reference is not None:
            most = self.reference.counts.size if self._labelled else len(self.reference.counts)
        return bool(np.all((places < most) | (places == NOWHERE)))
