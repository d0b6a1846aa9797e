"""Evidence of outcomes: the same figures whoever reads which partition, in whatever pieces, after any restart."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.columnar.packing import pack as packed
from headrace.columnar.packing import unpack as unpacked
from headrace.domain.records.outcome_parts import OutcomePart, OutcomePartition, pack, sound, unpack
from headrace.domain.release.evidence.evidence_fold import EvidenceFold, EvidenceQuestion
from headrace.domain.release.evidence.evidence_looks import EvidenceLook, PairStanding
from headrace.domain.release.evidence.outcome_rows import NO_ROWS
from headrace.domain.release.margin import Margin
from headrace.domain.release.paired_evidence import PairedEvidence
from headrace.errors import ContractError
from tests.release.outcome_logs import APPROVED, CANDIDATE, CHAMPION, Logs, Shape, SlowEvidence, logs

ASKED = {"against champion": (CANDIDATE, CHAMPION), "against approved": (CANDIDATE, APPROVED)}
MARGIN = Margin(0.05)
EVERY, PATIENCE = 7, 15
OF_SHAPES: Mapping[str, st.SearchStrategy[Any]] = {
    "seed": st.integers(0, 2**32),
    "sources": st.integers(1, 3),
    "joins": st.integers(1, 3),
    "events": st.integers(1, 60),
    "silence": st.booleans(),
}
SHAPES = st.builds(Shape, **OF_SHAPES)


def fold(**options: Any) -> EvidenceFold:
    """One that asks nothing yet."""
    return EvidenceFold(**{"every": EVERY, "patience": PATIENCE, **options})


def asking(**options: Any) -> EvidenceFold:
    """One that asks of the candidate, against both."""
    made = fold(**options)
    for name, models in ASKED.items():
        made.begin(name, EvidenceQuestion(*models, MARGIN))
    return made


def plain(name: str, standing: PairStanding) -> tuple[Any, ...]:
    """A standing as the slow fold says it."""
    counts = standing.late, standing.unlabelled, standing.alone, standing.baseline_alone
    most = standing.most_harm, standing.most_safety
    return (name, standing.log_harm, standing.log_safety, *most, standing.moments, standing.known, *counts)


def told(look: EvidenceLook) -> tuple[Any, ...]:
    """A look as the slow fold says it."""
    return (look.time, *(plain(name, standing) for name, standing in look.standings.items()))


class Reader:
    """Reads logs in pieces, in any order, and goes on with a snapshot now and then."""

    def __init__(self, made: Logs, seed: int, most: int = 9, restarts: float = 0.2, idle: float = 0.0) -> None:
        self.logs, self.random, self.most, self.restarts, self.idle = made, Random(seed), most, restarts, idle
        self.at = [0] * made.shape.sources
        self.partitions = [OutcomePartition(made.shape.joins) for _ in self.at]
        self.looks: list[EvidenceLook] = []
        self.clock = 1

    def take(self, into: EvidenceFold, source: int, part: OutcomePart | None, idle: bool) -> None:
        """Tell the fold what a partition says."""
        read = self.partitions[source]
        if part is not None:
            part = unpack(pack(part))
            into.count(part.digests, part.corrected.tolist(), part.repeated.tolist())
        rows, digests = (part.rows, part.digests) if part else (NO_ROWS, ())
        given = source, read.next_offset, read.progress(idle), idle, len(self.at), digests, rows
        self.clock += 1
        for looks in into.take(*given, seen=self.clock):
            self.looks += looks

    def read(self, into: EvidenceFold, upto: float = 1.0) -> EvidenceFold:
        """Read up to a share of the logs."""
        ends = [int(upto * len(rows)) for rows in self.logs.rows]
        while open_ := [source for source, at in enumerate(self.at) if at < ends[source]]:
            source = self.random.choice(open_)
            low, high = self.at[source], min(self.at[source] + self.random.randint(1, self.most), ends[source])
            self.at[source] = high
            part = self.partitions[source].advance(self.logs.batch(source, low, high), source)
            self.take(into, source, part, idle=False)
            if self.random.random() < self.idle:
                self.take(into, self.random.randrange(len(self.at)), None, idle=True)
            if self.random.random() < self.restarts:
                into = self.restarted(into, source)
        return into

    def restarted(self, before: EvidenceFold, source: int) -> EvidenceFold:
        """Another one that goes on, and another reader of a partition."""
        after = fold(classes=self.logs.shape.classes)
        after.load(unpacked(packed(before.save())), len(self.at))
        assert packed(after.save()) == packed(before.save())
        kept = self.partitions[source].dump()
        self.partitions[source] = OutcomePartition(self.logs.shape.joins)
        self.partitions[source].load(kept)
        return after

    def end(self, into: EvidenceFold) -> EvidenceFold:
        """All are at their ends, and were seen there often enough to prove it."""
        for source in [*range(len(self.at))] * 3:
            self.take(into, source, None, idle=True)
        return into


def by_rows(fold: EvidenceFold) -> bytes:
    """The state, without when partitions were seen: that is the clock's, and not the rows'."""
    return packed({name: column for name, column in fold.save().items() if name not in ("marks.proofs", "marks.waits")})


def slowly(made: Logs, begins: dict[int, int] | None = None) -> SlowEvidence:
    """All of it, said slowly."""
    found = SlowEvidence(ASKED, MARGIN, EVERY, PATIENCE, made.shape.classes)
    found.fold(made, begins)
    return found


@pytest.mark.slow
@settings(max_examples=30, deadline=None)
@given(SHAPES, st.integers(0, 2**32))
def test_it_is_what_a_slow_fold_says(shape: Shape, seed: int) -> None:
    """Whoever reads which partition, in which pieces, with restarts: each look and the end, bit for bit."""
    made = logs(shape)
    reader = Reader(made, seed)
    found = reader.end(reader.read(asking()))
    slow = slowly(made)
    assert [told(look) for look in reader.looks] == [(look[0], *look[1:]) for look in slow.looks]
    assert [plain(name, found.standing(name)) for name in ASKED] == slow.standings()
    assert found.reached == slow.reached


@pytest.mark.slow
@settings(max_examples=20, deadline=None)
@given(SHAPES, st.integers(0, 2**32), st.integers(0, 2**32))
def test_state_does_not_tell_how_it_was_cut(shape: Shape, seed: int, other: int) -> None:
    """Two that read the same logs have the same state in the end, and saw the same looks at the same places."""
    made = logs(shape)
    readers = Reader(made, seed), Reader(made, other, most=40, restarts=0.0)
    first, second = (reader.end(reader.read(asking())) for reader in readers)
    assert by_rows(first) == by_rows(second)
    assert readers[0].looks == readers[1].looks


@pytest.mark.slow
@settings(max_examples=20, deadline=None)
@given(SHAPES, st.integers(0, 2**32), st.integers(0, 2**32), st.integers(1, 130))
def test_who_answers_alone_is_judged_anew(shape: Shape, seed: int, other: int, time: int) -> None:
    """From the first event of an event time on, where that was said before it is mature: the same for any cut and
    through restarts, and as if somebody had shared bets out by hand between two events.
    """
    made = logs(shape)
    readers = Reader(made, seed), Reader(made, other, most=40, restarts=0.0)
    folds = []
    for reader in readers:
        into = asking()
        for name in ASKED:
            into.answers_from(name, time)
        folds.append(reader.end(reader.read(into)))
    assert by_rows(folds[0]) == by_rows(folds[1])
    assert readers[0].looks == readers[1].looks
    for name, pair in slowly(made).pairs.items():
        by_hand, known = PairedEvidence(MARGIN), False
        for kind, *given_ in pair.steps:
            if kind == "known":
                by_hand.foresee(*(np.array([score]) for score in given_))
                continue
            at, *scores = given_
            if at >= time and not known:
                by_hand.rebalance()
                known = True
            by_hand.take(*(np.array([each]) for each in scores))
        standing = folds[0].standing(name)
        assert (standing.log_harm, standing.log_safety) == (by_hand.log_harm, by_hand.log_safety)


@pytest.mark.slow
@settings(max_examples=20, deadline=None)
@given(SHAPES, st.integers(0, 2**32))
def test_who_is_idle_now_and_then_loses_nothing(shape: Shape, seed: int) -> None:
    """The order may be another then, but each pair that met is taken in once."""
    made = logs(shape)
    reader = Reader(made, seed, restarts=0.0, idle=0.3)
    found = reader.end(reader.read(asking(patience=10_000)))
    slow = SlowEvidence(ASKED, MARGIN, EVERY, 10_000)
    slow.fold(made)
    for name, pair in slow.pairs.items():
        mine = found.standing(name)
        assert (mine.known, mine.moments.events) == (pair.evidence.known, pair.evidence.moments.events)
        assert mine.unlabelled == pair.counts["unlabelled"]
        assert mine.moments.mean == pytest.approx(pair.evidence.moments.mean)


@settings(max_examples=25, deadline=None)
@given(SHAPES, st.integers(0, 2**32), st.floats(0.1, 0.9))
def test_it_begins_with_what_is_not_told_yet(shape: Shape, seed: int, share: float) -> None:
    """What came before the question was asked does not count; from which offsets on is said."""
    made = logs(shape)
    reader = Reader(made, seed, restarts=0.0)
    found = fold()
    reader.read(found, share)
    begins = {}
    for name, models in ASKED.items():
        begins = found.begin(name, EvidenceQuestion(*models, MARGIN))
    assert {source: at for source, at in enumerate(reader.at) if at} == {n: at for n, at in begins.items() if at}
    reader.end(reader.read(found))
    rows = [rows[begins.get(source, 0) :] for source, rows in enumerate(made.rows)]
    for name, (candidate, baseline) in ASKED.items():
        counted = [{row["event_id"] for part in rows for row in part if row["model"] == model and row["revision"] == 0}
                   for model in (candidate, baseline)]  # fmt: skip  # of both
        assert found.standing(name).known <= len(counted[0] & counted[1])
        assert found.standing(name).known >= 0


def steady(events: int = 400) -> Shape:
    """Many events of two partitions."""
    return Shape(seed=3, events=events, span=1_000)


def test_counts_are_said() -> None:
    """Corrections and repeats change nothing, and are counted by model; so are those that never met."""
    made = logs(steady())
    reader = Reader(made, 1)
    found = reader.end(reader.read(asking()))
    rows = [row for part in made.rows for row in part]
    for model in (CANDIDATE, CHAMPION, APPROVED):
        assert found.corrected[model] == sum(row["model"] == model and row["revision"] > 0 for row in rows)
        assert found.repeated[model] == sum(row["model"] == model and row["revision"] < 0 for row in rows)
    assert "other" not in found.corrected
    standing = found.standing("against champion")
    assert min(standing.late, standing.alone, standing.baseline_alone, found.counts["repeated"]) > 0


def test_room_is_bounded_and_what_finds_none_is_counted() -> None:
    """Events beyond it are left out."""
    made = logs(steady())
    whole, narrow = (Reader(made, 1, restarts=0.0) for _ in range(2))
    many, few = whole.end(whole.read(asking())), narrow.end(narrow.read(asking(most=20)))
    assert few.counts["crowded"] > 0 == many.counts["crowded"]
    assert 0 < few.standing("against champion").moments.events < many.standing("against champion").moments.events
    assert len(few) <= 20


def test_a_score_that_is_no_chance_makes_no_pair() -> None:
    """It is counted; all others count."""
    made = logs(steady(50))
    for row in (row for part in made.rows for row in part if row["model"] == CANDIDATE and row["event_id"] == "e1"):
        row["score"] = 1.5
    reader = Reader(made, 1)
    found = reader.end(reader.read(asking()))
    assert found.standing("against champion").unusable <= 1


def test_questions_come_and_go() -> None:
    """Each has its own evidence; what ends is forgotten, and its room is another's."""
    made = logs(steady())
    reader = Reader(made, 1, restarts=0.0)
    found = asking()
    reader.read(found, 0.5)
    found.end("against approved")
    found.end("against approved")
    found.begin("other", EvidenceQuestion("other", CHAMPION, MARGIN))
    reader.end(reader.read(found))
    assert plain("against champion", found.standing("against champion")) == slowly(made).standings()[0]
    assert found.standing("other").moments.events > 50
    with pytest.raises(KeyError):
        found.standing("against approved")
    for wrong, name, question in (
        ("asked already", "other", EvidenceQuestion("a", "b", MARGIN)),
        ("with itself", "new", EvidenceQuestion("a", "a", MARGIN)),
        ("need a bound", "new", EvidenceQuestion("a", "b", MARGIN, 1.0)),
    ):
        with pytest.raises(ValueError, match=wrong):
            found.begin(name, question)


