"""Labels of entries against a brute-force oracle, whatever the order, the corrections, evictions and restores."""

from __future__ import annotations

from collections import defaultdict
from math import isnan, nan

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.columnar import packing
from headrace.domain.features.label_aggregates import LabelQuestion
from headrace.domain.features.sliding_windows import Question
from headrace.domain.features.values import Timelines
from headrace.errors import ContractError
from services.views.state import Ledger
from tests.enrich.joining import Report, changes_of

DURATIONS = (10, 100)
DELAY = 20
ENTITIES = ("a", "b", "c")
AT_ZERO = np.zeros(1, np.int64)
"""A horizon for one row."""

reports = st.lists(st.tuples(st.integers(-5, 150), st.sampled_from([0.0, 1.0, 0.5])), max_size=3)
entries = st.lists(st.tuples(st.sampled_from(ENTITIES), st.integers(0, 200), reports), max_size=40)
questions = st.builds(
    LabelQuestion,
    durations=st.just(DURATIONS),
    delay=st.just(DELAY),
    unlabelled=st.sampled_from([None, 0.0, 0.5]),
    counted=st.just(True),
)


def oracle(
    rows: list[tuple[int, list[Report]]], time: int, duration: int, unlabelled: float | None
) -> dict[str, float]:
    """Features of one entity's entries (time, reports) in one window, said slowly."""
    count, values = 0, []
    for entry, told in rows:
        if time - DELAY - duration < entry <= time - DELAY:
            known = [report for report in told if report[0] <= time]
            count += bool(known)
            if known:
                values.append(max(known)[1])
            elif unlabelled is not None:
                values.append(unlabelled)
    total = sum(values) if values else nan
    return {"count": count, "sum": total, "mean": total / len(values) if values else nan}


def answers(ledger: Ledger, question: LabelQuestion, time: int) -> dict[str, list[list[float]]]:
    """What the packed timelines of all entities say: by function, for each entity each window."""
    slots = ledger.live()
    names = ledger.names(slots).to_pylist()
    lines = Timelines([*ledger.timelines(slots), None], 0, question.columns)
    which = np.array([names.index(name) if name in names else len(names) for name in ENTITIES])
    times = np.full(len(which), time)
    count = lines.answer(which, times, Question(DURATIONS, DELAY)).count
    found = lines.labels(which, times, question, count)
    return {name: np.column_stack([found.of(name, at) for at in (0, 1)]).tolist() for name in ("count", "sum", "mean")}


