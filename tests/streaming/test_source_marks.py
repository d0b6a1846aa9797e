"""Who is idle holds others back for as long as it may hold something unread, and no longer."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.errors import ContractError
from headrace.streaming.watermarks.event_time import NEVER
from headrace.streaming.watermarks.source_marks import SourceMarks
from headrace.streaming.watermarks.sources import ALWAYS

IDLE_AFTER = 10
"""Ticks of the clock at its end after which a source is idle; it says so again every half of that."""
BEGIN = 1_000


class Readers:
    """Logs of several sources, whoever reads them, and what they tell.

    A record is (when it is written, how far its source was before it). Readers look one after the other, each as far
    behind as it likes to be.

    Attributes:
        given: (progress, source) of rows whose turn came, in order.
        waited: the longest that a row waited for its turn after it was told.
    """

    def __init__(self, logs: list[list[tuple[int, int]]], seed: int, lag: int = 0, trusting: bool = False) -> None:
        self.logs, self.random, self.lag, self.trusting = logs, Random(seed), lag, trusting
        self.marks = SourceMarks()
        self.marks.grow(len(logs))
        self.at = [0] * len(logs)
        self.still = [BEGIN] * len(logs)
        self.told_idle = [NEVER] * len(logs)
        self.waiting: list[tuple[int, int, int]] = []
        self.given: list[tuple[int, int]] = []
        self.waited = 0

    def run(self, until: int) -> None:
        """Let the clock go on."""
        busy = [BEGIN] * len(self.logs)
        for now in range(BEGIN, until):
            for source in self.random.sample(range(len(self.logs)), len(self.logs)):
                if busy[source] <= now:
                    self.look(source, now)
                    busy[source] = now + self.random.randint(0, self.lag)
            if self.random.random() < 0.1:
                after = SourceMarks()
                after.load(self.marks.columns(), len(self.logs))
                self.marks = after

    def look(self, source: int, now: int) -> None:
        """Read what there is, or say that nothing is."""
        log, low = self.logs[source], self.at[source]
        high = low + sum(written <= now for written, _ in log[low:])
        if high > low:
            self.waiting += [(progress, source, now) for _, progress in log[low:high]]
            self.at[source], self.still[source], self.told_idle[source] = high, now, NEVER
            self.take(source, log[high - 1][1] + 1, False, now)
        elif now - self.still[source] >= IDLE_AFTER and now - self.told_idle[source] >= IDLE_AFTER // 2:
            self.told_idle[source] = now
            self.take(source, log[low - 1][1] + 1 if low else NEVER, True, now)

    def take(self, source: int, progress: int, idle: bool, now: int) -> None:
        """Tell it, and give what is due."""
        self.marks.take(source, self.at[source], progress, idle, *([] if self.trusting else [now]))
        bound = self.marks.bound()
        if bound is not None:
            due = sorted(row for row in self.waiting if row[0] < bound)
            self.waiting = [row for row in self.waiting if row[0] >= bound]
            self.given += [(progress, source) for progress, source, _ in due]
            self.waited = max([self.waited, *(now - told for *_, told in due)])


def bursts(draw: Random, sources: int) -> list[list[tuple[int, int]]]:
    """Records that are written at once, or one after the other, to some of the sources; then nothing for a while."""
    logs: list[list[tuple[int, int]]] = [[] for _ in range(sources)]
    clock, progress = BEGIN, 0
    for _ in range(draw.randint(1, 5)):
        clock += draw.choice((1, IDLE_AFTER, 5 * IDLE_AFTER))
        often = draw.sample(range(sources), draw.randint(1, sources))
        apart = draw.choice((0, 0, 1, 3))
        for _ in range(draw.randint(1, 30)):
            progress += draw.choice((0, 1, 5))
            clock += apart
            logs[draw.choice(often)].append((clock, progress))
    return logs


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 4), st.integers(0, IDLE_AFTER - 1))
def test_rows_are_given_in_order_whoever_is_read_when(seed: int, sources: int, lag: int) -> None:
    """Bursts and rests, readers that lag behind by less than sources are waited for, restarts: nothing comes late, and
    all has its turn in the end.
    """
    logs = bursts(Random(seed), sources)
    readers = Readers(logs, seed, lag)
    readers.run(max(written for log in logs for written, _ in log) + 10 * IDLE_AFTER)
    assert [progress for progress, _ in readers.given] == sorted(progress for log in logs for _, progress in log)
    assert not readers.waiting
    assert not readers.marks.behind
    assert readers.marks.bound() == ALWAYS


def test_what_is_idle_was_trusted_blindly_once() -> None:
    """Of two that rested, the one that is read first was given first: marks that do not say when are taken so still."""
    logs = [[(BEGIN + 50, progress) for progress in range(first, 100, 2)] for first in (0, 1)]
    former, readers = Readers(logs, 1, trusting=True), Readers(logs, 1)
    for each in (former, readers):
        each.run(BEGIN + 100)
    in_order = sorted((progress, source) for source, log in enumerate(logs) for _, progress in log)
    assert readers.given == in_order
    assert sorted(former.given) == in_order != former.given


@pytest.mark.parametrize("empty", [1, 3])
def test_a_source_that_rests_for_ever_delays_others_and_stops_nothing(empty: int) -> None:
    """Rows of a stream beside it wait three times as long as a source has to be at its end to be idle, at most."""
    logs: list[list[tuple[int, int]]] = [[(BEGIN + at, at) for at in range(500)], *([] for _ in range(empty))]
    readers = Readers(logs, 2)
    readers.run(BEGIN + 500)
    assert len(readers.given) >= 500 - 3 * IDLE_AFTER
    assert readers.waited <= 3 * IDLE_AFTER


def test_all_that_rests_is_given_half_as_long_again_after_it_is_idle() -> None:
    """Which was at once before."""
    readers = Readers([[(BEGIN, at) for at in range(5)], [(BEGIN, 3)]], 3)
    readers.run(BEGIN + IDLE_AFTER * 3 // 2)
    assert readers.marks.bound() != ALWAYS
    readers.run(BEGIN + IDLE_AFTER * 3 // 2 + 1)
    assert readers.marks.bound() == ALWAYS


def test_a_clock_that_is_ahead_does_harm_for_as_long_as_it_is() -> None:
    """What its member said is taken back by the next one that says anything of the source."""
    marks = SourceMarks()
    marks.grow(2)
    marks.take(0, 1, 10, False, 1_000_000)
    marks.take(1, 0, NEVER, True, 100)
    for seen in (105, 110, 115):
        marks.take(1, 0, NEVER, True, seen)
        assert marks.bound() == NEVER
    marks.take(0, 2, 20, False, 106)
    assert marks.bound() == NEVER
    marks.take(1, 0, NEVER, True, 120)
    assert marks.bound() == 20


def test_a_clock_that_is_set_back_proves_nothing_until_it_goes_on() -> None:
    """Two sights of the end count in the order of their times alone."""
    marks = SourceMarks()
    marks.grow(2)
    marks.take(0, 1, 10, False, 100)
    for seen, bound in ((120, NEVER), (110, NEVER), (112, 10)):
        marks.take(1, 0, NEVER, True, seen)
        assert marks.bound() == bound


def test_a_state_of_before_goes_on_as_it_was() -> None:
    """What was idle then is not waited for until somebody tells of it anew; then it proves what it tells."""
    marks = SourceMarks()
    former = {"next_offset": np.array([5, 0]), "progress": np.array([50, NEVER]), "idle": np.array([0, 1])}
    marks.load(former, 2)
    assert marks.bound() == 50
    marks.take(0, 6, 60, False)  # a part from before as well
    assert marks.bound() == 60
    marks.take(0, 7, 70, False, 1_000)
    assert marks.bound() == 70
    for seen, bound in ((1_005, 70), (1_010, 70)):
        marks.take(1, 0, NEVER, True, seen)
        assert marks.bound() == bound
    marks.take(0, 8, 80, False, 1_010)
    assert marks.bound() == 70
    for seen, bound in ((1_015, 70), (1_020, 80)):
        marks.take(1, 0, NEVER, True, seen)
        assert marks.bound() == bound
    nothing = SourceMarks()
    nothing.load(SourceMarks().columns(), 2)
    assert (nothing.count, nothing.behind) == (0, False)
    resting = SourceMarks()
    resting.load({**former, "idle": np.array([1, 1])}, 2)
    assert resting.bound() == ALWAYS
    with pytest.raises(ContractError, match="the topic was made anew"):
        SourceMarks().load(former, 1)


def test_a_source_that_is_added_is_waited_for() -> None:
    """Until it is told of; what all had given before is not taken back."""
    marks = SourceMarks()
    marks.take(0, 5, 50, True, 100)
    marks.take(0, 5, 50, True, 105)
    assert (marks.bound(), marks.behind) == (ALWAYS, False)
    marks.grow(2)
    assert (marks.bound(), marks.behind) == (None, True)
    marks.take(0, 6, 60, False, 110)
    marks.take(1, 0, NEVER, True, 112)
    assert marks.bound() == 50
    for seen, bound in ((117, 50), (122, 60)):
        marks.take(1, 0, NEVER, True, seen)
        assert marks.bound() == bound
