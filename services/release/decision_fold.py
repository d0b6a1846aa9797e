"""What follows from the parts, one after the other: entries of the ledger, decisions, and plans.

A decision that changes the plan is an attempt: it, its entries and the plan are written in one transaction, or none of
it is, where somebody else has written a plan that it was not made from. Which of the two came true is told by the next
record of plans, and only by that: it is ours, or it is not. Until then what comes waits; then the fold goes on from the
state with the decision, or from the one before it, with the same cause once more upon the plan of the other. So the
fold follows from the parts alone, though people and the machine race for the plan.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from headrace.domain.control.events import ControlEvent
from headrace.domain.ledger.chain import LedgerChain
from headrace.domain.ledger.entry import BEGINNING, LedgerEntry, LedgerRecord
from headrace.domain.ledger.sources import CONTROL, PLANS, SOURCES, record_of
from headrace.domain.pipeline.release.spec import Release
from headrace.domain.records.release_parts import OUTCOMES, content_of
from headrace.domain.release.fold import ReleaseDecision
from headrace.domain.release.inputs import ReleaseInput, StreamTime
from headrace.domain.release.looks import rows_of_looks
from headrace.domain.release.machine import decide
from headrace.domain.release.states import ReleaseState
from headrace.errors import ContractError
from headrace.streaming.watermarks.event_time import EARLIEST
from services.release.machine_inputs import event_told, plan_in, plan_seen
from services.release.paired_outcomes import PairedOutcomes, outcomes_content

ACTOR = "release"
NEEDED: Mapping[str, Sequence[str]] = {CONTROL: ("type", "time", "actor"), PLANS: ("time", "actor")}
"""What every record of a source has that the ledger tells."""


@dataclass(frozen=True, slots=True)
class FoldState:
    """What is known.

    Attributes:
        number, head: of the ledger's last entry, and its hash.
        plan_offset: of the newest record of plans that was taken in; -1 before any.
        own: digests of decisions that have their entries and do not stand among the parts yet.
        machine: releases.
    """

    number: int
    head: str
    plan_offset: int
    own: tuple[str, ...]
    machine: ReleaseState


@dataclass(frozen=True, slots=True)
class FoldAnswer:
    """What is to be written, together.

    Attributes:
        events: control events, as rows.
        plans: as rows; only where nothing lies on plans behind the offset `after`, else nothing of it is written.
    """

    entries: Sequence[LedgerEntry]
    events: Sequence[Mapping[str, Any]] = ()
    plans: Sequence[Mapping[str, Any]] = ()
    after: int = -1


@dataclass(frozen=True, slots=True)
class PartRecord:
    """A part: a record of control or plans, or what outcomes tell.

    `entered`: it was taken up before, and is there to be answered again.
    """

    source: str
    partition: int
    offset: int
    content: Mapping[str, Any]
    entered: bool = False

    @property
    def record(self) -> LedgerRecord:
        """As the ledger has it. Raises KeyError where it lacks what all of its topic have."""
        return record_of(self.source, self.partition, self.offset, self.content)


@dataclass(frozen=True, slots=True)
class PlanAttempt:
    """A change of the plan on its way.

    Attributes:
        before: what was known before the decision; `after`: with it.
        cause: what led to it.
        digests: of the plans, the first of those that have not come yet first.
        won: whether one of them came.
    """

    before: FoldState
    after: FoldState
    cause: PartRecord
    digests: tuple[str, ...]
    won: bool = False


def part_record(part: Mapping[str, Any]) -> PartRecord:
    """What a part tells. Raises ContractError where nobody of ours wrote it."""
    source = part["source"]
    content = outcomes_content(part) if source == OUTCOMES else content_of(part)
    found = PartRecord(source, part["source_partition"], part["next_offset"] - 1, content)
    if source not in (*SOURCES, OUTCOMES):
        raise ContractError(f"it tells of {source}")
    missing = [name for name in NEEDED.get(source, ()) if name not in content]
    if missing:
        raise ContractError(f"a record of {source} has no {missing[0]!r}")
    return found


class DecisionFold:
    """The fold of the parts of a pipeline.

    Args:
        pipeline: its name.
        rules: of the pipeline file.
        chances: whether models tell chances, and not values.
        classes: of the models; 0 where they tell a single number.

    Attributes:
        state: what is known.
        evidence: what outcomes say of the release that is active.
        attempt: a change of the plan on its way.
        queue: parts that wait for what becomes of it.
    """

    def __init__(self, pipeline: str, rules: Release, chances: bool = True, classes: int = 0) -> None:
        self._pipeline = pipeline
        self._rules = rules
        self.state = FoldState(0, BEGINNING, -1, (), ReleaseState(pipeline))
        self.evidence = PairedOutcomes(rules, chances, classes)
        self.attempt: PlanAttempt | None = None
        self.queue: list[PartRecord] = []

    def take(self, record: PartRecord) -> list[FoldAnswer]:
        """Take a part in; what is to be written, in order."""
        self.queue.append(record)
        told: list[FoldAnswer] = []
        while self.queue:
            at = 0
            if self.attempt is not None:  # The next record of plans says what became of it; all else waits.
                at = next((n for n, one in enumerate(self.queue) if one.source == PLANS and not one.entered), -1)
            if at < 0:
                break
            told += self._next(self.queue.pop(at))
            if self.attempt is None:
                self.evidence.ask(self.state.machine.active)
        return told

    def _next(self, part: PartRecord) -> list[FoldAnswer]:
        if self.attempt is not None:
            return self._settle(self.attempt, part)
        if part.source == OUTCOMES:
            return self._weigh(part)
        if part.entered:
            return self._answer(part)
        record = part.record
        if record.digest in self.state.own:  # It has its entry, of the transaction that it was written in.
            own = list(self.state.own)
            own.remove(record.digest)
            self.state = replace(self.state, own=tuple(own))
            return []
        entered = FoldAnswer(self._append([record]))
        if part.source == PLANS:
            self.state = replace(self.state, plan_offset=part.offset)
        return [entered, *self._answer(part)]

    def _settle(self, attempt: PlanAttempt, part: PartRecord) -> list[FoldAnswer]:
        """The plan that came is ours, or the attempt is lost."""
        if part.record.digest == attempt.digests[0]:
            self.state = attempt.after
            entered = FoldAnswer(self._append([part.record]))
            self.state = replace(self.state, plan_offset=part.offset)
            rest = attempt.digests[1:]
            self.attempt = replace(attempt, after=self.state, digests=rest, won=True) if rest else None
            return [entered]
        # Plans of one transaction come with nothing between, unless somebody writes without holding the writers' name.
        self.attempt, self.state = None, attempt.after if attempt.won else attempt.before
        if not attempt.won:
            self.queue.insert(0, replace(attempt.cause, entered=True))
        return self._next(part)

    def _answer(self, part: PartRecord) -> list[FoldAnswer]:
        """What follows from a record."""
        if part.source == CONTROL:
            event = event_told(part.content)
        else:
            plan = plan_in(part.content)
            ours = plan is not None and plan.pipeline == self._pipeline
            event = plan_seen(part.content, plan, part.offset) if plan is not None and ours else None
        return [] if event is None else self._decide(event, part)

    def _weigh(self, part: PartRecord) -> list[FoldAnswer]:
        """What follows from outcomes, and from stream time; of those that were taken up before, from how they stand."""
        time, release = part.content["time"], self.state.machine.active
        looks = self.evidence.standing(release) if part.entered else self.evidence.take(part.content)
        told: list[FoldAnswer] = []
        if release is not None and looks:
            told += self._decide(rows_of_looks(release, looks, time), part)
        reached = self.evidence.reached
        if self.attempt is None and reached > EARLIEST:
            told += self._decide(StreamTime(f"outcomes@{reached}", time, reached), part)
        return told

    def _decide(self, event: ReleaseInput, cause: PartRecord) -> list[FoldAnswer]:
        """What the machine makes of an input."""
        machine, decisions = decide(self.state.machine, event, self._rules)
        if not decisions:
            self.state = replace(self.state, machine=machine)
            return []
        events = [self._event(each) for each in decisions]
        plans = [self._plan(each) for each in decisions if each.change is not None]
        records = [record_of(CONTROL, 0, None, event) for event in events]
        before = self.state
        entries = self._append(records)
        own = (*before.own, *(record.digest for record in records))
        after = replace(self.state, machine=machine, own=own)
        if not plans:
            self.state = after
            return [FoldAnswer(entries, events)]
        self.state = before
        digests = tuple(record_of(PLANS, 0, None, plan).digest for plan in plans)
        self.attempt = PlanAttempt(before, after, cause, digests)
        return [FoldAnswer(entries, events, plans, before.plan_offset)]

    def _append(self, records: Iterable[LedgerRecord]) -> list[LedgerEntry]:
        chain = LedgerChain(self._pipeline, self.state.number, self.state.head)
        entries = [chain.append(record) for record in records]
        self.state = replace(self.state, number=chain.number, head=chain.head)
        return entries

    def _event(self, decision: ReleaseDecision) -> dict[str, Any]:
        said = ControlEvent(
            decision.event, self._pipeline, decision.time, ACTOR, decision.finding, decision.cause
        ).row()
        return said | {"evidence": dict(said["evidence"])}

    def _plan(self, decision: ReleaseDecision) -> dict[str, Any]:
        assert decision.change is not None
        return decision.change.plan.fact(decision.time, ACTOR, decision.finding.why)
