"""What inputs contribute to answers, as columns that are watched: of predictions that the event ids draw."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from headrace.columnar.hashes import codes_of
from headrace.domain.drift.e_detector import NOTHING
from headrace.domain.drift.reference_profile import AttributionProfile
from headrace.domain.explanations.attributions import Attributions

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bytes = npt.NDArray[np.uint8]
Opening = Callable[[AttributionProfile], Attributions | None]
"""Loads a model for its attributions; None where it cannot be had, which was told then."""
WEIGHT = 0.1
"""What is laid on all contributions together, of what is laid on all columns."""


class ContributionColumns:
    """The columns `contribution of X`: how large the contribution of input X was, whatever its sign.

    Args:
        profile: of the package's reference.
        inputs: all inputs of the model, in its order.
        left_out: those of which nothing is watched.
        opening: asked when the first row is due, and not before: who only watches loads no model. None: rows are of
            no account.

    Attributes:
        profiles: of the columns, by name, in their order.
    """

    def __init__(
        self, profile: AttributionProfile, inputs: Sequence[str], left_out: Collection[str], opening: Opening | None
    ) -> None:
        self._profile, self._opening = profile, opening
        self._inputs = tuple(inputs)
        watched = [name for name in self._inputs if name in profile.columns and name not in left_out]
        self._at = [self._inputs.index(name) for name in watched]
        self.profiles = {contribution_of(name): profile.columns[name] for name in watched}
        self._opened = False
        self._attributions: Attributions | None = None

    def weights(self) -> Floats:
        """Of each column's bets together, float64. A column that one event in n tells of begins n times less, so it has
        n times the weight: the mean of what it adds to the evidence is what `WEIGHT` says.
        """
        count = len(self.profiles)
        return np.full(count, WEIGHT * self._profile.sample.every / max(count, 1))

    def rows(self, columns: pa.RecordBatch) -> Ints:
        """The rows that are looked at, int64: the same of the same events, however often they come."""
        every = np.uint64(self._profile.sample.every)
        return np.flatnonzero(codes_of(columns.column("event_id")) % every == 0)

    def sizes(self, rows: Ints, values: Mapping[str, Floats]) -> Floats:
        """How large contributions are, float64, so many rows x columns; NaN where the model cannot be had.

        Args:
            values: of each input, float64, of all rows.
        """
        if not len(rows):
            return np.empty((0, len(self.profiles)))
        if not self._opened and self._opening is not None:
            self._attributions, self._opened = self._opening(self._profile), True
        if self._attributions is None:
            return np.full((len(rows), len(self.profiles)), np.nan)
        with np.errstate(over="ignore"):  # beyond 32 bits lies infinity, as when it was scored
            matrix = np.column_stack([values[name][rows] for name in self._inputs]).astype(np.float32)
        return np.abs(self._attributions.contributions(matrix)[:, self._at])

    def place(self, rows: Ints, values: Mapping[str, Floats], hours: Ints) -> Bytes:
        """The bins of all rows, uint8, rows x columns; `NOTHING` of those that are not looked at.

        Args:
            hours: int64, of the week, of all rows.
        """
        found = np.full((len(hours), len(self.profiles)), NOTHING, np.uint8)
        sizes = self.sizes(rows, values)
        if self._attributions is not None:
            for at, profile in enumerate(self.profiles.values()):
                found[rows, at] = profile.place(np.ascontiguousarray(sizes[:, at]), hours[rows])
        return found


CONTRIBUTION = "contribution of "
"""What the names of such columns begin with."""


def contribution_of(name: str) -> str:
    """The name of the column of an input's contributions."""
    return CONTRIBUTION + name
