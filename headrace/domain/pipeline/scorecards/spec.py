"""The section of scorecards, and what decisions are worth, as frozen values."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ScorecardsSection:
    """What a scorecard is made of.

    Attributes:
        window: milliseconds of event time that one card covers; windows begin at multiples of it since the epoch.
        precision_at: how many entities, or rows, a day can be looked into: the k of precision at k.
        keep: milliseconds of event time, behind the newest window of a model, for which cards are made and corrected.
    """

    window: int = 86_400_000
    precision_at: tuple[int, ...] = (100,)
    keep: int = 400 * 86_400_000


@dataclass(frozen=True, slots=True)
class Worth:
    """What a decision of each kind is worth, in the user's own unit."""

    true_positive: float = 0
    false_positive: float = 0
    true_negative: float = 0
    false_negative: float = 0
