"""Windows against a brute-force oracle, whatever the cuts, restores and evictions."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from math import fsum, inf, isnan, nan

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.columnar import packing
from headrace.domain.features.keyed_windows import EntityWindows
from headrace.domain.features.sliding_windows import Answers, Question, Windows
from headrace.errors import ContractError
from headrace.streaming.watermarks.event_time import NEVER

Row = tuple[int, int, float, float]


@dataclass
class Oracle:
    """What windows promise, said slowly."""

    question: Question
    watermark: int = NEVER
    entries: dict[int, list[tuple[int, float, float]]] = field(default_factory=lambda: defaultdict(list))

    def answer(self, row: Row) -> list[tuple[int, list[tuple[float, int, float, float]]]]:
        """Fold and answer one row: for each window the count, and for each column sum, count, min, max, magnitude."""
        entity, time, *values = row
        late = time < self.watermark - self.question.lateness
        if not late:
            self.entries[entity].append((time, values[0], values[1]))
            self.watermark = max(self.watermark, time)
        end = time - self.question.delay
        horizon = self.watermark - self.question.slack
        found = []
        for duration in self.question.durations:
            inside = [e for e in self.entries[entity] if max(end - duration, horizon) < e[0] <= end]
            columns = [[e[c] for e in inside if not isnan(e[c])] for c in (1, 2)]
            sums = [(fsum(c), len(c), min(c, default=inf), max(c, default=-inf)) for c in columns]
            found.append((len(inside), sums))
        return found


def run(windows: EntityWindows, rows: list[Row], cuts: list[int], restores: set[int]) -> list[Answers]:
    """Fold rows in batches that end at `cuts`; after batches named in `restores`, go on from a snapshot."""
    answers = []
    watermark = NEVER
    start = 0
    for number, stop in enumerate([*cuts, len(rows)]):
        part = rows[start:stop]
        start = max(start, stop)
        folded = np.ones(len(part), np.bool_)
        for at, row in enumerate(part):
            folded[at] = row[1] >= watermark - windows.windows.question.lateness
            watermark = max(watermark, row[1])
        entities = pa.array([f"e{row[0]}" for row in part], pa.string())
        times = np.array([row[1] for row in part], np.int64)
        values = np.array([row[2:] for row in part], np.float64).reshape(len(part), 2)
        answers.append(windows.fold_and_answer(entities, times, values, folded))
        if number in restores:
            restored = EntityWindows(windows.windows.question)
            restored.load(packing.unpack(packing.pack(windows.columns())))
            windows = restored
    return answers


def joined(answers: list[Answers]) -> tuple[np.ndarray, np.ndarray]:
    """All counts and all sums."""
    return np.concatenate([a.count for a in answers]), np.concatenate([a.sums for a in answers])


values = st.one_of(st.just(nan), st.floats(-1e3, 1e3), st.sampled_from([1e15, -1e15, 0.1, 57.16, -0.0]))
questions = st.builds(
    Question,
    durations=st.lists(st.integers(1, 60), min_size=1, max_size=4, unique=True).map(tuple),
    delay=st.sampled_from([0, 0, 7, 30]),
    lateness=st.sampled_from([0, 5, 20]),
    columns=st.just(2),
    extremes=st.just(True),
)


@st.composite
def streams(draw: st.DrawFn) -> list[Row]:
    """Rows that go on in time, with steps back."""
    rows, time = [], draw(st.integers(-50, 50))
    for step, back in draw(st.lists(st.tuples(st.integers(0, 8), st.integers(0, 25)), max_size=120)):
        time += step
        late = back if back % 3 == 0 else 0
        rows.append((draw(st.integers(0, 3)), time - late, draw(values), draw(values)))
    return rows


@given(streams(), questions, st.data())
@settings(max_examples=60, deadline=None)
def test_oracle(rows: list[Row], question: Question, data: st.DataObject) -> None:
    """Windows hold exactly what they should; cuts, evictions and restores change no bit."""
    oracle = Oracle(question)
    wanted = [oracle.answer(row) for row in rows]
    cuts = sorted(data.draw(st.lists(st.integers(0, len(rows)), max_size=6)))
    restores = data.draw(st.sets(st.integers(0, len(cuts))))
    count, sums = joined(run(EntityWindows(question), rows, cuts, restores))
    for at, windows in enumerate(wanted):
        for window, (events, columns) in enumerate(windows):
            assert count[at, window] == events
            for column, (total, known, least, most) in enumerate(columns):
                assert sums[at, window, column, 1:].tolist() == [known, least, most]
                assert sums[at, window, column, 0] == pytest.approx(total, rel=1e-9, abs=32.0)
    whole = joined(run(EntityWindows(question), rows, [], set()))
    assert whole[0].tobytes() == count.tobytes()
    assert whole[1].tobytes() == sums.tobytes()


def test_residue() -> None:
    """Once a huge value left the window, sums are those of the rest to the last bit."""
    windows = Windows(Question((100,), columns=1))
    times = np.arange(0, 1000, 10)
    values = np.full((100, 1), 0.1)
    values[5] = 1e300
    answers = windows.fold_and_answer(np.zeros(100, np.int64), times, values)
    assert answers.of("sum", 0)[20:].tolist() == pytest.approx([1.0] * 80, rel=1e-15)


@pytest.mark.parametrize("lateness", [0, 40])
def test_heavy_entity(lateness: int) -> None:
    """Entities with thousands of entries answer as fresh sums would, and bit for bit alike after a restore."""
    random = np.random.default_rng(3)
    rows = 30_000
    times = np.arange(rows) - np.where(random.random(rows) < 0.2, random.integers(0, lateness + 1, rows), 0)
    entities = pa.array(np.where(random.random(rows) < 0.8, 1, random.integers(2, 50, rows)))
    values = random.normal(100, 30, (rows, 1))
    values[random.random(rows) < 0.05] = nan
    folded = np.ones(rows, np.bool_)
    question = Question((12_000, 100, 5_000), 10, lateness, 1, extremes=True)
    whole = EntityWindows(question)
    answers = whole.fold_and_answer(entities, times, values, folded)
    cut = EntityWindows(question)
    parts = []
    for start in range(0, rows, 7_001):
        part = slice(start, start + 7_001)
        parts.append(cut.fold_and_answer(entities[start : start + 7_001], times[part], values[part], folded[part]))
        restored = EntityWindows(question)
        restored.load(packing.unpack(packing.pack(cut.columns())))
        cut = restored
    count, sums = joined(parts)
    assert count.tobytes() == answers.count.tobytes()
    assert sums.tobytes() == answers.sums.tobytes()
    numbers = entities.to_numpy()
    for row in (5, 4_200, 17_345, 29_999):
        for window, duration in enumerate(question.durations):
            end = times[row] - question.delay
            inside = (numbers == numbers[row]) & (times <= end) & (times > end - duration)
            inside[row + 1 :] = False
            known = values[inside, 0][~np.isnan(values[inside, 0])]
            assert answers.count[row, window] == inside.sum()
            assert answers.sums[row, window, 0].tolist() == pytest.approx(
                [fsum(known), len(known), known.min(initial=inf), known.max(initial=-inf)], rel=1e-13
            )


def test_memory() -> None:
    """A live entry of time and value costs at most 24 bytes, slack included; entities that fell silent cost nothing."""
    random = np.random.default_rng(5)
    windows = EntityWindows(Question((30_000,), lateness=10, columns=1))
    rows = 200_000
    times = np.arange(rows)
    entities = random.integers(0, 1_000, rows) + times // 50_000 * 1_000
    for start in range(0, rows, 4_096):
        part = slice(start, start + 4_096)
        size = len(times[part])
        windows.fold_and_answer(pa.array(entities[part]), times[part], np.ones((size, 1)), np.ones(size, np.bool_))
    windows.index.release(windows.windows.sweep())
    live = int(windows.windows.lengths().sum())
    assert 29_000 < live < 31_000
    assert windows.windows.nbytes / live <= 24 + 5  # little entities of thirty entries, and the spans of all
    assert len(windows.index) <= 1_000


def test_snapshot_of_other_windows() -> None:
    """A snapshot of other value columns is refused."""
    snapshot = EntityWindows(Question((10,), columns=1)).columns()
    with pytest.raises(ContractError, match="needs"):
        EntityWindows(Question((10,), columns=2)).load(snapshot)
