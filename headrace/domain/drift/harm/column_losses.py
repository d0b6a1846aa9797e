"""What a change of one column costs, as far as rows lose what rows of the same bin lost on the reference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from headrace.domain.drift.reference_bins import Bytes, Floats

SHRUNK = 20.0
"""Rows of the mean loss that are added to each bin: of few rows little can be said."""


def losses_by_bin(places: Bytes, lost: Floats, bins: int) -> Floats:
    """The mean loss of rows in each bin of a column, float64, drawn towards that of all.

    Args:
        places: uint8, the bin of each row.
        lost: float64, its loss.
        bins: how many there are.

    >>> losses_by_bin(np.array([0, 0, 1], np.uint8), np.array([0.1, 0.3, 0.5]), 3).round(3).tolist()
    [0.291, 0.31, 0.3]
    """
    rows = np.bincount(places, minlength=bins)[:bins]
    found: Floats = (np.bincount(places, lost, bins)[:bins] + SHRUNK * lost.mean()) / (rows + SHRUNK)
    return found


def effect(reference: Sequence[float] | Floats, recent: Sequence[float] | Floats, lost: Floats) -> float:
    """By how much the mean loss changes with the shares of a column's bins, all else the same.

    >>> round(effect([0.5, 0.5], [0.2, 0.8], np.array([0.1, 0.3])), 3)
    0.06
    """
    return float((np.asarray(recent) - np.asarray(reference)) @ lost)


def read_losses(said: Mapping[str, Any], bins: Mapping[str, int]) -> dict[str, Floats]:
    """By column, as JSON has it. Raises ValueError for columns without bins, or that have others.

    Args:
        bins: how many each column has.
    """
    found = {str(name): np.array(lost, np.float64) for name, lost in said.items()}
    for name, lost in found.items():
        if lost.shape != (bins.get(name, -1),) or not np.isfinite(lost).all():
            raise ValueError(f"losses by the bins of {name} do not fit its bins")
    return found
