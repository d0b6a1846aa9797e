"""Partitions of outcomes that rest: what is written to several at once makes no late pairs, and all goes on."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from headrace.columnar import packing
from headrace.domain.records.outcome_parts import OutcomePartition
from headrace.domain.release.evidence.evidence_fold import EvidenceFold, EvidenceQuestion
from headrace.domain.release.evidence.outcome_rows import NO_ROWS
from headrace.domain.release.margin import Margin
from headrace.streaming.records.batch import Batch
from headrace.streaming.watermarks.source_marks import UNSEEN
from tests.release.outcome_logs import CANDIDATE, CHAMPION, COLUMNS

MINUTE, HOUR = 60_000, 3_600_000
BEGAN = 1_500_000_000_000
BURST = 720
"""Events of a partition at once: twelve hours of one a minute."""
IDLE_AFTER = 10_000
MODELS = (CHAMPION, CANDIDATE)


class Outcomes:
    """Two partitions of outcomes, of events of one a minute, mature when they are told; and who tells of them.

    Args:
        tells: whether it is told when, as former versions did not.
    """

    def __init__(self, tells: bool = True) -> None:
        self.tells, self.clock = tells, 1_700_000_000_000
        self.partitions = [OutcomePartition(1) for _ in range(2)]
        self.fold = EvidenceFold()
        self.fold.begin("asked", EvidenceQuestion(CANDIDATE, CHAMPION, Margin(0.05)))

    def read(self, source: int, first: int, count: int = BURST) -> None:
        """Read outcomes of events from a minute on."""
        rows = [
            {
                "event_id": f"{source}/{minute}",
                "event_time": BEGAN + minute * MINUTE,
                "model": {"name": "m", "version": "1", "digest": model},
                "score": 0.3 if model == CANDIDATE else 0.4,
                "label": float(minute % 2),
                "revision": 0,
                "mature_before": BEGAN + minute * MINUTE,
            }
            for minute in range(first, first + count)
            for model in MODELS
        ]
        columns, at = pa.RecordBatch.from_pylist(rows, schema=COLUMNS), self.partitions[source].next_offset
        offsets, nothing = at + np.arange(len(rows)), np.zeros(len(rows), np.int64)
        here = np.full(len(rows), source, np.int32)
        part = self.partitions[source].advance(
            Batch("outcomes", columns, pa.nulls(len(rows), pa.binary()), here, offsets, nothing), source
        )
        self.tell(source, False, part.digests, part.rows)

    def tell(self, source: int, idle: bool, digests: tuple[str, ...] = (), rows: Any = NO_ROWS) -> None:
        """What the fold is told of a partition now."""
        read = self.partitions[source]
        seen = self.clock if self.tells else UNSEEN
        [*self.fold.take(source, read.next_offset, read.progress(idle), idle, 2, digests, rows, seen)]

    def rest(self, *sources: int, notices: int = 4) -> None:
        """These partitions stay at their ends, which is told every half of what makes them idle."""
        for _ in range(notices):
            self.clock += IDLE_AFTER // 2
            for source in sources:
                self.tell(source, idle=True)

    @property
    def late(self) -> int:
        """Pairs that came when their event was mature already."""
        return self.fold.standing("asked").late

    @property
    def events(self) -> int:
        """Those that evidence has."""
        return self.fold.standing("asked").moments.events


@pytest.fixture
def outcomes() -> Outcomes:
    """Both partitions had something, and rest."""
    made = Outcomes()
    made.read(0, -10, 10)
    made.read(1, -10, 10)
    made.rest(0, 1)
    assert (made.events, made.late) == (18, 0)  # The last event of each is not mature: nothing that is newer says so.
    return made


def test_half_a_day_that_comes_at_once_over_two_partitions_makes_no_late_pairs(outcomes: Outcomes) -> None:
    """Whichever is read first, and however long the other one takes to be read."""
    for first, (one, other) in enumerate([(0, 1), (1, 0), (0, 1)]):
        outcomes.read(one, first * BURST)
        outcomes.clock += 25_000  # Nobody reads the other one, so nobody tells that it is at its end.
        outcomes.rest(one)
        outcomes.read(other, first * BURST)
        outcomes.rest(0, 1)
        assert (outcomes.events, outcomes.late) == (20 + 2 * ((first + 1) * BURST - 1), 0)


def test_one_that_goes_on_while_the_other_rests_makes_none_either(outcomes: Outcomes) -> None:
    """The first one is read in pieces while the second counts as one at its end; then that has half a day as well."""
    for hour in range(12):
        outcomes.read(0, hour * 60, 60)
        outcomes.clock += 100
    outcomes.read(1, 0)
    outcomes.rest(0, 1)
    assert (outcomes.events, outcomes.late) == (20 + 2 * (BURST - 1), 0)


def test_marks_of_a_former_version_are_taken_as_it_took_them() -> None:
    """They do not say when: of two bursts that which is read second is late, and in evidence all the same."""
    outcomes = Outcomes(tells=False)
    outcomes.read(0, -10, 10)
    outcomes.read(1, -10, 10)
    outcomes.rest(0, 1, notices=1)
    outcomes.read(0, 0)
    outcomes.read(1, 0)
    assert outcomes.late == BURST - 1  # The last one is as old as the last of the other partition.
    outcomes.rest(0, 1, notices=1)
    assert outcomes.events == 20 + 2 * (BURST - 1)


@pytest.mark.parametrize("ever", [True, False])
def test_evidence_goes_on_beside_a_partition_that_rests_for_ever(ever: bool) -> None:
    """Within three times as long as it has to be at its end, whether it ever had a record; then all is taken in."""
    outcomes = Outcomes()
    if ever:
        outcomes.read(1, -10, 10)
    used = []
    for minute in range(60):
        outcomes.read(0, minute, 1)
        outcomes.clock += 1_000
        if minute % 5 == 4:
            outcomes.tell(1, idle=True)
        used.append(max(outcomes.fold.reached - BEGAN, 0) // MINUTE)
    assert used[14:] == sorted(used[14:])
    assert all(minute - 3 * IDLE_AFTER // 1_000 <= at <= minute for minute, at in enumerate(used) if at)
    assert used[-1] >= 59 - 3 * IDLE_AFTER // 1_000
    outcomes.rest(0, 1)
    assert outcomes.events == 59 + (9 if ever else 0) + ever
    assert not outcomes.fold.behind


def test_a_state_of_a_former_version_goes_on(outcomes: Outcomes) -> None:
    """Without proofs it trusts what was idle then, until it is told of anew: from then on nothing comes late."""
    columns = outcomes.fold.save()
    former = {name: column for name, column in columns.items() if name not in ("marks.proofs", "marks.waits")}
    outcomes.fold = EvidenceFold()
    outcomes.fold.load(packing.unpack(packing.pack(former)), 2)
    assert not outcomes.fold.behind
    outcomes.rest(0, 1, notices=1)
    outcomes.read(0, 0)
    outcomes.read(1, 0)
    outcomes.rest(0, 1)
    assert (outcomes.events, outcomes.late) == (20 + 2 * (BURST - 1), 0)
