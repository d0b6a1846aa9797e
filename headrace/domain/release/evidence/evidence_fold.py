"""What outcomes of all partitions say for and against candidates: one fold, whoever read which outcomes, and when.

Outcomes come as labels do: those of one kind may be reported first, and where silence means something, it comes last.
So an event is taken in once it is mature, in the order of event time: `labels` tells beside each outcome up to which
event time all have theirs. Rows are brought into one order that follows from them alone (see `SourceMarks`): by how far
maturity had come in their partition before each. Stream time is how far it has come in all partitions.

- A row whose event is not mature waits. Where both models have answered, their pair of scores is known (`foresee`).
- As stream time passes an event, its pair is taken in with the label that the event's first row had. One that has no
  label by then is counted, and left out.
- A model that answers later, within `patience`, makes a late pair: it is taken in when it comes. Nothing but the lag of
  a dark model decides on that, so it says nothing on labels.
- What never met is counted when it is given up: answers of the candidate alone, of the baseline alone.
- Corrections change nothing: the first outcome counts. Of a model that answers an event twice, as canary and as
  challenger, the first answer counts.
- Partitions that stay at their end are not waited for. When all do, stream time goes to where the furthest was. What is
  told later by one that was left behind makes late pairs; then alone the order depends on who came first.

Evidence of a pair begins with the outcomes that are not told yet when it is named, and goes on whatever the part (arm)
that the candidate plays. Looks are at whole steps of stream time, so they are the same wherever batches are cut.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from headrace.columnar import packing
from headrace.domain.release.evidence.outcome_rows import Ints, OutcomeRows
from headrace.domain.release.evidence.pair_table import PAIRS, PairTable, Steps
from headrace.domain.release.margin import Margin
from headrace.domain.release.paired_evidence import PairedEvidence, PairedMoments
from headrace.errors import ContractError
from headrace.streaming.watermarks.event_time import EARLIEST, NEVER
from headrace.streaming.watermarks.source_marks import SourceMarks
from headrace.streaming.watermarks.sources import ALWAYS

MINUTE, HOUR = 60_000, 3_600_000
EVERY = 5 * MINUTE
"""Of stream time, from one look to the next."""
MOST = 2_000_000
"""Events at once: 200 MB, about."""


@dataclass(frozen=True, slots=True)
class EvidenceQuestion:
    """What is asked of two models.

    Attributes:
        candidate, baseline: digests of their packages, two different ones.
        margin: by how much the candidate may lose more.
        bound: of values: the squared error beyond which all errors count alike; None: scores are chances.
        since: event time from which events count, milliseconds; later than what either was fitted on.
    """

    candidate: str
    baseline: str
    margin: Margin
    bound: float | None = None
    since: int = EARLIEST


@dataclass(frozen=True, slots=True)
class PairStanding:
    """How the evidence on two models stands.

    Attributes:
        log_harm, log_safety: natural logarithms of the evidence that the candidate loses more by more than the margin,
            and that it does not.
        most_harm, most_safety: the largest that each ever was: what ever reached 1 / alpha has.
        moments: what the events that were taken in say.
        known: pairs of scores that are known, mature or not.
        late: pairs that came when their event was mature already.
        unlabelled: pairs whose event matured without a label.
        alone: events that the candidate answered and the baseline did not.
        baseline_alone: the other way round.
        unusable: pairs with a score that is no chance.
    """

    log_harm: float
    log_safety: float
    most_harm: float
    most_safety: float
    moments: PairedMoments
    known: int
    late: int
    unlabelled: int
    alone: int
    baseline_alone: int
    unusable: int


@dataclass(frozen=True, slots=True)
class EvidenceLook:
    """How all evidence stands when stream time reached a step.

    Attributes:
        time: event time before which all events are mature, milliseconds.
        offsets: by partition of outcomes, the offset after the newest row that was taken up.
        standings: by the name of the question.
    """

    time: int
    offsets: Mapping[int, int]
    standings: Mapping[str, PairStanding]


class _Pair:
    """A question with its evidence."""

    def __init__(self, number: int, question: EvidenceQuestion, evidence: PairedEvidence) -> None:
        self.number, self.question, self.evidence = number, question, evidence
        self.most = [0.0, 0.0]

    def follow(self, steps: Steps) -> list[PairStanding]:
        """Take its steps in; how it stands at each look."""
        mine = np.flatnonzero(steps.pair == self.number)
        looks = np.searchsorted(mine, steps.looks)
        if not len(mine) and len(looks):
            now, tallies = self.standing(steps.tallies[0, self.number]), steps.tallies[:, self.number]
            if (tallies == tallies[0]).all():
                return [now] * len(looks)
        course = self.evidence.follow(steps.candidate[mine], steps.baseline[mine], steps.label[mine], looks)
        most = [
            np.maximum(np.maximum.accumulate(each), last) for each, last in zip(course.traces, self.most, strict=True)
        ]
        self.most = [float(each[-1]) for each in most]
        return [
            PairStanding(
                float(course.harm[at]),
                float(course.safety[at]),
                float(most[0][at]),
                float(most[1][at]),
                course.moments(look),
                course.known(look),
                *steps.tallies[look, self.number].tolist(),
            )
            for look, at in enumerate(looks.tolist())
        ]

    def standing(self, tallies: Ints) -> PairStanding:
        """How it stands, with what is counted of it."""
        evidence, (harm, safety) = self.evidence, self.most
        counts = tallies.tolist()
        held = evidence.log_harm, evidence.log_safety
        return PairStanding(*held, harm, safety, evidence.moments, evidence.known, *counts)


class EvidenceFold:
    """See the module.

    Args:
        every: milliseconds of stream time from one look to the next.
        patience: milliseconds of stream time for which the other half of a mature event is waited for.
        most: events that wait at once; rows of further ones are left out, and counted.
        chances: whether models tell chances.

    Attributes:
        corrected: by digest, corrections of outcomes that changed nothing.
        repeated: by digest, predictions that came again.
    """

    def __init__(self, every: int = EVERY, patience: int = HOUR, most: int = MOST, chances: bool = True) -> None:
        self._marks = SourceMarks()
        self._table = PairTable(every, patience, most, chances)
        self._chances = chances
        self._waiting: list[OutcomeRows] = []
        self._pairs: dict[str, _Pair] = {}
        self._models: dict[str, int] = {}
        self.corrected: dict[str, int] = {}
        self.repeated: dict[str, int] = {}

    def __len__(self) -> int:
        """Rows and events that wait."""
        return sum(map(len, self._waiting)) + len(self._table)

    @property
    def reached(self) -> int:
        """Stream time, milliseconds; NEVER before there is any."""
        return self._table.reached

    @property
    def counts(self) -> dict[str, int]:
        """See `PairTable.counts`."""
        return self._table.counts

    # ---- questions -----------------------------------------------------------------------------------------------

    def begin(self, name: str, question: EvidenceQuestion) -> dict[int, int]:
        """Ask something from here on; by partition of outcomes, the offset from which rows count.

        Raises ValueError where the name is asked already, both models are one, or there are too many questions.
        """
        if name in self._pairs:
            raise ValueError(f"{name} is asked already")
        if question.candidate == question.baseline:
            raise ValueError("a model is not compared with itself")
        if (question.bound is None) != self._chances:
            raise ValueError("values need a bound of squared errors, and chances have none")
        free = sorted({*range(PAIRS)} - {pair.number for pair in self._pairs.values()})
        if not free:
            raise ValueError(f"more than {PAIRS} pairs of models")
        pair = _Pair(free[0], question, PairedEvidence(question.margin, question.bound))
        self._pairs[name] = pair
        candidate, baseline = self._number(question.candidate), self._number(question.baseline)
        begins = np.maximum(self._marks.next_offset, 0)
        self._table.watch(pair.number, candidate, baseline, begins, question.since)
        return dict(enumerate(begins.tolist()))

    def end(self, name: str) -> None:
        """Ask it no more; nothing happens where it is not asked."""
        pair = self._pairs.pop(name, None)
        if pair is None:
            return
        self._table.unwatch(pair.number)
        used = {digest for each in self._pairs.values() for digest in (each.question.candidate, each.question.baseline)}
        for digest in [each for each in self._models if each not in used]:
            number = self._models.pop(digest)
            self._table.forget(number)
            kept = [rows.take(rows.model != number) for rows in self._waiting]
            self._waiting = [rows for rows in kept if len(rows)]

    def standing(self, name: str) -> PairStanding:
        """How it stands now. Raises KeyError where it is not asked."""
        pair = self._pairs[name]
        return pair.standing(self._table.tallies[pair.number])

    def _number(self, digest: str) -> int:
        if digest not in self._models:
            free = sorted({*range(len(self._models) + 1)} - {*self._models.values()})
            self._models[digest] = free[0]
        return self._models[digest]

    # ---- outcomes ------------------------------------------------------------------------------------------------

    def take(
        self,
        source: int,
        next_offset: int,
        progress: int,
        idle: bool,
        partitions: int,
        digests: Sequence[str],
        rows: OutcomeRows,
    ) -> Iterator[EvidenceLook]:
        """Take up what a partition of outcomes tells; the looks that follow, in order.

        Args:
            source: the partition.
            next_offset: its rows below this are told; what was told before is left out.
            progress: before which event time all its outcomes are told, the year 1 while that is not known; of an idle
                one, the furthest that it knows of.
            partitions: how many there are.
            digests: of the models that rows name by number.
        """
        self._marks.grow(max(partitions, source + 1))
        known = self._marks.take(source, next_offset, NEVER if progress <= EARLIEST else progress, idle)
        if known is None:
            return
        fresh = self._of_ours(digests, rows.take(rows.offset >= known))
        if len(fresh):
            self._waiting.append(fresh)
        bound = self._marks.bound()
        if bound is None:
            return
        yield from self._followed(*self._due(bound), self._marks.furthest() if bound == ALWAYS else bound)

    def _of_ours(self, digests: Sequence[str], rows: OutcomeRows) -> OutcomeRows:
        """Rows of models that are asked about, with our numbers of them."""
        numbers = np.array([self._models.get(digest, -1) for digest in digests], np.int64)
        if not len(rows) or (numbers < 0).all():
            return rows.take(slice(0, 0))
        found = replace(rows, model=numbers[rows.model])
        return found if (numbers >= 0).all() else found.take(found.model >= 0)

    def _due(self, bound: int) -> tuple[OutcomeRows, Ints]:
        """Rows whose turn it is, and their order."""
        due, rest = [], []
        self._waiting.sort(key=lambda rows: (int(rows.source[0]), int(rows.offset[0])))
        for rows in self._waiting:  # each of one partition: its progress never falls
            ready = int(np.searchsorted(rows.progress, bound))
            due.append(rows.take(slice(0, ready)))
            if ready < len(rows):
                rest.append(rows.take(slice(ready, None)))
        self._waiting = rest
        found = OutcomeRows.joined(due)
        return found, np.argsort(found.progress, kind="stable")

    def _followed(self, rows: OutcomeRows, order: Ints, bound: int) -> Iterator[EvidenceLook]:
        for steps in self._table.take(rows, order, bound):
            standings = {name: pair.follow(steps) for name, pair in self._pairs.items()}
            for look, at in enumerate(steps.looks.tolist()):
                yield EvidenceLook(
                    int(steps.time[at]),
                    {source: offset for source, offset in enumerate(steps.offsets[look].tolist()) if offset},
                    {name: each[look] for name, each in standings.items()},
                )

    def count(self, digests: Sequence[str], corrected: Sequence[int], repeated: Sequence[int]) -> None:
        """Corrections and repeats that a partition tells of beside its rows, by model; those of ours are counted."""
        for digest, corrections, repeats in zip(digests, corrected, repeated, strict=True):
            if digest in self._models:
                self.corrected[digest] = self.corrected.get(digest, 0) + corrections
                self.repeated[digest] = self.repeated.get(digest, 0) + repeats

    # ---- state ---------------------------------------------------------------------------------------------------

    def save(self) -> dict[str, packing.Column]:
        """The state as columns."""
        said = {
            "models": self._models,
            "corrected": dict(sorted(self.corrected.items())),
            "repeated": dict(sorted(self.repeated.items())),
            "pairs": [
                [name, pair.number, pair.question.candidate, pair.question.baseline, pair.question.since, pair.most]
                for name, pair in self._pairs.items()
            ],
        }
        rows = OutcomeRows.joined(self._waiting)
        waiting = rows.take(np.lexsort((rows.offset, rows.source))).columns()
        found: dict[str, packing.Column] = {"said": packing.json_column(said)}
        found |= {f"marks.{name}": column for name, column in self._marks.columns().items()}
        found |= {f"waiting.{name}": column for name, column in waiting.items()}
        found |= {f"table.{name}": column for name, column in self._table.columns().items()}
        for pair in self._pairs.values():
            found |= {f"evidence.{pair.number}.{name}": column for name, column in pair.evidence.save().items()}
        return found

    def load(self, columns: Mapping[str, packing.Column], partitions: int) -> None:
        """Take over what `save` gave, in a fold that has taken nothing yet.

        Args:
            partitions: of outcomes, now. Raises ContractError when there are fewer than then, or columns are missing.
        """
        try:
            self._load(columns, partitions)
        except KeyError as error:
            raise ContractError(f"state snapshot: no evidence of releases, it lacks {error}") from None

    def _load(self, columns: Mapping[str, packing.Column], partitions: int) -> None:
        said: dict[str, Any] = packing.json_of(columns["said"])
        self._marks.load(packing.beneath(columns, "marks."), partitions)
        rows = OutcomeRows.of(packing.beneath(columns, "waiting."))
        self._waiting = [rows.take(rows.source == source) for source in np.unique(rows.source)]
        self._table.load(packing.beneath(columns, "table."))
        self._models = {digest: int(number) for digest, number in said["models"].items()}
        self.corrected, self.repeated = dict(said["corrected"]), dict(said["repeated"])
        for name, number, candidate, baseline, since, most in said["pairs"]:
            evidence = PairedEvidence.load(packing.beneath(columns, f"evidence.{number}."))
            question = EvidenceQuestion(candidate, baseline, evidence.margin, evidence.bound, since)
            self._pairs[name] = _Pair(number, question, evidence)
            self._pairs[name].most = list(most)
