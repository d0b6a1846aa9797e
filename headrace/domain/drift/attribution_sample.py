"""How contributions of inputs are made and of which rows, as a package's reference carries it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

MOST_ROWS = 64
"""Of a background."""
KINDS = ("margin", "score")
"""What contributions may sum to."""


@dataclass(frozen=True, slots=True, eq=False)
class AttributionSample:
    """What contributions are of.

    Attributes:
        background: float32 [rows, inputs of the model in its order], NaN where missing: rows are held against these.
        every: one prediction in so many is looked at, by the hash of its event id.
        exact: whether contributions are Shapley values, or estimates.
        of: what they sum to, of `KINDS`.
    """

    background: npt.NDArray[np.float32]
    every: int
    exact: bool
    of: str

    def said(self) -> dict[str, Any]:
        """As JSON has it; numbers are the shortest that are the same in 32 bits."""
        rows = [[None if np.isnan(value) else float(str(value)) for value in row] for row in self.background]
        return {"background": rows, "every": self.every, "exact": self.exact, "of": self.of}


def attribution_sample(said: Mapping[str, Any]) -> AttributionSample:
    """What `AttributionSample.said` told. Raises ValueError, KeyError or TypeError for anything else."""
    rows = said["background"]
    with np.errstate(over="ignore"):  # what is too large is refused below
        background = np.array([[np.nan if value is None else value for value in row] for row in rows], np.float32)
    if background.ndim != 2 or not 0 < len(background) <= MOST_ROWS or np.isinf(background).any():
        raise ValueError(f"a background of shape {background.shape}")
    every, of = int(said["every"]), str(said["of"])
    if every < 1 or of not in KINDS:
        raise ValueError(f"contributions to the {of} of one row in {every}")
    return AttributionSample(background, every, bool(said["exact"]), of)
