"""Rows of several partitions come in the order of their time, and nobody waits for those that have nothing to say."""

from __future__ import annotations

from random import Random

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.streaming.records.batch import Batch, concat
from headrace.streaming.watermarks.alignment import PATIENCE_S, Alignment
from headrace.streaming.watermarks.event_time import Clock, Flags, Seen

MINUTE = 60_000
LATENESS = 10 * MINUTE


def batch(partition: int, times: list[int], first: int) -> Batch:
    """Rows of a partition with these times, from an offset on."""
    count = len(times)
    columns = pa.RecordBatch.from_pydict({"at": pa.array(times, pa.int64())})
    offsets = np.arange(first, first + count)
    return Batch(
        "events-feed", columns, pa.nulls(count, pa.binary()), np.full(count, partition, np.int32), offsets,
        np.zeros(count, np.int64),
    )  # fmt: skip  # one line's worth


class Member:
    """Reads logs in whatever pieces, as a runner does: what waits is offered again, with what waits beside it.

    Attributes:
        taken: (partition, offset, time) in the order in which they were taken.
    """

    def __init__(self, logs: list[list[int]], seed: int) -> None:
        self.logs, self.random = logs, Random(seed)
        self.alignment = Alignment(LATENESS)
        self.read = [0] * len(logs)
        self.held: dict[int, list[Batch]] = {}
        self.told: set[int] = set()
        self.taken: list[tuple[int, int, int]] = []
        for partition in range(len(logs)):
            self.alignment.own(partition)

    def run(self, most: int, now: float = 0.0) -> None:
        """Turns until all is taken; none of them in vain for ever."""
        for _ in range(20_000):
            if sum(map(len, self.logs)) == len(self.taken):
                return
            self.turn(most, now)
        raise AssertionError(f"rows wait for ever: {sorted(self.held)}")

    def turn(self, most: int, now: float) -> None:
        """Poll one partition that is not paused, offer what waits, tell what is at its end."""
        open_ = [part for part in range(len(self.logs)) if part not in self.held]
        if open_:
            part = self.random.choice(open_)
            first = self.read[part]
            times = self.logs[part][first : first + self.random.randint(1, most)]
            if times:
                self.told.discard(part)
                self.read[part] += len(times)
                self.offer([batch(part, times, first)], now)
            else:
                self.told.add(part)
        waiting = [each for part in sorted(self.held) for each in self.held.pop(part)]
        if waiting:
            self.offer(waiting, now)
        self.alignment.at_end({part for part in self.told if part not in self.held})

    def offer(self, batches: list[Batch], now: float) -> None:
        """Rows to be taken, or to wait from somewhere on."""
        offered = concat(batches)
        times = offered.columns["at"].to_numpy()
        merged = self.alignment.merge(offered, times, now)
        for row in merged.rows.tolist():
            self.taken.append((int(offered.partition[row]), int(offered.offset[row]), int(times[row])))
        for part, first in merged.rest.items():
            self.held[part] = [offered.take((offered.partition == part) & (offered.offset >= first))]


def assert_each_once_in_order(member: Member) -> None:
    """Each row once, those of a partition in its order."""
    for part, log in enumerate(member.logs):
        mine = [(offset, time) for partition, offset, time in member.taken if partition == part]
        assert mine == list(enumerate(log))


def late(member: Member) -> Flags:
    """Which rows those who read on take for late, of what was taken."""
    times = np.array([time for *_, time in member.taken])
    rows = len(times)
    found, every = np.zeros(rows, np.bool_), np.ones(rows, np.bool_)
    seen = Seen(times, np.full(rows, -1), every, np.arange(rows), every)
    Clock().advance(seen, LATENESS, found, *np.zeros((2, rows), np.int64))
    return found


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 5), st.integers(1, 300))
def test_a_log_from_its_beginning_comes_in_order(seed: int, partitions: int, most: int) -> None:
    """Whatever pieces are read of which partition, none comes too late for those who read on."""
    draw = np.random.default_rng(seed)
    times = np.cumsum(draw.exponential(MINUTE, draw.integers(1, 900))).astype(int)
    parts = draw.integers(0, partitions, len(times))
    if draw.random() < 0.5:  # One after the other, as sticky producers write them.
        parts = np.sort(parts)
    member = Member([times[parts == part].tolist() for part in range(partitions)], seed)
    member.run(most)
    assert_each_once_in_order(member)
    assert not late(member).any()


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32))
def test_wrong_dates_hold_nobody_up(seed: int) -> None:
    """Rows of another century come in their partition's order, and delay none, once there were a few rows."""
    draw = np.random.default_rng(seed)
    times = np.cumsum(draw.exponential(MINUTE, 900)).astype(int)
    wrong = (draw.random(900) < 0.01) & (np.arange(900) >= 60)
    dated = np.where(wrong, draw.choice([-(10**13), 10**14], 900), times)
    parts = draw.integers(0, 3, 900)
    member = Member([dated[parts == part].tolist() for part in range(3)], seed)
    member.run(200)
    assert_each_once_in_order(member)
    wrong_ones = np.array([not 0 <= time < 10**13 for *_, time in member.taken])
    assert not (late(member) & ~wrong_ones).any()


def test_what_does_not_come_is_waited_for_within_a_bound() -> None:
    """A partition whose log has more and does not come holds the others up for half a minute; one at its end, never."""
    alignment = Alignment(LATENESS)
    for partition in (0, 1):
        alignment.own(partition)
    rows = batch(0, [n * MINUTE for n in range(50)], 0)
    times = rows.columns["at"].to_numpy()
    assert alignment.merge(rows, times, 100.0).rest == {0: 0}
    assert alignment.merge(rows, times, 100.0 + PATIENCE_S - 1).rest == {0: 0}
    assert len(alignment.merge(rows, times, 100.0 + PATIENCE_S).rows) == 50
    alignment.at_end({1})
    more = batch(0, [n * MINUTE for n in range(50, 90)], 50)
    assert alignment.merge(more, more.columns["at"].to_numpy(), 200.0).rest == {}
    alignment.drop(1)
    alignment.at_end(set())
    more = batch(0, [n * MINUTE for n in range(190, 199)], 990)
    assert alignment.merge(more, more.columns["at"].to_numpy(), 900.0).rest == {}


def test_a_clock_that_is_an_hour_ahead_is_waited_for_once() -> None:
    """Who reads a row a second of a producer whose clock is right waits no longer than that for one whose is not."""
    alignment = Alignment(LATENESS)
    for partition in (0, 1):
        alignment.own(partition)
    waits, firsts = 0, [0, 0]
    for turn in range(200):
        parts = [
            batch(part, [60 * MINUTE * (part == 0) + n * 1_000 for n in range(firsts[part], turn + 1)], firsts[part])
            for part in (0, 1)
        ]
        offered = concat(parts)
        rest = alignment.merge(offered, offered.columns["at"].to_numpy(), float(turn)).rest
        firsts = [rest.get(part, turn + 1) for part in (0, 1)]
        assert 1 not in rest
        waits += 0 in rest
    assert PATIENCE_S <= waits <= PATIENCE_S + 2
