"""Pairs of models on made-up events, and by how much the one loses more than the other."""

from __future__ import annotations

from functools import cache

import numpy as np

from headrace.domain.release.paired_evidence import Floats

MANY = 2_000_000
"""Events that tell what holds in the mean."""


def models(
    draw: np.random.Generator, kind: str, noise: float, events: int, champion: float = 0.3
) -> tuple[Floats, Floats, Floats]:
    """Scores of a candidate and of its champion, and labels.

    Args:
        kind: `balanced`: about half of the events are positive; `rare`: some in a hundred. Both models miss the log
            odds by normal errors. `odd`: the candidate is worse by `noise` at nearly all events, and very much better
            at one of a hundred.
        noise: deviation of the candidate's errors.
        champion: of the champion's.
    """
    if kind == "odd":
        rare = draw.random(events) < 0.01
        labels = draw.random(events) < np.where(rare, 0.05, 0.3)
        return np.where(rare, 0.05, 0.3 + noise), np.where(rare, 0.95, 0.3), labels.astype(np.float64)
    odds = 1.2 * draw.normal(size=events) if kind == "balanced" else -4.5 + 1.5 * draw.normal(size=events)
    labels = draw.random(events) < chance(odds)
    scores = [chance(odds + size * draw.normal(size=events)) for size in (noise, champion)]
    return scores[0], scores[1], labels.astype(np.float64)


def chance(odds: Floats) -> Floats:
    """Of log odds."""
    found: Floats = 1 / (1 + np.exp(-odds))
    return found


@cache
def beyond(kind: str, noise: float, share: float = 0.0) -> tuple[float, float]:
    """The mean and the deviation of what the candidate loses beyond the champion's loss and a share of it."""
    candidate, champion, labels = models(np.random.default_rng(7), kind, noise, MANY)
    x = (candidate - labels) ** 2 - (1 + share) * (champion - labels) ** 2
    return float(x.mean()), float(x.std())
