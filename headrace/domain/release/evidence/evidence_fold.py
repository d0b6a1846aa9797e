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
- Partitions that stay at their end are not waited for, once they are proven to have told what was written by then (see
  `SourceMarks`). When all do, stream time goes to where the furthest was. What one tells later than that makes late
  pairs; then alone the order depends on who came first.

Evidence of a pair begins with the outcomes that are not told yet when it is named, and goes on whatever the part (arm)
that the candidate plays. Looks are at whole steps of stream time, so they are the same wherever batches are cut.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from headrace.columnar import packing
from headrace.domain.release.evidence.evidence_looks import EvidenceLooks, PairLooks, PairStanding
from headrace.domain.release.evidence.outcome_rows import Ints, OutcomeRows
from headrace.domain.release.evidence.pair_table import PAIRS, PairTable, Steps
from headrace.domain.release.evidence.waiting_rows import WaitingRows
from headrace.domain.release.margin import Margin
from headrace.domain.release.paired_evidence import PairedEvidence
from headrace.errors import ContractError
from headrace.streaming.watermarks.event_time import EARLIEST, NEVER
from headrace.streaming.watermarks.source_marks import UNSEEN, SourceMarks
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


class _Pair:
    """A question with its evidence."""

    def __init__(self, number: int, question: EvidenceQuestion, evidence: PairedEvidence) -> None:
        self.number, self.question, self.evidence = number, question, evidence
        self.most = np.zeros(2)
        self.answers = NEVER, NEVER

    def follow(self, steps: Steps) -> PairLooks:
        """Take its steps in; how it stands at each look. Before the first event that the candidate answered alone, bets
        are shared out anew.
        """
        due, done = self.answers
        course, rebalanced = self.evidence.follow(
            steps.rows, steps.looks, self.number, self.most, due if due != done else None, steps.answers
        )
        if rebalanced:
            self.answers = due, due
        return PairLooks(course, steps.tallies[:, self.number])

    def standing(self, tallies: Ints) -> PairLooks:
        """How it stands, with what is counted of it."""
        return PairLooks(self.evidence.course(self.most), tallies[np.newaxis].copy())


def _asked(name: str, pair: _Pair) -> tuple[str, int, str, str, int]:
    question = pair.question
    return name, pair.number, question.candidate, question.baseline, question.since


