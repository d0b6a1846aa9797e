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

Once a candidate answers everybody, it may do other things than before. `rebalance` then has the bets on harm share what
they hold together as at the beginning, and the learning ones learn from what comes alone. What they hold together stays
what it was, and when it is done hangs on what was before alone; so it is the same supermartingale, and costs no alpha.

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
from typing import Any

import numpy as np
import numpy.typing as npt

from headrace.columnar.jit import frozen
from headrace.columnar.packing import Column
from headrace.columnar.structs import array_of
from headrace.domain.quality.classes.losses import are_chances
from headrace.domain.release.evidence import bet_kernels as kernels
from headrace.domain.release.evidence.pair_layout import PAIR_STEP
from headrace.domain.release.margin import Margin

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Structs = npt.NDArray[Any]

_MEANS = (kernels.X, kernels.SQUARES, kernels.CANDIDATE, kernels.CHAMPION)
_NOT_DUE = 2**63 - 1
_NO_ANSWERS = np.empty((0, 0))


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
    """How evidence stood at looks.

    Attributes:
        logs: float64 [looks, 4]: the logarithms of the evidence for harm and for safety, and the largest that each ever
            was.
        sums, counts: of the state then.
    """

    logs: Floats
    sums: Floats
    counts: Ints

    def moments(self, look: int) -> PairedMoments:
        """What the events up to a look say."""
        return _moments(self.sums[look], self.counts[look])

    @property
    def events(self) -> Ints:
        """Matured ones at each look."""
        return self.counts[:, kernels.EVENTS]

    @property
    def known(self) -> Ints:
        """Pairs that were foreseen by each look."""
        return self.counts[:, kernels.KNOWN]


def _course(looks: int) -> EvidenceCourse:
    """Room for so many."""
    return EvidenceCourse(np.empty((looks, 4)), np.empty((looks, 7)), np.empty((looks, 3), np.int64))


def _moments(sums: Floats, counts: Ints) -> PairedMoments:
    told, (events, _, clipped) = sums.tolist(), counts.tolist()
    mean, square, candidate, champion = (told[at] / max(events, 1) for at in _MEANS)
    return PairedMoments(events, mean, math.sqrt(max(square - mean**2, 0.0)), candidate, champion, clipped)


