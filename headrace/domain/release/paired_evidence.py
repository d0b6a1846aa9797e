"""Evidence that a candidate loses more than its champion by more than a margin, and that it does not: two e-processes
on the same matured events, which may be looked at after every one of them.

Of an event x = loss(candidate) - (1 + share) loss(champion) - offset: what the candidate loses beyond the margin. A bet
on harm wins 1 + l x, one on safety 1 - l x. As long as x is at most 0 in the mean, given all that was before, what a
bet on harm has won is a supermartingale, and so is what several win together (a mixture). So it ever reaches 1 / alpha
with a chance of alpha at most, whenever and however often somebody looks (Ville's inequality: Ville 1939; Ramdas,
Grunwald, Vovk and Shafer, arXiv 2210.01948, on e-processes). The same holds of safety while x is at least 0. What
several partitions win multiplies: their logarithms add up.

Bets are made before the label is known, of what was before and of the scores:
- one learns its size as approximate GRAPA does: the mean of x over its mean square so far (aGRAPA; Waudby-Smith and
  Ramdas 2024, arXiv 2010.09686, section B.3). What it pays for learning grows with the logarithm of events;
- the others have sizes on a grid, in units of one over the root of the mean square of x. A mean of x of r deviations is
  found best by a bet of r; which it is costs the logarithm of their number, once.

The mean square is the larger one of two: of the events so far, and of what the scores let expect (as if the mean of
both scores was the chance of a positive). So a rare class does not need to be met before bets allow for it.

**No bet loses more than `STAKED` of what it holds at any pair of scores that is known.** With both scores known, x of
chances takes one of two values, so the most that an event can cost is known before its label. What counts is the
largest cost of all pairs known so far, not that of the event at hand alone. With the latter, bets would be lowest just
where the two models differ most, and a candidate that is worse at many events by little and better at few events by
much would look worse than it is in the mean. Scores are known long before labels: `foresee` takes them in. Until `FEW`
pairs are known, bets allow for any pair.

So the bound is exact, whatever the streams, while E[x | past, both scores] <= 0 at each event. It also holds of the
mean over events, E[x | past] <= 0, but for what is won by betting less at pairs that are further apart than all that
were known before: that is what `FEW` and `foresee` make small. Bets that rely on scores at all can promise no more, as
what a candidate is worth may lie in pairs that nobody has met.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from headrace.columnar.jit import frozen, kernel
from headrace.columnar.packing import Column
from headrace.domain.release.margin import Margin

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

SIZES = (0.005, 0.01, 0.02, 0.04, 0.08, 0.16, 0.32)
"""Bets on the grid, in units of one over the root of the mean square of x."""
LEARNT = 0.4
"""What is laid on the bet that learns; the others share the rest evenly."""
STAKED = 0.9
"""The most that a bet loses at once, of what it holds."""
FEW = 1_000
"""Pairs of scores that must be known before bets rely on having met those that are furthest apart."""
LEAST = 1e-12
"""The least that an event is taken to cost at most, so that bets are bounded."""
STEP = 2.0**256
"""Wealth is kept within one over this and this, and how often it was divided by it is counted."""
LOG_STEP = 256 * float(np.log(2.0))
HARM, SAFETY = 0, 1
_X, _SQUARES, _EXPECTED, _FURTHEST_HARM, _FURTHEST_SAFETY, _CANDIDATE, _CHAMPION = range(7)
_EVENTS, _KNOWN, _CLIPPED = range(3)
_MEANS = (_X, _SQUARES, _CANDIDATE, _CHAMPION)


@dataclass(frozen=True, slots=True)
class PairedMoments:
    """What events say of x.

    Attributes:
        events: matured ones with both scores.
        mean: of x, the difference of losses beyond the margin.
        deviation: of x.
        candidate, champion: mean losses.
        clipped: events at which a squared error beyond the bound counted as the bound.
    """

    events: int
    mean: float
    deviation: float
    candidate: float
    champion: float
    clipped: int

    @property
    def growth(self) -> float:
        """What the best bet wins of an event about, in the mean of its logarithm: D^2 / (2 (s^2 + D^2))."""
        square = self.deviation**2 + self.mean**2
        return self.mean**2 / (2 * square) if square > 0 else 0.0


@dataclass(frozen=True, slots=True, eq=False)
class EvidenceCourse:
    """How evidence went over some rows, and how it stood at looks among them.

    Attributes:
        harm, safety: float64 [rows + 1], the logarithms before the rows and after each.
        looks: int64, after how many rows each look was.
        sums, counts: of the state then.
    """

    harm: Floats
    safety: Floats
    looks: Ints
    sums: Floats
    counts: Ints

    @property
    def traces(self) -> tuple[Floats, Floats]:
        """Both courses."""
        return self.harm, self.safety

    def moments(self, look: int) -> PairedMoments:
        """What the events up to a look say."""
        return _moments(self.sums[look], self.counts[look])

    def known(self, look: int) -> int:
        """Pairs that were foreseen by then."""
        return int(self.counts[look, _KNOWN])


def _moments(sums: Floats, counts: Ints) -> PairedMoments:
    events, clipped = int(counts[_EVENTS]), int(counts[_CLIPPED])
    mean, square, candidate, champion = (float(sums[at]) / max(events, 1) for at in _MEANS)
    return PairedMoments(events, mean, math.sqrt(max(square - mean**2, 0.0)), candidate, champion, clipped)


class PairedEvidence:
    """A fold of matured events in the order of their event times; it does not depend on how they are cut into batches.

    Labels of some kind are reported first, so events enter once all of their age have their labels, never in the order
    in which labels come.

    Args:
        margin: fixed before any event.
        bound: of values: the squared error beyond which all errors count alike. None: scores are chances, the loss is
            Brier's.

    >>> evidence = PairedEvidence(Margin(0.05))
    >>> labels = np.tile([1.0, 0.0], 200)
    >>> harm, safety = evidence.take(0.5 + 0 * labels, 0.2 + 0.6 * labels, labels)
    >>> evidence.log_harm > 3, evidence.log_safety < 0, evidence.moments.events
    (True, True, 400)
    """

    def __init__(self, margin: Margin, bound: float | None = None) -> None:
        if bound is not None and not (np.isfinite(bound) and bound > 0):
            raise ValueError(f"a bound of squared errors is above 0, not {bound}")
        self.margin, self.bound = margin, bound
        self._rules = np.array([margin.share, margin.offset, 0.0 if bound is None else bound])
        self._wealth = np.ones((2, len(SIZES) + 1))
        self._scale = np.zeros(2, np.int64)
        self._sums = np.zeros(7)
        self._counts = np.zeros(3, np.int64)

    def foresee(self, candidate: Floats, champion: Floats) -> None:
        """Know of pairs of scores whose labels are not there yet; each once, before `take` has its event.

        Args:
            candidate, champion: float64.

        Raises ValueError as `take` does.
        """
        self._check(candidate, champion)
        _foresee(frozen(candidate), frozen(champion), self._rules, self._sums, self._counts)

    def take(self, candidate: Floats, champion: Floats, labels: Floats) -> tuple[Floats, Floats]:
        """Take matured events in, in the order of event time; the logarithm of (harm, safety) after each, float64.

        Args:
            candidate, champion: float64, scores of the same events; chances in [0, 1], or values.
            labels: float64; of chances above 0 is positive.

        Raises ValueError, and takes nothing in, where one is not finite, or a chance is none.
        """
        self._check(candidate, champion, labels)
        harm, safety = np.empty(len(labels)), np.empty(len(labels))
        _take(
            frozen(candidate), frozen(champion), frozen(labels), self._rules,
            self._wealth, self._scale, self._sums, self._counts, harm, safety,
        )  # fmt: skip  # the events and the question, the state, the answer
        return harm, safety

    def follow(self, candidate: Floats, champion: Floats, labels: Floats, looks: Ints) -> EvidenceCourse:
        """Know of pairs and take matured events in, in one order: where a label is NaN, the pair becomes known (as
        `foresee`), else its event is taken in (as `take`). How all stands at some looks.

        Args:
            looks: int64, ascending: after how many of these rows each is.

        Raises ValueError as `take` does, but for labels that are NaN.
        """
        self._check(candidate, champion)
        if np.isinf(labels).any() or len(labels) != len(candidate):
            raise ValueError("a label is not finite, or there are others than pairs")
        rows = len(labels)
        harm, safety = np.empty(rows + 1), np.empty(rows + 1)
        harm[0], safety[0] = self.log_harm, self.log_safety
        sums, counts = np.empty((len(looks), len(self._sums))), np.empty((len(looks), len(self._counts)), np.int64)
        _follow(
            frozen(candidate), frozen(champion), frozen(labels), self._rules,
            self._wealth, self._scale, self._sums, self._counts, harm[1:], safety[1:], looks, sums, counts,
        )  # fmt: skip  # the events and the question, the state, the answer
        return EvidenceCourse(harm, safety, looks, sums, counts)

    @property
    def known(self) -> int:
        """Pairs that were foreseen."""
        return int(self._counts[_KNOWN])

    @property
    def log_harm(self) -> float:
        """The natural logarithm of the evidence for harm; 0 before any event."""
        return float(_log(self._wealth[HARM], self._scale[HARM]))

    @property
    def log_safety(self) -> float:
        """The same for "not worse by more than the margin"."""
        return float(_log(self._wealth[SAFETY], self._scale[SAFETY]))

    @property
    def moments(self) -> PairedMoments:
        """What the events so far say of x; zeros before any."""
        return _moments(self._sums, self._counts)

    def save(self) -> dict[str, Column]:
        """As columns: some 250 bytes."""
        return {
            "rules": self._rules.copy(),
            "wealth": self._wealth.flatten(),
            "scale": self._scale.copy(),
            "sums": self._sums.copy(),
            "counts": self._counts.copy(),
        }

    @classmethod
    def load(cls, columns: Mapping[str, Column]) -> PairedEvidence:
        """What `save` told, bit for bit."""
        share, offset, bound = (float(each) for each in columns["rules"])
        found = cls(Margin(share, offset), bound or None)
        found._wealth = np.array(columns["wealth"], np.float64).reshape(2, -1)
        found._scale = np.array(columns["scale"], np.int64)
        found._sums = np.array(columns["sums"], np.float64)
        found._counts = np.array(columns["counts"], np.int64)
        return found

    def _check(self, *columns: Floats) -> None:
        for column in columns:
            if len(column) != len(columns[0]):
                raise ValueError(f"columns are {', '.join(str(len(each)) for each in columns)} rows long")
            if not np.all(np.isfinite(column)):
                raise ValueError("a score or a label is not finite")
        if self.bound is None and any(np.any((scores < 0) | (scores > 1)) for scores in columns[:2]):
            raise ValueError("a chance is not in [0, 1]")


@kernel
def _ends(candidate: float, champion: float, rules: Floats) -> tuple[float, float]:
    """The least and the most that x can be at a pair of scores, whatever the label."""
    share, offset, bound = rules[0], rules[1], rules[2]
    if bound == 0.0:
        negative = candidate**2 - (1.0 + share) * champion**2 - offset
        positive = (1.0 - candidate) ** 2 - (1.0 + share) * (1.0 - champion) ** 2 - offset
        return min(negative, positive), max(negative, positive)
    # Errors within the bound's root: scores g apart have squared errors that differ by g (2 root - g) at most.
    root, apart = np.sqrt(bound), abs(candidate - champion)
    most = bound if apart >= root else apart * (2.0 * root - apart)
    return -most - share * bound - offset, most - offset


@kernel
def _expected(candidate: float, champion: float, rules: Floats, first: bool) -> float:
    """The mean square of x that scores let expect; of values the largest one, at the first event alone."""
    least, most = _ends(candidate, champion, rules)
    if rules[2] != 0.0:
        return max(least**2, most**2) if first else 0.0
    negative = candidate**2 - (1.0 + rules[0]) * champion**2 - rules[1]
    positive = (1.0 - candidate) ** 2 - (1.0 + rules[0]) * (1.0 - champion) ** 2 - rules[1]
    chance = (candidate + champion) / 2.0
    found: float = (1.0 - chance) * negative**2 + chance * positive**2
    return found


@kernel
def _loss(score: float, label: float, bound: float) -> float:
    if bound == 0.0:
        return (score - (1.0 if label > 0.0 else 0.0)) ** 2
    return min((score - label) ** 2, bound)


@kernel
def _furthest(candidate: float, champion: float, rules: Floats, sums: Floats) -> None:
    least, most = _ends(candidate, champion, rules)
    sums[_FURTHEST_HARM] = max(sums[_FURTHEST_HARM], -least)
    sums[_FURTHEST_SAFETY] = max(sums[_FURTHEST_SAFETY], most)


@kernel("~f8[::1] ~f8[::1] f8[::1] f8[::1] i8[::1]")
def _foresee(candidate: Floats, champion: Floats, rules: Floats, sums: Floats, counts: Ints) -> None:
    for event in range(len(candidate)):
        _furthest(candidate[event], champion[event], rules, sums)
    counts[_KNOWN] += len(candidate)


@kernel("~f8[::1] ~f8[::1] ~f8[::1] f8[::1] f8[:,::1] i8[::1] f8[::1] i8[::1] f8[::1] f8[::1]")
def _take(
    candidate: Floats, champion: Floats, labels: Floats, rules: Floats,
    wealth: Floats, scale: Ints, sums: Floats, counts: Ints, harm: Floats, safety: Floats,
) -> None:  # fmt: skip  # the events and the question, the state, the answer
    share, offset, bound = rules[0], rules[1], rules[2]
    largest = 1.0 if bound == 0.0 else bound
    for event in range(len(labels)):
        if np.isnan(labels[event]):  # no label yet: see `follow`
            _furthest(candidate[event], champion[event], rules, sums)
            counts[_KNOWN] += 1
            harm[event] = harm[event - 1] if event else _log(wealth[HARM], scale[HARM])
            safety[event] = safety[event - 1] if event else _log(wealth[SAFETY], scale[SAFETY])
            continue
        before = counts[_EVENTS]
        counts[_EVENTS] += 1
        _furthest(candidate[event], champion[event], rules, sums)
        met = max(counts[_KNOWN], counts[_EVENTS]) >= FEW
        first = _loss(candidate[event], labels[event], bound)
        second = _loss(champion[event], labels[event], bound)
        x = first - (1.0 + share) * second - offset
        square = max(sums[_EXPECTED], sums[_SQUARES]) / max(before, 1)
        if square > 0.0:
            mean = sums[_X] / counts[_EVENTS]
            costs = sums[_FURTHEST_HARM] if met else (1.0 + share) * largest + offset
            _bet(wealth[HARM], scale, HARM, x, mean, square, STAKED / max(costs, LEAST))
            costs = sums[_FURTHEST_SAFETY] if met else largest - offset
            _bet(wealth[SAFETY], scale, SAFETY, -x, -mean, square, STAKED / max(costs, LEAST))
        sums[_EXPECTED] += _expected(candidate[event], champion[event], rules, before == 0)
        sums[_X] += x
        sums[_SQUARES] += x * x
        sums[_CANDIDATE] += first
        sums[_CHAMPION] += second
        if bound != 0.0 and (first == bound or second == bound):
            counts[_CLIPPED] += 1
        harm[event] = _log(wealth[HARM], scale[HARM])
        safety[event] = _log(wealth[SAFETY], scale[SAFETY])


@kernel(
    "~f8[::1] ~f8[::1] ~f8[::1] f8[::1] f8[:,::1] i8[::1] f8[::1] i8[::1] f8[::1] f8[::1] i8[::1] f8[:,::1] i8[:,::1]"
)
def _follow(
    candidate: Floats, champion: Floats, labels: Floats, rules: Floats,
    wealth: Floats, scale: Ints, sums: Floats, counts: Ints, harm: Floats, safety: Floats,
    looks: Ints, sums_then: Floats, counts_then: Ints,
) -> None:  # fmt: skip  # the events and the question, the state, the answer
    low = 0
    for look in range(len(looks) + 1):
        high = looks[look] if look < len(looks) else len(labels)
        if high > low:
            _take(
                candidate[low:high], champion[low:high], labels[low:high], rules,
                wealth, scale, sums, counts, harm[low:high], safety[low:high],
            )  # fmt: skip  # as above
        if look < len(looks):
            sums_then[look, :] = sums
            counts_then[look, :] = counts
        low = high


@kernel
def _bet(wealth: Floats, scale: Ints, side: int, x: float, mean: float, square: float, most: float) -> None:
    """What each bet of a side holds after an event; `mean` and `square` are those before it, `most` the largest bet."""
    root = np.sqrt(square)
    total = 0.0
    for at in range(len(SIZES)):
        wealth[at] *= 1.0 + min(SIZES[at] / root, most) * x
        total += wealth[at]
    last = len(SIZES)
    wealth[last] *= 1.0 + min(max(mean, 0.0) / square, most) * x
    total += wealth[last]
    if total > STEP or total < 1.0 / STEP:
        by = 1.0 / STEP if total > STEP else STEP
        scale[side] += 1 if total > STEP else -1
        for at in range(len(wealth)):
            wealth[at] *= by


@kernel("f8[::1] i8")
def _log(wealth: Floats, scale: int) -> float:
    """The logarithm of what all bets of a side hold together."""
    total = 0.0
    for at in range(len(SIZES)):
        total += wealth[at]
    total = (1.0 - LEARNT) / len(SIZES) * total + LEARNT * wealth[len(SIZES)]
    found: float = np.log(total) + scale * LOG_STEP
    return found
