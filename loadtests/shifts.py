"""Made-up rows whose mix shifts, scored by a model that is right on average and wrong on each of two groups."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from headrace.domain.quality.covariate_shift import ReferenceSample

BINS = (2, 2, 2, 12, 8, 8, 8, 8)
BEFORE = 0.3
"""The share of the group on the reference."""


@dataclass(frozen=True, slots=True)
class Shift:
    """What happens to the mix.

    Attributes:
        share: of the group later.
        hidden: whether the group shows only in two features together, each of which stays as it is.
        rarer: log odds by which positives are rarer than half.
    """

    title: str
    share: float
    hidden: bool = False
    rarer: float = 0.0


SHIFTS = (
    Shift("no shift", BEFORE),
    Shift("a group grows from 30% to 75%", 0.75),
    Shift("the same, positives are rare", 0.75, rarer=3.5),
    Shift("the same, seen only in two features together", 0.75, hidden=True),
)


def rows(random: np.random.Generator, count: int, shift: Shift, share: float) -> ReferenceSample:
    """So many rows with this share of the group, of which the model is too sure and expects too much."""
    group = random.random(count) < share
    other = random.random(count) < 0.5
    first = np.where(group, ~other, other) if shift.hidden else group
    strength = random.normal(0, 1.5, count)
    log_odds = np.where(group, 0.4 * strength - 0.8, 1.2 * strength + 0.3) - shift.rarer
    cell = np.clip((strength + 4.5) / 0.75, 0, 11)
    noise = random.integers(0, 8, (4, count))
    places = np.stack([first, other, random.random(count) < 0.5, cell, *noise]).astype(np.uint8)
    return ReferenceSample(places, BINS, _chance(strength - shift.rarer), random.random(count) < _chance(log_odds))


def _chance(log_odds: np.ndarray) -> np.ndarray:
    return np.asarray(1 / (1 + np.exp(-log_odds)))
