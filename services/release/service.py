"""Outcomes, control events and plans in; decisions, the plans that they make, and the ledger out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headrace.columnar import packing
from headrace.domain.control.events import emits_of
from headrace.domain.ledger.entry import canonical
from headrace.domain.ledger.sources import CONTROL, PLANS, SOURCES, rows_told
from headrace.domain.pipeline.release.spec import Release
from headrace.domain.records.outcome_parts import OutcomePart, OutcomePartition, pack, sound
from headrace.domain.records.release_parts import OUTCOMES, PARTS, record_part
from headrace.domain.release.evidence.outcome_rows import NO_ROWS
from headrace.errors import ContractError
from headrace.streaming.records.batch import Admission, Batch, Emit, Fact, Output, Reject, slot, unslot
from headrace.streaming.task.service import Service
from headrace.streaming.watermarks.idleness import IdleNotices, Quiet
from services.release.decision_fold import DecisionFold, FoldAnswer, PartRecord, part_record
from services.release.fold_columns import load_fold, save_fold
from services.release.metrics import ReleaseMetrics

CLOCKS = ("progress", "seen")
"""Fields of a part that are times."""
NOTHING = OutcomePart((), NO_ROWS, np.empty(0, np.int64), np.empty(0, np.int64))
"""What a partition tells that is idle."""


class Releases(Service):
    """The service `release` for one pipeline.

    Stage one puts outcomes, control events and plans, whoever wrote them, into one order; stage two has them in that
    order, and decides. What it does follows from them alone, so members may come and go, and a replay finds the same.

    Args:
        pipeline: its name.
        rules: its `release` section.
        chances: whether its models tell chances.
        schemas: of the topics written, by logical name.
        idle_after_s: seconds at its end after which a partition of outcomes is idle; see `SourceMarks`.
        figures: metrics.
        classes: of the models; 0 where they tell a single number.
    """

    inputs = (OUTCOMES, *SOURCES, PARTS)
    stateful = (OUTCOMES, PARTS)
    answers = ("ledger",)
    begins_kept = True  # how far truth is whole follows from how many joins there were
    needs_whole_log = (
        "entries of the ledger are numbered on from this state, and would begin anew beside those that are there. "
        "Start the version that wrote the checkpoint, or bring the checkpoints topic back"
    )
    facts = (PLANS,)
    decides = (PLANS,)

    def __init__(
        self,
        pipeline: str,
        rules: Release,
        chances: bool,
        schemas: Mapping[str, pa.Schema],
        idle_after_s: float,
        figures: ReleaseMetrics,
        classes: int = 0,
    ) -> None:
        self._classes = classes
        self._pipeline = pipeline
        self._rules = rules
        self._chances = chances
        self._schemas = schemas
        self._figures = figures
        self._notices = IdleNotices(idle_after_s, idle_after_s / 2)
        self._counts: Mapping[str, int] = {}
        self._outcomes: dict[int, OutcomePartition] = {}
        self._fold: DecisionFold | None = None
        self._newest_plan = -1
        self._read: dict[int, PartRecord] = {}

    @property
    def _here(self) -> int:
        """The partition of parts, as batches number it."""
        return slot(self.inputs.index(PARTS), 0)

    def start(self, partitions: Mapping[str, int]) -> None:
        """See `Service`."""
        self._counts = partitions

    def learn(self, facts: Batch, now: float) -> None:
        """There are newer plans: what is decided before they stand among the parts must not be written any more."""
        self._newest_plan = max(self._newest_plan, int(facts.offset.max()))

    # ---- rows come in --------------------------------------------------------------------------------------------

    def admit(self, batch: Batch, now: float) -> Admission:
        """Refuse outcomes that cannot be weighed, and parts that nobody of ours wrote."""
        if batch.topic == OUTCOMES:
            weighed, refused = sound(batch)
            return Admission(weighed, rejects=refused)
        if batch.topic != PARTS:
            return Admission(batch)
        good, rejects = np.ones(len(batch), bool), []
        self._read = {}
        for at, part in enumerate(_parts(batch)):
            try:
                self._read[int(batch.offset[at])] = part_record(part)
            except ContractError as error:
                good[at] = False
                rejects.append(Reject(int(batch.partition[at]), int(batch.offset[at]), "payload", str(error)))
        return Admission(batch.take(good), rejects=tuple(rejects))

    def process(self, batch: Batch, now: float) -> Output:
        """Put records into one order, or take up what is in it."""
        if batch.topic == OUTCOMES:
            return Output(tuple(self._outcomes_told(batch.slice(rows), number, now) for number, rows in batch.runs()))
        if batch.topic != PARTS:
            return Output(tuple(self._ordered(batch.slice(rows), partition) for partition, rows in batch.runs()))
        told = [each for each in self._take(batch) if self._holds(each)]
        for each in told:
            for entry in each.entries:
                self._figures.entries.labels(entry.source).inc()
                self._figures.number.set(entry.number)
            for event in each.events:
                self._figures.decisions.labels(event["type"]).inc()
        plans = [Fact(self._emit(PLANS, [plan]), each.after) for each in told for plan in each.plans]
        return Output(self._told(told), facts=tuple(plans), housekeeping=not told and _only_idle(batch))

    def replay(self, batch: Batch) -> None:
        """Fold without telling anything."""
        if batch.topic == PARTS:
            self._take(batch)
        elif batch.topic == OUTCOMES:
            for partition, rows in batch.runs():
                self._partition(partition).advance(batch.slice(rows), unslot(partition)[1])

    def tick(self, now: float, at_end: Mapping[int, Quiet]) -> Output:
        """Say which partitions of outcomes are idle, again and again; and whether outcomes wait for that."""
        ours = {partition: quiet for partition, quiet in at_end.items() if partition in self._outcomes}
        idle = [
            self._outcomes_part(number, self._outcomes[number], None, ours[number].until)
            for number in self._notices.due(ours)
        ]
        return Output(tuple(idle), unfinished=self._fold is not None and self._fold.evidence.behind)

    def _partition(self, partition: int) -> OutcomePartition:
        return self._outcomes.setdefault(partition, OutcomePartition(self._counts["exchange"]))

    def _outcomes_told(self, batch: Batch, partition: int, now: float) -> Emit:
        """Outcomes of one partition, at their place among all others."""
        self._notices.forget(partition)
        source = self._partition(partition)
        return self._outcomes_part(partition, source, source.advance(batch, unslot(partition)[1]), now)

    def _outcomes_part(self, partition: int, source: OutcomePartition, told: OutcomePart | None, seen: float) -> Emit:
        """`told`: None of a partition that is idle; `seen`: seconds of the clock, when it was at its end or told."""
        number = unslot(partition)[1]
        row = {
            "source": OUTCOMES,
            "source_partition": number,
            "next_offset": source.next_offset,
            "progress": source.progress(told is None),
            "idle": told is None,
            "partitions": max(self._counts[OUTCOMES], number + 1),
            "seen": int(seen * 1000),
            "payload": pack(NOTHING if told is None else told),
        }
        columns = pa.RecordBatch.from_pylist([row], schema=self._schemas[PARTS])
        here, zeros = np.array([partition], np.int32), np.zeros(1, np.int32)
        return Emit(PARTS, columns, pa.array([f"{OUTCOMES}/{number}"]), here, zeros)

    def _ordered(self, batch: Batch, partition: int) -> Emit:
        """Records of one partition, at their place among all others."""
        place, number = unslot(partition)
        rows = [
            record_part(self.inputs[place], number, offset, canonical(row))
            for row, offset in zip(rows_told(batch.columns), batch.offset.tolist(), strict=True)
        ]
        columns = pa.RecordBatch.from_pylist(rows, schema=self._schemas[PARTS])
        keys = pa.array([f"{self.inputs[place]}/{number}"] * len(rows))
        zeros = np.zeros(len(rows), np.int32)
        return Emit(PARTS, columns, keys, np.full(len(rows), partition, np.int32), zeros)

    def _take(self, batch: Batch) -> list[FoldAnswer]:
        """Take up what happened, in its order."""
        assert self._fold is not None, "rows come after `restore`"
        records = self._records(batch)
        plans = (record.offset for record in records if record.source == PLANS)
        self._newest_plan = max(self._newest_plan, *plans, -1)
        return [told for record in records for told in self._fold.take(record)]

    def _records(self, batch: Batch) -> list[PartRecord]:
        """What parts tell; those of the batch that was admitted last are read already."""
        read, self._read = self._read, {}
        offsets = batch.offset.tolist()
        if read.keys() >= set(offsets):
            return [read[offset] for offset in offsets]
        return [part_record(part) for part in _parts(batch)]

    def _holds(self, told: FoldAnswer) -> bool:
        """Whether it is to be written: not where somebody else wrote a plan since the one that it was made from."""
        if not told.plans or self._newest_plan <= told.after:
            return True
        self._figures.contested.inc()
        return False

    def _told(self, told: Sequence[FoldAnswer]) -> tuple[Emit, ...]:
        entries = [entry.row() for each in told for entry in each.entries]
        events = [event for each in told for event in each.events]
        decided = emits_of([_evidence_listed(event) for event in events], self._schemas[CONTROL], self._here)
        return (*decided, *([self._emit("ledger", entries)] if entries else []))

    def _emit(self, topic: str, rows: list[dict[str, Any]] | list[Mapping[str, Any]]) -> Emit:
        columns = pa.RecordBatch.from_pylist(rows, schema=self._schemas[topic])
        return Emit(topic, columns, columns["pipeline"], np.full(len(rows), self._here, np.int32))

    # ---- state comes and goes ------------------------------------------------------------------------------------

    def restore(self, partition: int, snapshot: bytes | None, end: int | None = None) -> None:
        """See `Service`."""
        if partition != self._here:
            self._outcomes[partition] = source = OutcomePartition(self._counts["exchange"])
            if snapshot is not None:
                source.load(snapshot)
            self._notices.forget(partition)
            return
        self._fold = DecisionFold(self._pipeline, self._rules, self._chances, self._classes)
        if snapshot is not None:
            load_fold(self._fold, packing.unpack(snapshot), self._counts[OUTCOMES])

    def snapshot(self, partition: int) -> bytes:
        """See `Service`."""
        if partition != self._here:
            return self._partition(partition).dump()
        assert self._fold is not None
        return packing.pack(save_fold(self._fold))

    def drop(self, partition: int) -> None:
        """See `Service`."""
        self._outcomes.pop(partition, None)
        self._notices.forget(partition)
        if partition == self._here:
            self._fold, self._read = None, {}


def _parts(batch: Batch) -> list[dict[str, Any]]:
    """Parts as rows; `time`: when each was written."""
    reached, seen = (batch.columns[name].cast(pa.int64()).to_pylist() for name in CLOCKS)  # no calendar knows them all
    parts = batch.columns.drop_columns([*CLOCKS]).to_pylist()
    times = zip(reached, seen, batch.timestamp.tolist(), strict=True)
    return [{**part, "progress": p, "seen": s, "time": t} for part, (p, s, t) in zip(parts, times, strict=True)]


def _only_idle(batch: Batch) -> bool:
    """Whether all that parts tell is that partitions are idle."""
    return bool(pc.all(batch.columns["idle"]).as_py())


def _evidence_listed(event: Mapping[str, Any]) -> dict[str, Any]:
    return {**event, "evidence": [*event["evidence"].items()]}
