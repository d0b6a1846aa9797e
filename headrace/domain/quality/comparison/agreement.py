"""How alike two models decide and score, labels or not."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from headrace.domain.quality.comparison.pairs import Floats, Ints, Pair, midranks

_BINS = 10


@dataclass(frozen=True, slots=True)
class Agreement:
    """Rows by what either model decided."""

    both: int
    only_a: int
    only_b: int
    neither: int

    @property
    def rows(self) -> int:
        """All rows."""
        return self.both + self.only_a + self.only_b + self.neither

    @property
    def share(self) -> float | None:
        """Share of rows that both decided alike; None without rows."""
        return (self.both + self.neither) / self.rows if self.rows else None

    @property
    def kappa(self) -> float | None:
        """Cohen's kappa (1960): agreement beyond chance, 1 at most; None where both always decide the same way.

        Equals scikit-learn's `cohen_kappa_score`.
        """
        a, b, n = self.both + self.only_a, self.both + self.only_b, self.rows
        chance = a * b + (n - a) * (n - b)
        return (n * (self.both + self.neither) - chance) / (n * n - chance) if n * n != chance else None


@dataclass(frozen=True, slots=True)
class Shift:
    """How the scores of `b` differ from those of `a` as a whole.

    Attributes:
        mean: mean of b less mean of a.
        ks: largest distance of the two distribution functions (Kolmogorov and Smirnov), 0 to 1.
        psi: population stability index over tenths of a's scores; half a row is added to each, so that it is finite.
    """

    mean: float
    ks: float
    psi: float


@dataclass(frozen=True, slots=True, eq=False)
class Disagreements:
    """Rows that the models rank most differently, most first.

    Attributes:
        rows: int64, places in the pair's columns.
        rank_a, rank_b: float64, the share of rows that score lower, itself and ties counting half: 0 to 1.
    """

    rows: Ints
    rank_a: Floats
    rank_b: Floats


def agreement(pair: Pair) -> Agreement:
    """Decisions of all rows at the two thresholds."""
    a, b = pair.flagged_a, pair.flagged_b
    both, only_a, only_b = int(np.sum(a & b)), int(np.sum(a & ~b)), int(np.sum(~a & b))
    return Agreement(both, only_a, only_b, len(pair) - both - only_a - only_b)


def shift(pair: Pair) -> Shift | None:
    """The score shift; None without rows."""
    if not len(pair):
        return None
    a, b = np.sort(pair.a), np.sort(pair.b)
    every = np.concatenate([a, b])
    apart = np.abs(np.searchsorted(a, every, side="right") - np.searchsorted(b, every, side="right")).max()
    edges = np.unique(a[(np.arange(1, _BINS) * len(a)) // _BINS])
    shares = []
    for scores in (a, b):
        counts = np.bincount(np.searchsorted(edges, scores, side="right"), minlength=len(edges) + 1)
        shares.append((counts + 0.5) / (len(scores) + 0.5 * (len(edges) + 1)))
    psi = float(np.sum((shares[1] - shares[0]) * np.log(shares[1] / shares[0])))
    return Shift(float(b.mean() - a.mean()), float(apart) / len(a), psi)


def disagreements(pair: Pair, most: int = 20) -> Disagreements:
    """The `most` rows whose places in the two rankings are furthest apart; of equals the earlier row."""
    rank_a, rank_b = midranks(pair.a), midranks(pair.b)
    order = np.argsort(-np.abs(rank_a - rank_b), kind="stable")[:most].astype(np.int64)
    return Disagreements(order, (rank_a[order] - 0.5) / len(pair), (rank_b[order] - 0.5) / len(pair))