@given(entries, questions, st.data())
@settings(max_examples=80, deadline=None)
def test_oracle(rows: list[tuple[str, int, list[Report]]], question: LabelQuestion, data: st.DataObject) -> None:
    """A window holds the labels known at its row's time: the newest of each entry, whenever they came to be told."""
    known: dict[str, list[tuple[int, list[Report]]]] = defaultdict(list)
    tellings: list[tuple[str, int, int, int, float]] = []
    for entity, time, told in rows:
        so_far: list[Report] = []
        for lag, value in told:
            changes = changes_of(so_far, (time + lag, value))
            tellings += [(entity, time, at, more, by) for at, more, by in changes]
        known[entity].append((time, so_far))
    tellings = data.draw(st.permutations(tellings))
    ledger = Ledger(Question(DURATIONS, DELAY), question)
    horizon = data.draw(st.sampled_from([-1_000, 60]))
    steps = [(entity, time) for entity, time, _ in rows]
    for part in (0, 1):
        cut = slice(part * (len(steps) // 2), None if part else len(steps) // 2)
        names = pa.array([entity for entity, _ in steps[cut]], pa.string())
        times = np.array([time for _, time in steps[cut]], np.int64)
        cut = slice(part * (len(tellings) // 3), None if part else len(tellings) // 3)
        columns = list(zip(*tellings[cut], strict=True)) or [(), (), (), (), ()]
        labels = pa.array(columns[0], pa.string())
        numbers = [np.array(column, np.int64) for column in columns[1:3]]
        deltas = [np.array(column, np.float64) for column in columns[3:]]
        ledger.fold_labels(labels, *numbers, *deltas, np.full(len(labels), horizon))
        ledger.fold(names, times, np.zeros((len(times), 0)), np.full(len(times), horizon))
        if data.draw(st.booleans()):
            restored = Ledger(Question(DURATIONS, DELAY), question)
            restored.load(packing.unpack(packing.pack(ledger.columns(horizon))))
            assert [ledger.timelines(ledger.live())] == [restored.timelines(restored.live())]
            ledger = restored
    for time in data.draw(st.lists(st.integers(60 + DELAY + max(DURATIONS), 400), min_size=1, max_size=5)):
        found = answers(ledger, question, time)
        for at, entity in enumerate(ENTITIES):
            for window, duration in enumerate(DURATIONS):
                for name, wanted in oracle(known[entity], time, duration, question.unlabelled).items():
                    got = found[name][at][window]
                    assert got == pytest.approx(wanted) or (isnan(got) and isnan(wanted)), (name, time)


def told(ledger: Ledger, entity: str, time: int, known: int, label: float) -> int:
    """Tell the ledger a first label; how many entities changed."""
    columns = np.array([time]), np.array([known]), np.array([1.0]), np.array([label])
    return len(ledger.fold_labels(pa.array([entity]), *columns, AT_ZERO))


def test_what_says_nothing_is_not_kept() -> None:
    """Where a missing label stands for 0 and nobody counts, labels of 0 cost nothing, nor do entities without any."""
    question = LabelQuestion(DURATIONS, DELAY, 0.0, counted=False)
    ledger = Ledger(Question(DURATIONS, DELAY), question)
    assert told(ledger, "a", 5, 25, 0.0) == 0
    slots = ledger.fold(pa.array(["a"]), np.array([5]), np.zeros((1, 0)), AT_ZERO)
    bare = ledger.timelines(slots)[0]
    assert len(bare) == 16
    assert told(ledger, "a", 5, 25, 1.0) == 1
    assert len(ledger.timelines(slots)[0]) == 16 + 24
    assert told(ledger, "a", 0, 25, 1.0) == 0  # At the horizon: nobody asks for it any more.


def test_vanished() -> None:
    """An entity is given up when neither entries nor labels are left."""
    ledger = Ledger(Question(DURATIONS, DELAY), LabelQuestion(DURATIONS, DELAY))
    ledger.fold(pa.array(["a", "b"]), np.array([5, 9]), np.zeros((2, 0)), np.repeat(AT_ZERO, 2))
    told(ledger, "a", 50, 50, 1.0)
    assert ledger.names(ledger.sweep(20)).to_pylist() == ["b"]
    assert ledger.names(ledger.sweep(50)).to_pylist() == ["a", "b"]
    ledger.release(ledger.live())
    assert len(ledger) == 0


def test_snapshots_of_others() -> None:
    """State with labels is not taken for state without, nor the other way round."""
    question = Question(DURATIONS, DELAY)
    with_labels, without = Ledger(question, LabelQuestion(DURATIONS, DELAY)), Ledger(question)
    for one, other in ((with_labels, without), (without, with_labels)):
        with pytest.raises(ContractError, match="of labels"):
            one.load(other.columns(0))


def test_strange_timelines() -> None:
    """A timeline with labels is not read as one without."""
    ledger = Ledger(Question(DURATIONS, DELAY), LabelQuestion(DURATIONS, DELAY))
    told(ledger, "a", 50, 50, 1.0)
    packed = ledger.timelines(ledger.live())
    with pytest.raises(ContractError, match="0 columns, 0 of labels"):
        Timelines(packed, 0)
    with pytest.raises(ContractError, match="no timeline"):
        Timelines([packed[0][:-8]], 0, 3)
