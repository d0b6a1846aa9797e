"""Bets against a reference: how much more likely a value is under an alternative than among the reference's rows.

A bet pays L(bin) = q(bin) / p(bin), p the reference's frequencies and q those of the alternative: its mean is 1 as
long as nothing has changed. A reference of n rows knows p only so well: the mean is off by an error with a standard
deviation of s = sd(L) sqrt(v / n), and each bet is divided by an upper bound U = 1 + z s. What that must be follows
from how long a bet has to win: a change is seen after about T = STAKE / KL(q, p) events, in which errors multiply
what is won by exp((s T)^2 / 2) in the mean over references. z = s T / 2 takes just that away again. No bet is given
more than the `z` asked for, and one where U eats most of what it can win is left out. So strong bets on a large
reference pay next to nothing for what it does not know, and weak ones pay what they owe.

Where rows follow one another (autocorrelation), sums vary v times as much as those of independent rows, and the bet
pays (L / U) ** (1 / v).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from headrace.domain.drift.reference_bins import Floats, Ints, ReferenceBins

LOCATION = (0.1, 0.22, 0.47, 1.0, 2.0)
"""Shifts in standard deviations, upwards and downwards."""
SCALE = (1.15, 1.5, 2.5)
"""By how much the variance grows or shrinks."""
TAIL = 3.0
"""By how much a tail of some 5% grows."""
GAINS = (0.12, 0.3, 0.8)
LOSSES = (0.15, 0.4)
"""What a frequent category gains or loses, in standard deviations of whether a row is of it."""
NOVELTY = (0.005, 0.02, 0.1)
"""Shares of all rows that begin to be missing, or of a category that the reference does not tell."""
CAPS = (np.inf, 100.0, 30.0, 15.0, 8.0)
"""The most that a proved bet pays at once, whichever wins most: how much a rare bin is worth cannot be proved soon."""
EATEN = 0.6
"""The most that the correction may take of what a bet wins in the mean, log U / KL(q, p)."""
STAKE = 18.0
"""The logarithm of what a bet has to win for an alarm, about: of a threshold of 100,000 and a weight of
a thousandth."""
UNPROVED = 0.05
"""The share of references for which what is proved need not hold."""
ESTIMATED = 1.5
"""An inflation from which on every bet is given z itself: how rows follow one another is an estimate too."""
FAMILIES: Mapping[str, float] = {
    "shift": 0.5,
    "variance": 0.32,
    "tail": 0.06,
    "missing": 0.06,
    "other": 0.1,
    "level": 0.8,
}
"""How the weight of a feature's bets is shared among kinds of bets."""


@dataclass(frozen=True, slots=True, eq=False)
class Bets:
    """The bets of one feature.

    Attributes:
        log_pays: float64, bets x bins: the logarithm of what each pays, corrected.
        names: what each stands for, for people.
        inflation: v.
        weights: float64, how much is laid on each, as shares of what is laid on all.
    """

    log_pays: Floats
    names: tuple[str, ...]
    inflation: float
    weights: Floats


def bets_on(bins: ReferenceBins, z: float = 2.0, inflation: float = 1.0) -> Bets:
    """The bets on a feature that its reference can carry.

    Args:
        z: how many standard errors of a bet's mean it is held to at most: 2 was measured to keep the budget.
        inflation: v, at least 1.

    >>> bets = bets_on(ReferenceBins(np.array([5000, 5000, 0]), levels=("a",)))
    >>> [name for name in bets.names if name.startswith("missing")]
    ['missing +0.02', 'missing +0.1']
    """
    p = bins.frequencies

    def bound(pays: Floats, growth: float) -> float:
        return upper_bound(pays, p, bins.rows, z, inflation, growth)

    return _bets(bins, bound, inflation)