def test_a_question_may_end_while_all_its_rows_wait() -> None:
    """Nothing of it is left, and others go on."""
    made = logs(steady(60))
    reader = Reader(made, 1, restarts=0.0)
    found = asking()
    reader.at[1] = len(made.rows[1])  # the other partition is not heard of: all wait
    reader.read(found)
    assert len(found) > 0
    for name in ASKED:
        found.end(name)
    assert len(found) == 0
    reader.at[1] = 0
    reader.end(reader.read(found))
    assert found.reached > 0


def test_events_that_a_model_was_fitted_on_do_not_count() -> None:
    """Those before `since`."""
    made = logs(steady())
    reader = Reader(made, 1)
    found = fold()
    found.begin("late", EvidenceQuestion(CANDIDATE, CHAMPION, MARGIN, since=500))
    found = reader.end(reader.read(found))
    times = [step[1] for step in slowly(made).pairs["against champion"].steps if step[0] == "taken" and step[1] >= 500]
    assert found.standing("late").moments.events == len(times)


def damaged() -> Iterator[bytes]:
    """Parts that nobody can have told."""
    part = OutcomePartition(2).advance(logs(steady(5)).batch(0, 0, 5), 0)
    yield pack(part)[:-3]
    yield pack(replace(part, digests=()))
    yield pack(replace(part, rows=replace(part.rows, model=part.rows.model + 9)))
    yield pack(replace(part, rows=replace(part.rows, score=part.rows.score + np.nan)))
    yield packed({"flags": np.zeros(3, np.uint8)})


@pytest.mark.parametrize("payload", [*damaged()])
def test_damaged_parts_are_refused(payload: bytes) -> None:
    """Cut short, or of other models than they name."""
    with pytest.raises(ContractError):
        unpack(payload)


def test_outcomes_that_nobody_can_weigh_are_set_apart() -> None:
    """Each by its reason; what is not known is no fault."""
    made = logs(steady(9))
    rows = made.rows[0][:5]
    rows[1]["score"], rows[2]["label"], rows[3]["event_time"], rows[4]["label"] = (
        float("nan"),
        float("inf"),
        2**50,
        None,
    )
    made.rows[0] = rows
    good, rejects = sound(made.batch(0, 0, 5))
    assert good.offset.tolist() == [0, 4]
    assert [(reject.offset, reject.reason) for reject in rejects] == [(1, "score"), (2, "label"), (3, "event_time")]


def test_a_part_is_small() -> None:
    """Of events that some models answered: the event told once, and scores that nothing can make smaller."""
    made = logs(Shape(seed=1, sources=1, joins=12, events=5_000, span=100_000))
    count = len(made.rows[0])
    part = OutcomePartition(12).advance(made.batch(0, 0, count), 0)
    assert len(pack(part)) / len(part.rows) < 18
