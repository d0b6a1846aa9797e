"""Bets against a reference: how much more likely a value is under an alternative than among the reference's rows.

A bet pays L(bin) = q(bin) / p(bin), p the reference's frequencies and q those of the alternative: its mean is 1 as
long as nothing has changed. A reference of n rows knows p only so well: each bet is divided by U, 1 + z sd(L)
sqrt(v / n), an upper bound of its mean, and left out where that eats most of what it can win. Where rows follow one
another (autocorrelation), sums vary v times as much as those of independent rows, and the bet pays (L / U) ** (1 / v).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from headrace.domain.drift.reference_bins import Floats, ReferenceBins

LOCATION = (0.1, 0.2, 0.4, 0.8, 1.6)
"""Exponents of the normal score, upwards and downwards: shifts of about so many standard deviations."""
SCALE = (0.12, 0.25, 0.5)
"""Exponents of half the squared normal score, wider and narrower."""
TAIL = 3.0
"""By how much a tail of some 5% grows."""
GAINS = (0.03, 0.1)
LOSS = 0.75
"""What a frequent category gains, as a share of all rows, or keeps of its own."""
NOVELTY = (0.005, 0.02, 0.1)
"""Shares of all rows that begin to be missing, or of a category that the reference does not tell."""
EATEN = 0.6
"""The most that the correction may take of what a bet wins in the mean, log U / KL(q, p)."""


@dataclass(frozen=True, slots=True, eq=False)
class Bets:
    """The bets of one feature.

    Attributes:
        log_pays: float64, bets x bins: the logarithm of what each pays, corrected.
        names: what each stands for, for people.
        inflation: v.
    """

    log_pays: Floats
    names: tuple[str, ...]
    inflation: float


def bets_on(bins: ReferenceBins, z: float = 2.0, inflation: float = 1.0) -> Bets:
    """The bets on a feature that its reference can carry.

    Args:
        z: how many standard errors of a bet's mean it is held to: 2 was measured to keep the budget.
        inflation: v, at least 1.

    >>> bets = bets_on(ReferenceBins(np.array([5000, 5000, 0]), levels=("a",)))
    >>> [name for name in bets.names if name.startswith("missing")]
    ['missing +0.02', 'missing +0.1']
    """
    p = bins.frequencies
    kept: list[Floats] = []
    names: list[str] = []
    for name, weights in _alternatives(bins):
        q = weights / weights.sum()
        log_pay, growth = np.log(q / p), float(q @ np.log(q / p))
        eaten = upper_bound(q / p, p, bins.rows, z, inflation)
        if growth > 0 and eaten <= EATEN * growth:
            kept.append((log_pay - eaten) / inflation)
            names.append(name)
    return Bets(np.array(kept).reshape(-1, len(p)), tuple(names), inflation)


def upper_bound(pays: Floats, p: Floats, rows: int, z: float, inflation: float) -> float:
    """The logarithm of U of a bet on a reference of so many rows."""
    mean = float(p @ pays)
    deviation = float(np.sqrt(p @ (pays - mean) ** 2))
    return float(np.log1p(z * deviation * np.sqrt(inflation / max(rows, 1))))


def _alternatives(bins: ReferenceBins) -> list[tuple[str, Floats]]:
    p = bins.frequencies
    scores = bins.normal_scores
    found: list[tuple[str, Floats]] = []
    if scores is not None:
        there = np.append(np.ones(len(p) - 1), 0.0)
        found += [(f"shift {sign * by:+g}", p * np.exp(sign * by * scores)) for by in LOCATION for sign in (1, -1)]
        squares = (scores**2 - 1.0) / 2 * there
        found += [
            ("wider" if sign > 0 else "narrower", p * np.exp(sign * by * squares)) for by in SCALE for sign in (1, -1)
        ]
        shares = np.cumsum(p[:-1]) / p[:-1].sum()
        for name, tail in (("low", shares <= 0.0501), ("high", np.append(0.0, shares[:-1]) >= 0.9499)):
            if tail.any():
                found.append((f"{name} tail", p * np.where(np.append(tail, False), TAIL, 1.0)))
    else:
        for at, level in enumerate(bins.levels):
            found += [(f"{level} +{gain:g}", _moved(p, at, p[at] + gain)) for gain in GAINS if p[at] + gain < 1]
            found.append((f"{level} x{LOSS:g}", _moved(p, at, p[at] * LOSS)))
        found += [(f"other +{gain:g}", _moved(p, -2, p[-2] + gain)) for gain in NOVELTY if p[-2] + gain < 1]
    found += [(f"missing +{gain:g}", _moved(p, -1, p[-1] + gain)) for gain in NOVELTY if p[-1] + gain < 1]
    return found


def _moved(p: Floats, at: int, to: float) -> Floats:
    """Frequencies where one bin has another share, and all others keep theirs among themselves."""
    q: Floats = p * (1 - to) / (1 - p[at])
    q[at] = to
    return q


def inflation_of(values: Floats, blocks: tuple[int, ...] = (50, 200, 1_000, 5_000)) -> float:
    """How much more sums of blocks of rows vary, in their order, than those of as many independent rows: v.

    At least 1. Lengths of which the rows hold fewer than 20 blocks tell nothing and are left out.

    >>> draw = np.random.default_rng(1)
    >>> inflation_of(draw.normal(size=100_000)) < 1.5
    True
    """
    centred = np.nan_to_num(values - np.nanmean(values)) if len(values) and not np.isnan(values).all() else np.zeros(1)
    variance = float(np.mean(centred**2))
    found = 1.0
    for length in blocks:
        whole = len(centred) // length
        if variance > 0 and whole >= 20:
            sums = centred[: whole * length].reshape(whole, length).sum(axis=1)
            found = max(found, float(np.mean(sums**2)) / (length * variance))
    return found