class EvidenceFold:
    """See the module.

    Args:
        every: milliseconds of stream time from one look to the next.
        patience: milliseconds of stream time for which the other half of a mature event is waited for.
        most: events that wait at once; rows of further ones are left out, and counted.
        chances: whether models tell chances.
        classes: of the models; 0 where they tell a chance, or a value. The more there are, the fewer events wait.

    Attributes:
        corrected: by digest, corrections of outcomes that changed nothing.
        repeated: by digest, predictions that came again.
    """

    def __init__(
        self, every: int = EVERY, patience: int = HOUR, most: int = MOST, chances: bool = True, classes: int = 0
    ) -> None:
        self._marks = SourceMarks()
        self._table = PairTable(every, patience, most // max(classes // 4, 1), chances, classes)
        self._chances, self._classes = chances, classes
        self._waiting = WaitingRows(classes)
        self._pairs: dict[str, _Pair] = {}
        self._models: dict[str, int] = {}
        self.corrected: dict[str, int] = {}
        self.repeated: dict[str, int] = {}

    def __len__(self) -> int:
        """Rows and events that wait."""
        return len(self._waiting) + len(self._table)

    @property
    def reached(self) -> int:
        """Stream time, milliseconds; NEVER before there is any."""
        return self._table.reached

    @property
    def behind(self) -> bool:
        """Whether outcomes that were told, or stream time, wait for partitions of outcomes."""
        return self._marks.behind

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
        pair = _Pair(free[0], question, PairedEvidence(question.margin, question.bound, self._classes))
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
            self._waiting.forget(number)

    def answers_from(self, name: str, time: int) -> None:
        """The candidate of a question answers all events from an event time on, milliseconds: what it did before says
        less of it. Bets on harm are shared out anew before the first of these that is taken in, once for each time.

        Rows that were taken up already are not gone back to. Nothing happens where it is not asked.
        """
        pair = self._pairs.get(name)
        if pair is not None:
            pair.answers = time, pair.answers[1]

    def standing(self, name: str) -> PairStanding:
        """How it stands now. Raises KeyError where it is not asked."""
        return self.look([name]).pairs[name].standing(0)

    def look(self, names: Sequence[str]) -> EvidenceLooks:
        """A look at how some questions stand now, without offsets. Raises KeyError where one is not asked."""
        pairs = {name: self._pairs[name] for name in names}
        standings = {name: pair.standing(self._table.tallies[pair.number]) for name, pair in pairs.items()}
        return EvidenceLooks(np.array([self.reached]), np.zeros((1, 0), np.int64), standings)

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
        seen: int = UNSEEN,
    ) -> Iterator[EvidenceLooks]:
        """Take up what a partition of outcomes tells; the looks that follow, in order.

        Args:
            source: the partition.
            next_offset: its rows below this are told; what was told before is left out.
            progress: before which event time all its outcomes are told, the year 1 while that is not known; of an idle
                one, the furthest that it knows of.
            partitions: how many there are.
            digests: of the models that rows name by number.
            seen: by the clock, when it was last seen at its end, or when these rows were sent on (see `SourceMarks`).
        """
        self._marks.grow(max(partitions, source + 1))
        known = self._marks.take(source, next_offset, NEVER if progress <= EARLIEST else progress, idle, seen)
        if known is None:
            return
        told = rows.score.shape[1] if rows.score.ndim > 1 else 0
        if len(rows) and told != self._classes:
            raise ContractError(f"outcomes of {told} classes, and the pipeline file has {self._classes}")
        numbers = np.array([self._models.get(digest, -1) for digest in digests], np.int64)
        if len(rows) and (numbers >= 0).any():
            self._waiting.add(rows, numbers, known)
        bound = self._marks.bound()
        if bound is not None:
            yield from self._followed(bound, self._marks.furthest() if bound == ALWAYS else bound)

    def _followed(self, bound: int, until: int) -> Iterator[EvidenceLooks]:
        """Rows whose turn it is, then stream time."""
        for steps in self._table.take(self._waiting.parts, bound, until):
            looks = {name: pair.follow(steps) for name, pair in self._pairs.items()}
            if len(steps.looks):
                yield EvidenceLooks(steps.rows["time"][steps.looks], steps.offsets, looks)
        self._waiting.settle()

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
            "pairs": [[*_asked(name, pair), pair.most.tolist(), pair.answers] for name, pair in self._pairs.items()],
            **({"classes": self._classes} if self._classes else {}),
        }
        waiting = self._waiting.rows().columns()
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
        if (then := said.get("classes", 0)) != self._classes:
            raise ContractError(
                f"state snapshot: evidence of {then} classes, and the pipeline file has {self._classes} now: change "
                "the file back, or give the pipeline another name"
            )
        self._marks.load(packing.beneath(columns, "marks."), partitions)
        self._waiting.load(OutcomeRows.of(packing.beneath(columns, "waiting."), self._classes))
        self._table.load(packing.beneath(columns, "table."))
        self._models = {digest: int(number) for digest, number in said["models"].items()}
        self.corrected, self.repeated = dict(said["corrected"]), dict(said["repeated"])
        for name, number, candidate, baseline, since, most, *answers in said["pairs"]:
            evidence = PairedEvidence.load(packing.beneath(columns, f"evidence.{number}."), self._classes)
            question = EvidenceQuestion(candidate, baseline, evidence.margin, evidence.bound, since)
            self._pairs[name] = _Pair(number, question, evidence)
            self._pairs[name].most[:] = most
            for due, done in answers:  # states of before have none
                self._pairs[name].answers = due, done
