"""Alarms with a promised number of false ones: Shiryaev-Roberts sums of bets, over blocks of events.

Of each bet R is kept: R <- (R + 1) L for every event. Without a change the mean of R after N events is N at most,
whatever depends on what; so is that of M, the weighted sum over all features and bets. An alarm is M >= A: in N events
there are N / A of them in the mean, at most (an e-detector: Shin, Ramdas and Rinaldo, arXiv 2203.03532).

Events come as counts of bins in blocks, which merge over partitions. The order within a block is lost, so its n events
count as if each had paid the same, rho = (product of their L) ** (1 / n): R <- R rho ** n + rho + ... + rho ** n. The
mean of what the first part gains is what it was, and of each rho ** k at most 1, for k / n is at most 1 (Jensen): the
promise holds, and with n = 1 it is the sum above.

Beside the bets that stand, some are made of what came before, with weights that halve every so many events: they find
shapes that nobody thought of. What a block pays is fixed before it comes, so the promise holds for them as well.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from headrace.columnar.jit import kernel
from headrace.domain.drift.bets import Bets
from headrace.domain.drift.reference_bins import Floats, Ints, ReferenceBins

HALF_LIVES = (256.0, 2_048.0, 16_384.0)
"""Events after which the bets that learn have forgotten half."""
LEARNING = 0.2
"""The share of a feature's weight that they have together."""
MOST = 1e100
"""Sums stop here, long after any alarm, so that they stay numbers."""
LARGEST = 20.0
"""The most that the logarithm of what one event pays counts, for the same reason: a smaller pay keeps every promise."""


@dataclass(slots=True, eq=False)
class ShiryaevRobertsSums:
    """R of each bet, and what the bets that learn have seen.

    Attributes:
        standing: float64, features x bets.
        learning: float64, features x half-lives.
        seen: float64, features x half-lives x bins: counts whose weight halves.
        events: how many were taken in.
    """

    standing: Floats
    learning: Floats
    seen: Floats
    events: int = 0


class EDetector:
    """Watches features together under one number of false alarms.

    Args:
        bins: the reference of each feature.
        bets: the bets on each, of the same features.
        z: as in `bets_on`, for the bets that learn.
    """

    def __init__(self, bins: list[ReferenceBins], bets: list[Bets], z: float = 2.0) -> None:
        features, most = len(bins), max((len(each.names) for each in bets), default=0)
        self.width = max((len(each.counts) for each in bins), default=0)
        self._pays = np.zeros((features, self.width, most))
        self._weights = np.zeros((features, most))
        self._known = np.ones((features, self.width))
        self._rates = np.ones((features, 2))
        for at, (reference, made) in enumerate(zip(bins, bets, strict=True)):
            count, width = made.log_pays.shape
            self._pays[at, :width, :count] = made.log_pays.T
            self._weights[at, :count] = (1 - LEARNING) / max(count, 1) / features
            self._known[at, :width] = reference.frequencies
            # Bets that learn go wherever the reference is off: in all directions, not in one (Cauchy and Schwarz).
            off = np.sqrt(width - 1) + z / np.sqrt(2)
            self._rates[at] = off * np.sqrt(made.inflation / max(reference.rows, 1)), made.inflation
        self._widths = np.array([len(each.counts) for each in bins], np.int64)
        self._fade = np.array([0.5 ** (1 / life) for life in HALF_LIVES])
        self.features = features

    def begin(self) -> ShiryaevRobertsSums:
        """Sums before any event."""
        lives = len(HALF_LIVES)
        return ShiryaevRobertsSums(
            np.zeros_like(self._weights),
            np.zeros((self.features, lives)),
            np.repeat(self._known[:, None, :] * HALF_LIVES[0], lives, axis=1),
        )

    def advance(self, sums: ShiryaevRobertsSums, blocks: Ints) -> Floats:
        """Take blocks in, in their order; M after each, float64.

        Args:
            blocks: int64, blocks x features x bins; every feature has all events of a block.
        """
        evidence, room = np.empty(len(blocks)), np.empty(self._weights.shape[1])
        for at, counts in enumerate(np.ascontiguousarray(blocks, np.int64)):
            events = int(counts[0].sum()) if self.features else 0
            _learn(counts, events, self._known, self._rates, self._widths, self._fade, sums.seen, sums.learning)
            _stand(counts, events, self._pays, self._widths, sums.standing, room)
            sums.events += events
            evidence[at] = self.by_feature(sums).sum()
        return evidence

    def by_feature(self, sums: ShiryaevRobertsSums) -> Floats:
        """Each feature's part of M, float64: the largest has most to do with an alarm."""
        shared = LEARNING / len(HALF_LIVES) / max(self.features, 1)
        found: Floats = (sums.standing * self._weights).sum(axis=1) + sums.learning.sum(axis=1) * shared
        return found


@kernel
def _after(sum_before: float, log_paid: float, events: int) -> float:
    """R after a block of so many events that paid so much together, by doubling from one event on."""
    power = math.exp(min(log_paid / events, LARGEST))
    product, added, left = 1.0, 0.0, events
    summed = power  # of the first 1, 2, 4, ... powers
    while True:
        if left & 1:
            added += product * summed
            product *= power
        left >>= 1
        if not left:
            return min(sum_before * product + added, MOST)
        summed += power * summed
        power *= power


@kernel("i8[:,::1] i8 f8[:,:,::1] i8[::1] f8[:,::1] f8[::1]")
def _stand(counts: Ints, events: int, pays: Floats, widths: Ints, standing: Floats, paid: Floats) -> None:
    """The bets that stand, on one block; `pays` is features x bins x bets, `paid` room for the bets of one feature."""
    if events == 0:
        return
    features, _, bets = pays.shape
    for feature in range(features):
        paid[:] = 0.0
        for place in range(widths[feature]):
            count = counts[feature, place]
            if count:
                for bet in range(bets):
                    paid[bet] += count * pays[feature, place, bet]
        for bet in range(bets):
            standing[feature, bet] = _after(standing[feature, bet], paid[bet], events)


@kernel("i8[:,::1] i8 f8[:,::1] f8[:,::1] i8[::1] f8[::1] f8[:,:,::1] f8[:,::1]")
def _learn(
    counts: Ints, events: int, known: Floats, rates: Floats, widths: Ints, fade: Floats, seen: Floats, learning: Floats
) -> None:
    """The bets that learn, on one block: each pays by what it has seen before, and then sees the block."""
    if events == 0:
        return
    for feature in range(len(widths)):
        width = widths[feature]
        for life in range(len(fade)):
            total = 0.0
            for place in range(width):
                total += seen[feature, life, place]
            variance, paid = 0.0, 0.0
            for place in range(width):
                pay = seen[feature, life, place] / (total * known[feature, place])
                variance += known[feature, place] * (pay - 1.0) ** 2
                if counts[feature, place]:
                    paid += counts[feature, place] * np.log(pay)
            bound = np.log1p(rates[feature, 0] * np.sqrt(variance))
            paid = (paid - events * bound) / rates[feature, 1]
            learning[feature, life] = _after(learning[feature, life], paid, events)
            kept = fade[life] ** events
            for place in range(width):
                seen[feature, life, place] = kept * seen[feature, life, place] + counts[feature, place]
                # What the reference has, nothing forgets altogether.
                seen[feature, life, place] += (1.0 - kept) * 0.02 * total * known[feature, place]
