"""Events that were published twice: what is left out, what is refused, and for how long that is known."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.columnar import packing
from headrace.columnar.hashes import checks_of, codes_of, murmur64a
from headrace.domain.features.duplicates import Ids
from headrace.domain.features.event_gate import CHANGED, Gate
from headrace.domain.pipeline.spec import Pipeline
from headrace.errors import ContractError
from headrace.stores.online import MemoryStore
from headrace.streaming.records.batch import Batch
from headrace.streaming.watermarks.event_time import LEAST, NEVER, Clock, Flags, Ints, Seen
from services.enrich.service import Enrich
from tests.enrich import cases
from tests.enrich import test_labels as labelled

Published = tuple[str, int, float | None]
"""Id, time, heat; all of one sensor."""
LATENESS = 10


def pipeline(late: str = "reject", within: int = 50) -> Pipeline:
    """Sensors with a view of their own key alone, whose repeats are left out."""
    made = cases.pipeline(views=[cases.SENSOR], late=late, repeats="drop")
    return replace(made, events=replace(made.events, repeats_within=within))


def published(rows: Sequence[Published], first: int = 0) -> Batch:
    """Records with ids of their own."""
    columns = cases.events([(time, "s", None, heat) for _, time, heat in rows])
    ids = pa.array([name for name, _, _ in rows], pa.string())
    return cases.batch(columns.set_column(0, "reading", ids), first=first)


def member(made: Pipeline, checkpoint: bytes | None = None) -> Enrich:
    """A fresh member, with a checkpoint."""
    enrich = Enrich(made, MemoryStore())
    enrich.start({"events": 1})
    enrich.restore(0, checkpoint)
    return enrich


def reasons(gate: Gate, rows: Sequence[Published], ids: Ids | None = None) -> list[str]:
    """What becomes of each row: `ok`, `repeated` or the reason that it is refused for."""
    held = Ids(50) if ids is None else ids
    passed = gate.check(published(rows), {}, lambda _: held)
    found = ["repeated"] * len(rows)
    for offset in passed.batch.offset.tolist():
        found[offset] = "ok"
    for reject in passed.rejects:
        found[reject.offset] = reject.reason
    assert passed.remarks["repeated"] == found.count("repeated")
    return found


# ---- what is a repeat --------------------------------------------------------------------------------------------


def test_repeats_are_left_out_and_counted() -> None:
    """The same event again is no event, in the same batch or a later one; another id with the same values is one."""
    gate, ids = Gate(pipeline()), Ids(50)
    assert reasons(gate, [("a", 1, 1.0), ("b", 1, 1.0), ("a", 1, 1.0)], ids) == ["ok", "ok", "repeated"]
    assert reasons(gate, [("b", 1, 1.0), ("c", 2, 1.0)], ids) == ["repeated", "ok"]


def test_other_values_under_the_same_id_are_refused() -> None:
    """What differs from the first of its id is no repeat: it is kept as a dead letter, and moves no watermark."""
    gate = Gate(pipeline())
    rows = [("a", 1, 1.0), ("a", 1, 2.0), ("a", 9_000, 1.0), ("a", 1, None), ("b", 2, 1.0)]
    assert reasons(gate, rows) == ["ok", CHANGED, CHANGED, CHANGED, "ok"]
    ids = Ids(50)
    reject = gate.check(published(rows), {}, lambda _: ids).rejects[0]
    assert reject.detail == (
        "an event of this reading came before with other values; one that is to count needs its own reading"
    )


def test_fields_that_nobody_reads_make_no_difference() -> None:
    """A producer that notes when it sent a record sends the same event again all the same."""
    gate, ids = Gate(pipeline()), Ids(50)
    first = published([("a", 1, 1.0)])
    at = first.columns.schema.get_field_index("kind")
    again = replace(first, columns=first.columns.set_column(at, "kind", pa.array(["other"], pa.string())))
    gate.check(first, {}, lambda _: ids)
    assert gate.check(again, {}, lambda _: ids).remarks["repeated"] == 1


def test_what_was_refused_may_come_again() -> None:
    """Whoever mends a refused event and publishes it under its id is not told that it is a repeat."""
    gate, ids = Gate(pipeline()), Ids(50)
    clocks: dict[int, Clock] = {}
    before = [(f"w{n}", 100, 1.0) for n in range(LEAST)]
    gate.check(published([*before, ("a", 100, math.nan), ("b", 100, 1.0), ("c", 1, 1.0)]), clocks, lambda _: ids)
    later = gate.check(published([("a", 100, 1.0), ("c", 95, 1.0)]), clocks, lambda _: ids)
    assert (len(later.batch), later.rejects, later.remarks["repeated"]) == (2, (), 0)


def test_a_repeat_that_comes_late_is_a_repeat() -> None:
    """A file that is published again is not refused as late: it was all there."""
    rows = [(f"e{n}", 10 * n, 1.0) for n in range(50)]
    assert reasons(Gate(pipeline()), [*rows, *rows]) == ["ok"] * 50 + ["repeated"] * 50


def test_kept_where_the_pipeline_says_so() -> None:
    """With `repeats: keep` each record is an event of its own, and nothing is remembered."""
    made = cases.pipeline(views=[cases.SENSOR], repeats="keep")
    enrich = member(made)
    admission = enrich.admit(published([("a", 1, 1.0), ("a", 1, 1.0), ("a", 1, 2.0)]), 0.0)
    assert (len(admission.batch), admission.rejects) == (3, ())
    enrich.process(admission.batch, 0.0)
    assert "repeats" not in packing.unpack(enrich.snapshot(0) or b"")


@pytest.mark.parametrize("repeats", ["drop", "keep"])
def test_views_that_fold_labels_count_an_id_once(repeats: str) -> None:
    """An event and its label count alike there: once, also where both its records are answered and folded elsewhere."""
    made = labelled.pipeline()
    made = replace(made, events=replace(made.events, repeats=repeats))
    enrich = Enrich(made, MemoryStore())
    enrich.start({"events": 1, "view.room": 1, "exchange": 1})
    rows: list[Published] = [("a", 1, 1.0), ("b", 2, 1.0), ("a", 1, 1.0), ("b", 2, 2.0), ("c", 3, 1.0), ("c", 3, 1.0)]
    batch = published(rows)
    at = batch.columns.schema.get_field_index("room")
    batch = replace(batch, columns=batch.columns.set_column(at, "room", pa.array(["hall"] * len(rows))))
    admission = enrich.admit(batch, 0.0)
    assert len(admission.batch) == (3 if repeats == "drop" else 6)
    assert admission.remarks["repeat_kept"] == (0 if repeats == "drop" else 3)
    entries, events = (
        emit.columns.select([n for n in emit.columns.schema.names if n != "floor"]).to_pylist()[0]
        for emit in admission.emits
    )
    assert entries["keys"] == ["hall"] * 3
    assert entries["times"] == [1, 2, 3]
    assert events["events"]["event_ids"] == ["a", "b", "c"]


def test_time_goes_on_by_what_is_kept() -> None:
    """Where repeats are kept the clock is that of all rows, as without any memory of ids."""
    times = np.cumsum(np.random.default_rng(2).integers(0, 9, 400))
    seen = rows_at(times)
    codes = codes_of(pa.array(np.arange(400) % 3))
    with_ids, without = Clock(), Clock()
    marks, late, firm, credible = blank(400), np.zeros(400, np.bool_), *np.full((2, 400), NEVER)
    Ids(50, keeps=True).sift(codes, np.arange(400).astype(np.uint16), seen, with_ids, LATENESS, False, marks)
    without.advance(seen, LATENESS, late, firm, credible)
    assert (with_ids.firm, with_ids.credible) == (without.firm, without.credible)
    assert np.array_equal(marks[2], late)
    assert np.array_equal(marks[3], firm)
    assert np.array_equal(marks[4], credible)
    assert int((marks[0] | marks[1]).sum()) == 397


def test_windows_count_once() -> None:
    """Features of later events are those of a stream without the repeat."""
    with_repeat, without = member(pipeline()), member(pipeline())
    rows = [("a", 1, 1.0), ("b", 2, 4.0), ("a", 1, 1.0), ("c", 3, 1.0)]
    found = [answers(with_repeat, rows), answers(without, [rows[0], rows[1], rows[3]])]
    assert found[0] == found[1]
    assert found[0][-1]["n_20ms"] == 3


def answers(enrich: Enrich, rows: Sequence[Published]) -> list[dict[str, object]]:
    """Features of the sensor, row by row."""
    batch = enrich.admit(published(rows), 0.0).batch
    (emit,) = enrich.process(batch, 0.0).emits
    found: list[dict[str, object]] = emit.columns["sensor"].to_pylist()
    return found


def rows_at(times: Sequence[int] | Ints) -> Seen:
    """Rows of these times, without timestamps."""
    at = np.array(times, np.int64)
    count = len(at)
    return Seen(at, np.full(count, -1), np.zeros(count, np.bool_), np.arange(count), np.ones(count, np.bool_))


def blank(rows: int) -> tuple[Flags, Flags, Flags, Ints, Ints]:
    """What `sift` marks, before it does."""
    repeated, differing, late = np.zeros((3, rows), np.bool_)
    return repeated, differing, late, *np.zeros((2, rows), np.int64)


# ---- for how long ------------------------------------------------------------------------------------------------


class Slow:
    """The rule said slowly: two dicts, the newer of which becomes the older one."""

    def __init__(self, refuses: bool, horizon: int, fewest: int, most: int) -> None:
        self.refuses, self.horizon, self.fewest, self.most = refuses, horizon, fewest, most
        self.newer: dict[int, int] = {}
        self.older: dict[int, int] = {}
        self.clock, self.started = Clock(), NEVER
        self.cut = 0

    def fate(self, code: int, check: int, time: int) -> str:
        """What becomes of a row."""
        aged = self.clock.firm - self.started >= self.horizon
        if len(self.newer) >= self.most or (len(self.newer) >= self.fewest and aged):
            self.newer, self.older, self.started = {}, self.newer, self.clock.credible
            self.cut += not aged
        for known in (self.older, self.newer):
            if code in known:
                return "repeated" if known[code] == check else "differing"
        late = self.clock.firm != NEVER and time < self.clock.firm - LATENESS
        if late and self.refuses:
            return "late"
        if not late:
            self.clock.advance(rows_at([time]), LATENESS, np.zeros(1, np.bool_), *np.zeros((2, 1), np.int64))
        self.started = self.clock.credible if self.started == NEVER else self.started
        self.newer[code] = check
        return "late" if late else "new"


steps_of = st.lists(st.tuples(st.integers(1, 14), st.integers(0, 1), st.integers(-25, 12)), max_size=120)


@given(steps_of, st.booleans(), st.integers(1, 4), st.integers(5, 9), st.data())
@settings(max_examples=150, deadline=None)
def test_fold(steps: list[tuple[int, int, int]], refuses: bool, fewest: int, most: int, data: st.DataObject) -> None:
    """However rows are cut into batches, and whenever a member goes on from a snapshot, the slow rule holds."""
    codes = np.array([step[0] << data.draw(st.sampled_from([0, 32, 60])) for step in steps], np.uint64)
    checks = np.array([step[1] for step in steps], np.uint16)
    times = np.maximum.accumulate(np.cumsum([max(step[2], 0) for step in steps]) if steps else np.zeros(0, np.int64))
    times = times + np.array([min(step[2], 0) for step in steps], np.int64)
    good = np.array([data.draw(st.integers(0, 9)) > 0 for _ in steps], np.bool_)
    slow = Slow(refuses, 40, fewest, most)
    wanted = [
        slow.fate(int(code), int(check), int(time)) if fine else "bad"
        for code, check, time, fine in zip(codes, checks, times, good, strict=True)
    ]
    ids, clock, begin, found = Ids(40, fewest, most), Clock(), 0, []
    while begin < len(steps):
        rows = slice(begin, data.draw(st.integers(begin + 1, len(steps))))
        marks = blank(rows.stop - begin)
        seen = rows_at(times[rows])._replace(good=good[rows])
        ids.sift(codes[rows], checks[rows], seen, clock, LATENESS, refuses, marks)
        for number, fine in enumerate(good[rows]):
            names = [name for name, mark in zip(("repeated", "differing", "late"), marks, strict=False) if mark[number]]
            assert len(names) < 2
            found.append((names[0] if names else "new") if fine else "bad")
        begin = rows.stop
        if data.draw(st.booleans()):
            columns = packing.unpack(packing.pack(ids.columns()))
            ids = Ids(40, fewest, most)
            ids.load(columns)
    assert found == wanted
    assert (clock.firm, clock.credible) == (slow.clock.firm, slow.clock.credible)
    assert len(ids) == len(slow.newer) + len(slow.older)
    assert ids.cut == slow.cut


@pytest.mark.parametrize("spread", [1, 1 << 40], ids=["near", "far"])
def test_many_ids_in_little_memory(spread: int) -> None:
    """Among a million ids each repeat is found and none else, in about 16 bytes an id."""
    count = 1_000_000
    codes = codes_of(pa.array(np.arange(count, dtype=np.int64) * spread))
    ids, times, clock = Ids(3_600_000), np.arange(count), Clock()
    nothing = np.zeros(count, np.uint16)
    for again in (False, True):
        marks = blank(count)
        ids.sift(codes, nothing, rows_at(times), Clock(), 0, True, marks)
        assert int(marks[0].sum()) == (count if again else 0)
        assert not marks[1].any()
    assert len(ids) == count
    assert ids.nbytes / count < 20.1
    steady = Ids(100_000)
    for start in range(0, count, 4_096):
        rows = slice(start, start + 4_096)
        steady.sift(codes[rows], nothing[rows], rows_at(times[rows]), clock, 0, True, blank(len(codes[rows])))
    assert 100_000 <= len(steady) <= 205_000
    assert steady.nbytes < 205_000 * 20


def test_ids_that_are_crowded() -> None:
    """Ids whose codes follow one another, which no hash gives, are told apart as well."""
    codes = np.arange(1, 20_001, dtype=np.uint64) + np.uint64(2**64 - 30_000)
    ids, count = Ids(10**9), len(codes)
    for again in (False, True):
        marks = blank(count)
        ids.sift(codes, np.zeros(count, np.uint16), rows_at(np.arange(count)), Clock(), 0, True, marks)
        assert int(marks[0].sum()) == (count if again else 0)


# ---- what survives -----------------------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 9)), min_size=1, max_size=60), st.data())
@settings(max_examples=40, deadline=None)
def test_kills(steps: list[tuple[int, int]], data: st.DataObject) -> None:
    """However rows are cut into batches, and wherever a member is killed, the same rows are left out."""
    times = np.cumsum([step for _, step in steps])
    rows: list[Published] = [(f"e{name}", int(at), float(at % 2)) for (name, _), at in zip(steps, times, strict=True)]
    rows += [rows[data.draw(st.integers(0, len(rows) - 1))] for _ in range(5)]
    made = pipeline("score", within=20)
    once = member(made)
    whole = once.admit(published(rows), 0.0)
    wanted = features(once, whole.batch)
    enrich, checkpoint, at, begin = member(made), None, 0, 0
    found: dict[int, dict[str, object]] = {}
    repeated = 0
    while begin < len(rows):
        stop = data.draw(st.integers(begin + 1, len(rows)))
        admission = enrich.admit(published(rows[begin:stop], begin), 0.0)
        repeated += admission.remarks["repeated"]
        found |= features(enrich, admission.batch)
        begin = stop
        if data.draw(st.booleans()):
            checkpoint, at = enrich.snapshot(0), begin
        if data.draw(st.booleans()):
            enrich = member(made, checkpoint)
            if begin > at and len(again := enrich.admit(published(rows[at:begin], at), 0.0).batch):
                enrich.replay(again)
    assert found == wanted
    assert repeated == whole.remarks["repeated"]


def features(enrich: Enrich, batch: Batch) -> dict[int, dict[str, object]]:
    """The features of each row of a batch, by its offset."""
    if not len(batch):
        return {}
    (emit,) = enrich.process(batch, 0.0).emits
    return dict(zip(batch.offset.tolist(), emit.columns["sensor"].to_pylist(), strict=True))


def test_old_checkpoints_are_restored(capsys: pytest.CaptureFixture[str]) -> None:
    """A checkpoint of a version that kept no ids is taken up; that repeats of before are not known is said."""
    before = member(cases.pipeline(views=[cases.SENSOR], repeats="keep"))
    before.process(before.admit(published([("a", 1, 1.0)]), 0.0).batch, 0.0)
    after = member(pipeline(), before.snapshot(0))
    assert "ids of events before this checkpoint" in capsys.readouterr().out
    admission = after.admit(published([("a", 1, 1.0), ("b", 2, 1.0), ("b", 2, 1.0)], 1), 0.0)
    assert (admission.batch.offset.tolist(), admission.remarks["repeated"]) == ([1, 2], 1)


def test_damaged_ids_are_refused() -> None:
    """A snapshot whose ids are not all there is not taken up."""
    enrich = member(pipeline())
    enrich.process(enrich.admit(published([("a", 1, 1.0)]), 0.0).batch, 0.0)
    columns = packing.unpack(enrich.snapshot(0) or b"")
    for name in ("repeats_new_codes", "repeats_former_checks"):
        short = {**columns, name: columns[name][:-1] if len(columns[name]) else np.zeros(1, np.uint8)}
        with pytest.raises(ContractError, match="ids of events"):
            member(pipeline(), packing.pack(short))


def test_no_checkpoint_while_rows_wait() -> None:
    """Ids are those of all rows that were admitted: while some of these wait, there is no state to be written."""
    enrich = member(pipeline())
    batch = enrich.admit(published([("a", 1, 1.0)]), 0.0).batch
    assert enrich.snapshot(0) is None
    enrich.process(batch, 0.0)
    assert enrich.snapshot(0) is not None


# ---- hashes ------------------------------------------------------------------------------------------------------


def slow_murmur(text: bytes) -> int:
    """MurmurHash64A with seed 0, as its author wrote it."""
    step, full = 0xC6A4A7935BD1E995, 2**64 - 1
    value = len(text) * step & full
    for start in range(0, len(text) & ~7, 8):
        word = int.from_bytes(text[start : start + 8], "little") * step & full
        word = (word ^ word >> 47) * step & full
        value = (value ^ word) * step & full
    if rest := text[len(text) & ~7 :]:
        value = (value ^ int.from_bytes(rest, "little")) * step & full
    value = (value ^ value >> 47) * step & full
    return value ^ value >> 47


def test_hash_of_texts_is_murmurhash64a() -> None:
    """As its author's program computes it, for every length of the last word."""
    assert slow_murmur(b"hello") == 0x1E68D17C457BF117
    for size in range(40):
        text = bytes(range(100, 100 + size))
        data = np.frombuffer(text + b"\0", np.uint8)
        assert int(murmur64a(data.ctypes.data, size, np.uint64(0))) == slow_murmur(text)


@given(st.lists(st.text(max_size=20), unique=True, max_size=50), st.integers(0, 5))
@settings(max_examples=50, deadline=None)
def test_hashes_follow_values_alone(texts: list[str], start: int) -> None:
    """Of the same values hashes are the same, wherever they stand in a column; those of others differ."""
    column = pa.array([*texts, *texts])
    codes = codes_of(column)
    assert np.array_equal(codes[: len(texts)], codes[len(texts) :])
    assert np.array_equal(codes_of(column.slice(start)), codes[start:])
    assert len(set(codes.tolist())) == len(texts)
    assert not np.any(codes == 0)


def test_checks_tell_every_column_apart() -> None:
    """A null is no zero and no empty text, and the same values in other columns are another check; nulls excepted."""
    numbers, words = pa.array([0.0, None, 1.0]), pa.array(["", None, "a"])
    flags, whole = pa.array([True, None, False]), pa.array([0, None, 1])
    checks = [checks_of(columns, 3) for columns in ([numbers, words], [words, numbers], [flags, whole], [whole])]
    assert len({int(check) for column in checks for check in column}) == 10
    assert checks_of([], 2).tolist() == [0, 0]