class PairedEvidence:
    """A fold of matured events in the order of their event times; it does not depend on how they are cut into batches.

    Labels of some kind are reported first, so events enter once all of their age have their labels, never in the order
    in which labels come.

    Args:
        margin: fixed before any event.
        bound: of values: the squared error beyond which all errors count alike. None: scores are chances, the loss is
            Brier's.
        classes: of the models: scores are chances of each, [events, classes], labels places of classes, and the loss is
            half of Brier's. 0: scores are single numbers.

    >>> evidence = PairedEvidence(Margin(0.05))
    >>> labels = np.tile([1.0, 0.0], 200)
    >>> harm, safety = evidence.take(0.5 + 0 * labels, 0.2 + 0.6 * labels, labels)
    >>> evidence.log_harm > 3, evidence.log_safety < 0, evidence.moments.events
    (True, True, 400)
    """

    def __init__(self, margin: Margin, bound: float | None = None, classes: int = 0) -> None:
        if bound is not None and not (np.isfinite(bound) and bound > 0):
            raise ValueError(f"a bound of squared errors is above 0, not {bound}")
        self.margin, self.bound, self.classes = margin, bound, classes
        self._rules = np.array([margin.share, margin.offset, 0.0 if bound is None else bound])
        self._wealth = np.ones((2, len(kernels.SIZES) + 1))
        self._scale = np.zeros(2, np.int64)
        self._sums = np.zeros(7)
        self._counts = np.zeros(3, np.int64)
        self._learnt = np.zeros(2)

    def foresee(self, candidate: Floats, champion: Floats) -> None:
        """Know of pairs of scores whose labels are not there yet; each once, before `take` has its event.

        Args:
            candidate, champion: float64.

        Raises ValueError as `take` does.
        """
        self._check(candidate, champion)
        known = kernels.foresee_classes if self.classes else kernels.foresee
        known(
            frozen(np.ascontiguousarray(candidate)), frozen(np.ascontiguousarray(champion)), self._rules, self._sums,
            self._counts,
        )  # fmt: skip  # pairs, the state

    def take(self, candidate: Floats, champion: Floats, labels: Floats) -> tuple[Floats, Floats]:
        """Take matured events in, in the order of event time; the logarithm of (harm, safety) after each, float64.

        Args:
            candidate, champion: float64, scores of the same events; chances in [0, 1], or values.
            labels: float64; of chances above 0 is positive.

        Raises ValueError, and takes nothing in, where one is not finite, or a chance is none.
        """
        self._check(candidate, champion, labels)
        steps, traces = array_of(PAIR_STEP, len(labels)), (np.empty(len(labels)), np.empty(len(labels)))
        steps["label"], answers = labels, _NO_ANSWERS
        if self.classes:
            answers = np.hstack([candidate, champion])
        else:
            steps["candidate"], steps["champion"] = candidate, champion
        self._follow(steps, answers, 0, np.zeros(2), _NOT_DUE, _course(0), traces)
        return traces

    def rebalance(self) -> None:
        """Share what the bets on harm hold as at the beginning, and have sizes learnt from the events to come alone.

        What they hold together stays what it is. Before the next event, for a reason that is known by then.
        """
        held = self._wealth[kernels.HARM]
        held[:] = np.exp(kernels.log_held(held, 0))
        self._learnt[:] = self._sums[kernels.X], self._counts[kernels.EVENTS]

    def follow(
        self,
        steps: Structs,
        looks: Ints,
        number: int,
        most: Floats,
        due: int | None = None,
        answers: Floats = _NO_ANSWERS,
    ) -> tuple[EvidenceCourse, bool]:
        """Take the steps of the pair `number` in, in their order: where a label is NaN, the pair becomes known (as
        `foresee`), else its event is taken in (as `take`).

        Args:
            steps: records `pair_layout.PairStep`; as `take` would have them, which is not looked at again.
            looks: int64, which of them are looks.
            most: float64 [2], the largest logarithms for harm and for safety that there ever were; goes on.
            due: before the first event that is taken in and happened then or later, bets are rebalanced.
            answers: float64 [steps, 2 * classes], chances of several classes, the candidate's first.

        Returns how all stood at the looks, and whether bets were rebalanced.
        """
        course, untraced = _course(len(looks)), (np.empty(0), np.empty(0))
        row = self._follow(steps, answers, number, most, _NOT_DUE if due is None else due, course, untraced)
        whole = row == len(steps)
        if not whole:
            self.rebalance()
            look = int(looks.searchsorted(row))
            rest = EvidenceCourse(course.logs[look:], course.sums[look:], course.counts[look:])
            self._follow(steps[row:], answers[row:], number, most, _NOT_DUE, rest, untraced)
        return course, not whole

    def _follow(
        self,
        steps: Structs,
        answers: Floats,
        number: int,
        most: Floats,
        due: int,
        course: EvidenceCourse,
        traces: tuple[Floats, Floats],
    ) -> int:
        """After how many of the steps it stopped."""
        candidate = frozen(np.ascontiguousarray(answers[:, : self.classes]))
        champion = frozen(np.ascontiguousarray(answers[:, self.classes :]))
        found: int = kernels.follow(
            frozen(steps), candidate, champion, number, due, self._rules,
            self._wealth, self._scale, self._sums, self._counts, self._learnt, most,
            course.logs, course.sums, course.counts, *traces,
        )  # fmt: skip  # the steps, the question, the state, the answer
        return found

    def course(self, most: Floats) -> EvidenceCourse:
        """How it stands now, as at one look; `most` as `follow` has it."""
        logs = np.array([[self.log_harm, self.log_safety, *most.tolist()]])
        return EvidenceCourse(logs, self._sums[np.newaxis].copy(), self._counts[np.newaxis].copy())

    @property
    def known(self) -> int:
        """Pairs that were foreseen."""
        return int(self._counts[kernels.KNOWN])

    @property
    def log_harm(self) -> float:
        """The natural logarithm of the evidence for harm; 0 before any event."""
        return float(kernels.log_held(self._wealth[kernels.HARM], self._scale[kernels.HARM]))

    @property
    def log_safety(self) -> float:
        """The same for "not worse by more than the margin"."""
        return float(kernels.log_held(self._wealth[kernels.SAFETY], self._scale[kernels.SAFETY]))

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
            "learnt": self._learnt.copy(),
        }

    @classmethod
    def load(cls, columns: Mapping[str, Column], classes: int = 0) -> PairedEvidence:
        """What `save` told, bit for bit; `classes` as it was made with."""
        share, offset, bound = (float(each) for each in columns["rules"])
        found = cls(Margin(share, offset), bound or None, classes)
        found._wealth = np.array(columns["wealth"], np.float64).reshape(2, -1)
        found._scale = np.array(columns["scale"], np.int64)
        found._sums = np.array(columns["sums"], np.float64)
        found._counts = np.array(columns["counts"], np.int64)
        found._learnt = np.array(columns.get("learnt", (0.0, 0.0)), np.float64)  # states of before know of none
        return found

    def _check(self, *columns: Floats) -> None:
        for column in columns:
            if len(column) != len(columns[0]):
                raise ValueError(f"columns are {', '.join(str(len(each)) for each in columns)} rows long")
            if not np.all(np.isfinite(column)):
                raise ValueError("a score or a label is not finite")
        if self.classes:
            self._check_classes(*columns)
            return
        if self.bound is None and any(np.any((scores < 0) | (scores > 1)) for scores in columns[:2]):
            raise ValueError("a chance is not in [0, 1]")

    def _check_classes(self, candidate: Floats, champion: Floats, labels: Floats | None = None) -> None:
        for scores in (candidate, champion):
            if scores.shape[1:] != (self.classes,):
                raise ValueError(f"chances of {scores.shape[1:]} classes, there are {self.classes}")
            if not are_chances(scores).all():
                raise ValueError("chances of a row are not in [0, 1], or do not add up to 1")
        if labels is not None and not np.isin(labels, np.arange(self.classes)).all():
            raise ValueError(f"a label is not the place of one of {self.classes} classes")
