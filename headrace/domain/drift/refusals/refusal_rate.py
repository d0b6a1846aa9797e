"""How often records of a topic are refused for one reason: alarms when it is more often than it was.

Refusals alone are told, each with how many records of its partition passed since the one before: the gap. As long as
one record in 1/p is refused, whatever the others are like, gaps have a geometric distribution, and a bet on the share q
pays for a gap of g

    (q / p) ((1 - q) / (1 - p))^g,

whose mean is 1 at most wherever the share is p or less. So p is an upper bound of the share in the reference, the first
`LEARNT` records or more, by Chernoff's inequality (99 references in 100 have one below it), and nothing else has to be
taken away for what the reference does not know. Bets are on shares above p alone: that less is refused is no defect.

The gap that ends when a change begins is long, in every partition; a bet keeps `HELD` of what is laid on it whatever
the gap is, so that it is not ruined by these. What passed since some time is taken from a gap by how much of it came
after that.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from headrace.columnar.packing import Column, json_column, json_of
from headrace.domain.drift.alarms import Alarm, ColumnChange, ColumnStanding, DriftEnd
from headrace.domain.drift.allowance import HOUR, LONGEST, MONTH
from headrace.domain.drift.recent_events import ChangePoint
from headrace.domain.drift.reference_bins import Bytes, Floats, Ints
from headrace.domain.drift.refusals.share_bound import upper_bound

REFUSED = "refused"
"""The one column."""
LEARNT = 5_000
"""Records that a reference is made of, at least."""
MOST_LEARNT = 50_000
"""Of a gap, the most that counts as reference: refusals that are rarer than that are not watched more closely."""
FIRST = LONGEST / MONTH
"""What the first refusal that is judged stands for: nobody has measured the time in which none was refused."""
TIMES = (2.0, 6.0, 20.0, 60.0)
"""How many times the bound the bets are on: so much is the most that a refusal pays, so one or two are no change."""
MOST_SHARE = 0.9
"""None is on more than that."""
HELD = 0.3
CALM = 7.0
"""Logarithm of how much likelier the bound must be than what the best bet was on, for a change to be over."""
REMEMBERED = 256
"""Refusals that are remembered, for when a change began."""
MOST = 1e100


class _Refusal(NamedTuple):
    """When a record was written that was refused; its gap, and how long that took, milliseconds: negative, unknown."""

    time: int
    gap: float
    span: float

    def since(self, time: int) -> float:
        """The part of the gap that came later than a time."""
        if self.span <= self.time - time:
            return self.gap if self.span >= 0 else 0.0
        return self.gap * max(self.time - time, 0) / self.span


class RefusalRate:
    """A pure fold of the refusals of one topic for one reason, in their order.

    Args:
        threshold: what the evidence must reach: expected alarms are what is begun in all, over it.

    Attributes:
        events: refusals so far.
        evidence: over the threshold: 1 is an alarm.
    """

    def __init__(self, threshold: float) -> None:
        self.threshold = threshold
        self.events = 0
        self.evidence = 0.0
        self._known = [0.0, 0.0]
        self._bound = 0.0
        self._sums = [0.0] * len(TIMES)
        self._silent = False
        self._against, self._calm = 0.0, 0.0
        self._alarmed = 0
        self._recent: list[_Refusal] = []
        self._course: dict[int, float] = {}

    # ---- refusals come in ----------------------------------------------------------------------------------------

    def fold(self, places: Bytes, values: Floats, times: Ints, begun: Floats) -> Iterator[Alarm | DriftEnd]:
        """Take refusals in, in their order; what follows from them as it does.

        Args:
            places: nothing.
            values: float64, refusals x 2: records of the partition that passed since the one before, and milliseconds
                since that; -1 where there is none.
            times: int64, when each record was written, milliseconds.
            begun: float64, see `EDetector.advance`.
        """
        for (gap, span), time, part in zip(values.tolist(), times.tolist(), begun.tolist(), strict=True):
            self.events += 1
            if self._bound == 0.0:
                self._learn(gap)
                if self._bound == 0.0:
                    continue
                gap, part = 0.0, FIRST
            self._recent = [*self._recent[1 - REMEMBERED :], _Refusal(time, gap, span)]
            yield from self._over(self._recent[-1])
            if not self._silent:
                yield from self._advance(gap, time, part)

    def _learn(self, gap: float) -> None:
        """Take a gap into the reference; once that is enough, the refusal behind it is the first that is judged."""
        self._known[0] += min(gap, MOST_LEARNT)
        if sum(self._known) < LEARNT:
            self._known[1] += 1
        else:
            self._bound = upper_bound(int(self._known[1]), int(sum(self._known)))

    def _advance(self, gap: float, time: int, begun: float) -> Iterator[Alarm]:
        for at, share in enumerate(self._shares()):
            self._sums[at] = min((self._sums[at] + begun) * _pays(share, self._bound, gap), MOST)
        self.evidence = sum(self._sums) / len(TIMES) / self.threshold
        hour = time // HOUR * HOUR
        self._course[hour] = max(self._course.get(hour, 0.0), self.evidence)
        if self.evidence >= 1.0:
            yield self._alarm(time)

    def _alarm(self, time: int) -> Alarm:
        self._against = self._shares()[max(range(len(TIMES)), key=self._sums.__getitem__)]
        began = self._began()
        share = self._share(began.time)
        bet = f"{self._against:.2%} of records, above {self._bound:.2%}"
        told = np.array([1 - share, share])
        found = Alarm(
            self.events, time, self.evidence, (ColumnChange(REFUSED, 1.0, bet, began, self._reference(), told, None),)
        )
        self._silent, self._alarmed, self._calm = True, time, 0.0
        self._sums, self.evidence = [0.0] * len(TIMES), 0.0
        return found

    def _began(self) -> ChangePoint:
        """The beginning of the newest refusals that the best bet won most by."""
        pays = [_pays(self._against, self._bound, each.gap) for each in reversed(self._recent)]
        back = int(np.argmax(np.cumsum(np.log(pays)))) + 1
        return ChangePoint(self._recent[-back].time, back, back == REMEMBERED)

    def _shares(self) -> list[float]:
        return [min(times * self._bound, max(MOST_SHARE, self._bound)) for times in TIMES]

    # ---- a change is over ----------------------------------------------------------------------------------------

    def _over(self, refusal: _Refusal) -> Iterator[DriftEnd]:
        """Wald's test of the bound against what the best bet was on, since the alarm, from its likeliest beginning."""
        if not self._silent:
            return
        self._calm += refusal.since(self._alarmed) * self._per_record()
        if self._calm >= CALM:
            yield self._ended(refusal.time)
        self._calm = max(self._calm - math.log(self._against / self._bound), 0.0)

    def _per_record(self) -> float:
        """By how much a record that passes speaks for the bound, as a logarithm."""
        return math.log((1 - self._bound) / (1 - self._against))

    def passed(self, records: float) -> Iterator[DriftEnd]:
        """So many records passed in each partition since somebody heard of the newest refusal."""
        if self._silent and self._calm + records * self._per_record() >= CALM:
            yield self._ended(self._recent[-1].time)

    def _ended(self, time: int) -> DriftEnd:
        self._silent, self._calm = False, 0.0
        return DriftEnd(self.events, time, (REFUSED,))

    def begin_anew(self, columns: Sequence[str]) -> None:
        """Somebody knows of a change, and takes it for what is usual: the next records are the reference."""
        self._silent, self._bound, self._known = False, 0.0, [0.0, 0.0]

    # ---- what it knows -------------------------------------------------------------------------------------------

    def _share(self, began: int) -> float:
        """The share that was refused since the first of those that are remembered and not older."""
        recent = [each for each in self._recent if each.time >= began]
        passed = sum(each.since(began) for each in recent)
        return len(recent) / (len(recent) + passed) if recent else 0.0

    def _reference(self) -> Floats:
        records = max(sum(self._known), 1.0)
        return np.array([self._known[0] / records, self._known[1] / records])

    def course(self) -> list[tuple[int, float]]:
        """See `ModelMonitor`."""
        found = sorted(self._course.items())
        self._course = dict(found[-1:])
        return found

    def whole(self) -> ColumnStanding:
        """See `ModelMonitor`."""
        none = np.empty(0)
        return ColumnStanding("", self.evidence, self.events, None, self._silent, 0.0, none, none, None)

    def standing(self) -> list[ColumnStanding]:
        """See `ModelMonitor`."""
        if self._bound == 0.0:
            none, learnt = np.empty(0), int(sum(self._known))
            return [ColumnStanding(REFUSED, 0.0, self.events, learnt, False, 0.0, none, none, None)]
        share = self._share(self._recent[0].time)
        recent = np.array([1 - share, share])
        known = np.maximum(self._reference(), 0.5 / sum(self._known))
        there = recent > 0
        divergence = max(float(np.sum(recent[there] * np.log(recent[there] / known[there]))), 0.0)
        return [
            ColumnStanding(
                REFUSED, self.evidence, self.events, None, self._silent, divergence, self._reference(), recent, None
            )
        ]

    def save(self) -> dict[str, Column]:
        """All of it as columns, for `packing.pack`."""
        said = {name: value for name, value in vars(self).items() if name != "threshold"}
        said["_course"] = sorted(self._course.items())
        return {"said": json_column(said)}

    def load(self, columns: Mapping[str, Column]) -> bool:
        """Take over what `save` gave; always true, see `Monitor`."""
        said: dict[str, Any] = json_of(columns["said"])
        said["_course"] = dict(said["_course"])
        said["_recent"] = [_Refusal(*each) for each in said["_recent"]]
        vars(self).update(said)
        return True


def _pays(share: float, bound: float, gap: float) -> float:
    """What a bet on a share pays for a gap."""
    won = math.log(share / bound) + gap * math.log((1 - share) / (1 - bound)) if share > bound else 0.0
    return HELD + (1 - HELD) * math.exp(won)