def proved_bets_on(bins: ReferenceBins, others: Ints, level: float) -> Bets:
    """Bets whose mean is at most 1, each with a probability of at least 1 - `level` over the reference: no measured z.

    Each bet pays no more at once than one of `CAPS`, and is divided by an upper confidence bound of its mean (empirical
    Bernstein: Maurer and Pontil, arXiv 0907.3740, theorem 4) by rows that had no part in making it. With levels that
    sum to eta over all features, the promise on false alarms holds for 1 - eta of all references, where rows do not
    depend on one another. The level is shared among a feature's bets, and among the caps that are tried.

    Args:
        bins: made of one half of the reference.
        others: int64, by bin: how many rows of the other half each holds.
        level: of all bets of the feature, above 0, below 1.

    >>> half = ReferenceBins(np.array([5000, 5000, 0]), levels=("a",))
    >>> proved_bets_on(half, np.array([5000, 5000, 0]), 0.05).names
    ('a +0.15', 'a +0.4', 'a -0.2', 'other +0.1', 'missing +0.02', 'missing +0.1')
    """
    rows = int(others.sum())
    stake = float(np.log(2 * len(CAPS) * max(len(_alternatives(bins)), 1) / level))

    def bound(pays: Floats, growth: float) -> float:
        if rows < 2:
            return float("inf")
        mean = float(others @ pays) / rows
        variance = float(others @ (pays - mean) ** 2) / (rows - 1)
        beyond = np.sqrt(2 * variance * stake / rows) + 7 * float(pays.max()) * stake / (3 * (rows - 1))
        return float(np.log(mean + beyond))

    return _bets(bins, bound, 1.0, CAPS)


def _bets(
    bins: ReferenceBins, bound: Callable[[Floats, float], float], inflation: float, caps: Sequence[float] = (np.inf,)
) -> Bets:
    p = bins.frequencies
    kept: list[Floats] = []
    names: list[str] = []
    families: list[str] = []
    for family, name, weights in _alternatives(bins):
        q = weights / weights.sum()
        best = 0.0
        for cap in caps:
            pays = np.minimum(q / p, cap)
            growth = float(q @ np.log(pays))
            eaten = bound(pays, growth) if growth > 0 else np.inf
            if eaten <= EATEN * growth and growth - eaten > best:
                if best == 0.0:
                    kept.append(pays)
                    names.append(name)
                    families.append(family)
                best = growth - eaten
                kept[-1] = (np.log(pays) - eaten) / inflation
    each = np.array([FAMILIES[family] / families.count(family) for family in families])
    return Bets(np.array(kept).reshape(-1, len(p)), tuple(names), inflation, each / each.sum() if families else each)


def upper_bound(pays: Floats, p: Floats, rows: int, z: float, inflation: float, growth: float) -> float:
    """The logarithm of U of a bet that wins so much in the mean, on a reference of so many rows."""
    mean = float(p @ pays)
    error = float(np.sqrt(p @ (pays - mean) ** 2 * inflation / max(rows, 1)))
    owed = z if inflation >= ESTIMATED else min(z, error * STAKE / growth / 2)
    return float(np.log1p(owed * error)) if growth > 0 else 0.0


def _alternatives(bins: ReferenceBins) -> list[tuple[str, str, Floats]]:
    p = bins.frequencies
    found: list[tuple[str, str, Floats]] = []
    if bins.edges is not None:
        for by in LOCATION:
            found += [("shift", f"shift {by * sign:+g}", bins.normal(by * sign, 1.0)) for sign in (1, -1)]
        for by in SCALE:
            found += [("variance", f"variance x{to:g}", bins.normal(0.0, to**0.5)) for to in (by, round(1 / by, 2))]
        shares = np.cumsum(p[:-1]) / p[:-1].sum()
        for name, tail in (("low", shares <= 0.0501), ("high", np.append(0.0, shares[:-1]) >= 0.9499)):
            if tail.any():
                found.append(("tail", f"{name} tail", p * np.where(np.append(tail, False), TAIL, 1.0)))
    else:
        for at, level in enumerate(bins.levels):
            steps = [by * float(np.sqrt(p[at] * (1 - p[at]))) for by in (*GAINS, *(-by for by in LOSSES))]
            found += [("level", f"{level} {by:+.2g}", _moved(p, at, p[at] + by)) for by in steps if 0 < p[at] + by < 1]
        found += [("other", f"other +{gain:g}", _moved(p, -2, p[-2] + gain)) for gain in NOVELTY if p[-2] + gain < 1]
    missing = [gain for gain in NOVELTY if p[-1] + gain < 1]
    return found + [("missing", f"missing +{gain:g}", _moved(p, -1, p[-1] + gain)) for gain in missing]


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
