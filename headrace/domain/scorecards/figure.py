"""A figure of a card, and how intervals come to it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from headrace.domain.quality.statistics.proportions import deviations, wilson

Basis = Literal["predictions", "outcomes", "estimate"]
LEVEL = 0.95


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure; None where it is not defined. `low` and `high`: its interval, or the band it is expected in.

    `note`: what else there is to say, such as the groups between which a gap is.
    """

    name: str
    value: float | None
    basis: Basis
    low: float | None = None
    high: float | None = None
    note: str | None = None


def share(name: str, hits: float, rows: float, basis: Basis) -> Figure:
    """A share of rows, with its interval."""
    interval = wilson(hits, rows, LEVEL)
    low, high = (None, None) if interval is None else interval
    return Figure(name, ratio(hits, rows), basis, low, high)


def with_error(
    name: str, value: float | None, error: float | None, basis: Basis, least: float = -math.inf, most: float = math.inf
) -> Figure:
    """A figure with the interval of its standard error, within `least` and `most`; without where there is none."""
    if value is None or error is None:
        return Figure(name, value, basis)
    reach = deviations(LEVEL) * error
    return Figure(name, value, basis, max(value - reach, least), min(value + reach, most))


def ratio(part: float, whole: float) -> float | None:
    """None where the whole is nothing.

    >>> ratio(1, 4), ratio(0, 0)
    (0.25, None)
    """
    return part / whole if whole > 0 else None
