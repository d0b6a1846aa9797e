"""Whether an incident harms a model, and of what kind it is: decided once an hour of event time, and then for good.

From the end of the hour in which a model's first column changed, what bets have won since is evidence. It is looked at
for the end of each hour that is over in both streams, the one that told of the incident and the one that tells of the
losses: so it does not matter which of them came first. An incident that is over is judged by the rows up to its end,
once these have labels.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np

from headrace.domain.drift.allowance import HOUR
from headrace.domain.drift.harm.loss_bets import SUMS, LossBets
from headrace.domain.drift.harm.loss_course import LossCourse
from headrace.domain.drift.reference_bins import Floats

Basis = Literal["labels", "estimate"]
Kind = Literal["concept", "covariate", "unknown"]
BASES: tuple[Basis, ...] = ("labels", "estimate")
KEPT = 32
"""Cases that are over and remembered, so that they are told again."""


@dataclass(frozen=True, slots=True)
class LossSums:
    """Rows of a span of time.

    Attributes:
        rows: how many.
        loss, error: their mean loss, and its standard error; NaN of none.
        expected: the mean loss that the reference had at their scores.
        rest_error: standard error of the difference of both.
    """

    rows: int
    loss: float
    error: float
    expected: float
    rest_error: float

    @classmethod
    def of(cls, sums: Floats) -> LossSums:
        """Of the first `SUMS` sums of a span."""
        rows, lost, squares, expected, rest_squares = sums[:SUMS].tolist()
        if rows < 1:
            return cls(0, *[float("nan")] * 4)
        mean, likely = lost / rows, expected / rows
        variance = max(squares / rows - mean**2, 0.0)
        rest = max(rest_squares / rows - (mean - likely) ** 2, 0.0)
        return cls(round(rows), mean, (variance / rows) ** 0.5, likely, (rest / rows) ** 0.5)


@dataclass(slots=True)
class Pursuit:
    """What one course says of a case.

    Attributes:
        base: sums at the hour from which on it counts; None before that is over.
        stream: whose rows these are, from then on.
        judged: end of the last hour that was looked at, milliseconds.
        harm, concept: end of the hour at which each was proved, milliseconds; None: it was not.
        forgotten: sums of that time are no longer remembered, so it can say nothing.
        over: all hours of the case were looked at.
        until: sums at the last hour of the case, once that is over.
    """

    base: list[float] | None = None
    stream: str | None = None
    judged: int | None = None
    harm: int | None = None
    concept: int | None = None
    forgotten: bool = False
    over: bool = False
    until: list[float] | None = None


@dataclass(slots=True)
class HarmCase:
    """One model's part in an incident.

    Attributes:
        stream, number: of the incident.
        model: identity of the model's package, name, version and digest.
        opened, ended: event times in milliseconds: of the model's first alarm in it, and of the incident's end.
        pursuits: by basis.
    """

    stream: str
    number: int
    model: tuple[str, str, str]
    opened: int
    ended: int | None = None
    pursuits: dict[Basis, Pursuit] = field(default_factory=lambda: {basis: Pursuit() for basis in BASES})

    @property
    def start(self) -> int:
        """The end of the hour in which it opened: evidence counts from there on."""
        return -(-self.opened // HOUR) * HOUR

    @property
    def stop(self) -> int | None:
        """The end of the hour in which it ended."""
        return None if self.ended is None else -(-self.ended // HOUR) * HOUR

    @property
    def over(self) -> bool:
        """Whether nothing more will follow from it."""
        return self.ended is not None and all(each.over for each in self.pursuits.values())

    def pursue(
        self, basis: Basis, stream: str, course: LossCourse, bets: LossBets, settled: int | None
    ) -> Iterator[HarmProof]:
        """Look at all hours that are over now; what is proved by them.

        Args:
            stream: of whose rows `course` is.
            settled: event time before which the stream that told of the incident is over.
        """
        found = self.pursuits[basis]
        if settled is None or course.settled is None or found.over or found.forgotten:
            return
        bound = min(settled, course.settled)
        if bound < self.start:
            return
        if found.base is None:
            base = course.before(self.start)
            found.forgotten = base is None
            if base is None:
                return
            found.base, found.judged, found.stream = base.tolist(), self.start, stream
        assert found.judged is not None, "it has a base"
        for end, sums in course.after(found.judged):
            if end > bound or (self.stop is not None and end > self.stop):
                break
            found.judged = end
            won = sums - np.array(found.base)
            concept = bets.concept(won) if basis == "labels" else 0.0
            if concept >= 1 and found.concept is None:
                found.concept = end
            harm = bets.harm(won)
            if harm >= 1 and found.harm is None:
                found.harm = end
                lost = LossSums.of(won)
                kind = self.kind(lost.rows, bets.enough) if basis == "labels" else "unknown"
                yield HarmProof(self, basis, end, harm, lost, bets, kind)
        if self.stop is not None and bound >= self.stop:
            found.over = True
            until = course.before(self.stop)
            found.until = None if until is None else until.tolist()

    def since(self, basis: Basis, course: LossCourse) -> Floats | None:
        """What was added to all sums since it counts, up to its end; None where it does not count yet."""
        found = self.pursuits[basis]
        if found.base is None:
            return None
        until = course.sums() if found.until is None else np.array(found.until)
        won: Floats = until - np.array(found.base)
        return won

    def kind(self, rows: int, enough: int | None) -> Kind:
        """What kind of change it is: of what is true of the same scores, or else of the rows alone.

        Args:
            rows: with labels since it opened; `enough` of them tell that the former is not, None: no number does.
        """
        if self.pursuits["labels"].concept is not None:
            return "concept"
        return "covariate" if enough is not None and rows >= enough else "unknown"

    def lose(self, basis: Basis, sums: Floats | None) -> None:
        """The losses of its model are followed no more; `sums`: of all rows up to then, None where nobody has them."""
        found = self.pursuits[basis]
        if found.base is None or sums is None:
            found.forgotten = not found.over
        elif not found.over:
            found.until = sums.tolist()
        found.over = True

    def dump(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(self)

    @classmethod
    def of(cls, said: Mapping[str, Any]) -> HarmCase:
        """What `dump` wrote."""
        pursuits = {basis: Pursuit(**said["pursuits"][basis]) for basis in BASES}
        name, version, digest = said["model"]
        return cls(said["stream"], said["number"], (name, version, digest), said["opened"], said["ended"], pursuits)


@dataclass(frozen=True, slots=True)
class HarmProof:
    """Harm was proved.

    Attributes:
        case: of what.
        basis: by which losses.
        reached: event time, the end of an hour, milliseconds.
        evidence: over its threshold.
        losses: of the rows since it opened.
        bets: with what it was held against.
        kind: of the change, as far as these rows tell; without labels nothing does.
    """

    case: HarmCase
    basis: Basis
    reached: int
    evidence: float
    losses: LossSums
    bets: LossBets
    kind: Kind


@dataclass(slots=True)
class HarmCases:
    """All cases of a pipeline, the oldest first."""

    cases: list[HarmCase] = field(default_factory=list)

    def opened(self, stream: str, number: int, model: tuple[str, str, str], time: int) -> None:
        """A model's columns changed: a case, unless it has part in that incident already."""
        if not any((each.stream, each.number, each.model) == (stream, number, model) for each in self.cases):
            self.cases.append(HarmCase(stream, number, model, time))
            self.cases.sort(key=lambda each: (each.opened, each.stream, each.number, each.model))

    def closed(self, stream: str, number: int, time: int) -> None:
        """An incident is over."""
        for each in self.cases:
            if (each.stream, each.number, each.ended) == (stream, number, None):
                each.ended = max(time, each.opened)

    def prune(self) -> None:
        """Forget the oldest of those that are over, beyond `KEPT`; of those whose labels never came, beyond twice."""
        for done, most in (([each for each in self.cases if each.over], KEPT), (self._ended(), 2 * KEPT)):
            gone = done[: max(len(done) - most, 0)]
            self.cases = [each for each in self.cases if not any(each is old for old in gone)]

    def _ended(self) -> list[HarmCase]:
        return [each for each in self.cases if each.ended is not None]

    def dump(self) -> list[dict[str, Any]]:
        """As JSON has it."""
        return [each.dump() for each in self.cases]

    @classmethod
    def of(cls, said: Sequence[Mapping[str, Any]]) -> HarmCases:
        """What `dump` wrote."""
        return cls([HarmCase.of(each) for each in said])
