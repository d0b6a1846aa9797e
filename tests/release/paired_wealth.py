"""Paired evidence in plain Python, event by event."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from headrace.domain.release.evidence.bet_kernels import FEW, LEARNT, SIZES, STAKED, Floats
from headrace.domain.release.margin import Margin


def wealth(differences: Sequence[float], bets: Sequence[float]) -> list[float]:
    """The logarithm of what a bettor holds after each event: the product of 1 + bet x difference."""
    held, found = 0.0, []
    for difference, bet in zip(differences, bets, strict=True):
        held += math.log1p(bet * difference)
        found.append(held)
    return found


@dataclass
class PlainBets:
    """All bets of one side, before each event, of what is known then; `sign` is 1 for harm, -1 for safety."""

    sign: int
    any_pair: float
    margin: Margin
    bound: float | None
    learnt_from: int = 0

    def of(self, candidate: Sequence[float], champion: Sequence[float], labels: Sequence[float]) -> list[list[float]]:
        """Bets on `sign` x, for each bet one for each event."""
        xs = differences(candidate, champion, labels, self.margin, self.bound)
        furthest, expected, found = 0.0, 0.0, []
        for at, (c, b) in enumerate(zip(candidate, champion, strict=True)):
            ends = list(possible(c, b, self.margin, self.bound))
            furthest = max([furthest, *(-self.sign * end for end in ends)])
            most = STAKED / max(self.any_pair if at + 1 < FEW else furthest, 1e-12)
            square = max(expected, sum(x * x for x in xs[:at])) / max(at, 1)
            begins = self.learnt_from if at >= self.learnt_from else 0
            mean = self.sign * sum(xs[begins:at]) / (at + 1 - begins)
            sizes = [size / math.sqrt(square) for size in SIZES] if square else [0.0] * len(SIZES)
            sizes.append(max(mean, 0.0) / square if square else 0.0)
            found.append([min(size, most) for size in sizes])
            if self.bound is None:
                chance = (c + b) / 2
                expected += (1 - chance) * ends[0] ** 2 + chance * ends[1] ** 2
            elif at == 0:
                expected += max(end * end for end in ends)
        return [list(each) for each in zip(*found, strict=True)]


def possible(candidate: float, champion: float, margin: Margin, bound: float | None) -> Iterator[float]:
    """What x may be once scores are known: for labels 0 and 1; of values the least and the most."""
    if bound is None:
        for label in (0.0, 1.0):
            yield from differences([candidate], [champion], [label], margin, bound)
        return
    root, gap = math.sqrt(bound), abs(candidate - champion)
    most = bound - max(root - gap, 0.0) ** 2
    yield -most - margin.share * bound - margin.offset
    yield most - margin.offset


def differences(
    candidate: Sequence[float], champion: Sequence[float], labels: Sequence[float], margin: Margin, bound: float | None
) -> list[float]:
    """X of each event."""
    limit = 1.0 if bound is None else bound
    return [
        min((c - y) ** 2, limit) - (1 + margin.share) * min((b - y) ** 2, limit) - margin.offset
        for c, b, y in zip(candidate, champion, labels, strict=True)
    ]


def plain_evidence(
    candidate: Floats, champion: Floats, labels: Floats, margin: Margin, bound: float | None = None, anew: int = 0
) -> tuple[Floats, Floats]:
    """The logarithm of (harm, safety) after each event, as `PairedEvidence.take` tells it; before event `anew` bets on
    harm are shared out anew.
    """
    columns = [each.tolist() for each in (candidate, champion, labels)]
    xs = differences(*columns, margin, bound)
    limit = 1.0 if bound is None else bound
    found = []
    for sign, any_pair in ((1, (1 + margin.share) * limit + margin.offset), (-1, limit - margin.offset)):
        bets = PlainBets(sign, any_pair, margin, bound, anew).of(*columns)
        held = np.array([wealth([sign * x for x in xs], each) for each in bets])
        weights = np.array([(1 - LEARNT) / len(SIZES)] * len(SIZES) + [LEARNT])
        whole = np.log(weights @ np.exp(held))
        if sign == 1 and anew:
            since = held[:, anew:] - held[:, anew - 1 : anew]
            whole[anew:] = whole[anew - 1] + np.log(weights @ np.exp(since))
        found.append(whole)
    return found[0], found[1]


def plain_evidence_of_classes(
    candidate: Floats, champion: Floats, labels: Floats, margin: Margin
) -> tuple[Floats, Floats]:
    """The same of chances of several classes, [events, classes], from the definitions alone."""
    classes = candidate.shape[1]
    losses = [0.5 * ((scores[:, None, :] - np.eye(classes)) ** 2).sum(axis=2) for scores in (candidate, champion)]
    ends = losses[0] - (1 + margin.share) * losses[1] - margin.offset
    x = ends[np.arange(len(labels)), labels.astype(int)]
    squares = ((candidate + champion) / 2 * ends**2).sum(axis=1)
    found = []
    for sign, any_pair in ((1, 1 + margin.share + margin.offset), (-1, 1 - margin.offset)):
        furthest, held, told = 0.0, np.zeros(len(SIZES) + 1), []
        for at in range(len(x)):
            furthest = max(furthest, float((-sign * ends[at]).max()))
            most = STAKED / max(any_pair if at + 1 < FEW else furthest, 1e-12)
            square = max(squares[:at].sum(), (x[:at] ** 2).sum()) / max(at, 1)
            mean = sign * x[:at].sum() / (at + 1)
            sizes = [*(size / math.sqrt(square) for size in SIZES), max(mean, 0.0) / square] if square else []
            bets = np.minimum(sizes, most) if square else np.zeros(len(SIZES) + 1)
            held += np.log1p(bets * sign * x[at])
            told.append(math.log((1 - LEARNT) * np.exp(held[:-1]).mean() + LEARNT * math.exp(held[-1])))
        found.append(np.array(told))
    return found[0], found[1]
