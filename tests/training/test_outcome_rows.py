"""Rows from outcomes are those from features and labels, and hold no label that was not known."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.columnar.partitioner import partitions_of
from headrace.domain.pipeline.segments import Segments
from headrace.domain.training.dataset import Dataset, assemble
from headrace.domain.training.outcome_rows import PUBLISHED, KnownUntil, outcome_rows
from headrace.errors import ConfigurationError
from headrace.streaming.records.batch import slot
from tests.labels.cases import EXCHANGE, EXPIRES, MATURES, SOURCES, Case, pipeline

INPUTS = ("amount", "customer.nb_tx_1d", "terminal.risk_7d")
ARMS = ("m@1/champion", "m@2/canary", "s@1/shadow", "s@2/challenger")
BEGIN = 1_000
SOURCES_OF_RECORDS = (("labels", 2), ("predictions", 2), ("shadow-predictions", 1))
Label = tuple[str, float, int, str]


def joined(case: Case, told: list[dict[str, Any]]) -> pa.Table:
    """What the labels service makes of records of the exchange, as it would lie on the topic."""
    service = case.service()
    service.restore(slot(EXCHANGE, 0), None)
    found = [e.columns for e in service.process(case.batch(told), 0.0).emits if e.topic == "outcomes"]
    table = pa.Table.from_batches(found, schema=case.outcomes)
    table = table.append_column("_partition", pa.array(np.zeros(len(table), np.int32)))
    return table.append_column("_offset", pa.array(np.arange(len(table))))


def tables(case: Case, times: dict[str, int], labels: Sequence[Label]) -> tuple[pa.Table, pa.Table]:
    """The same events and labels as they lie on their own topics."""
    rows = [case.prediction(name, time) for name, time in times.items()]
    kinds = {
        "event_id": pa.string(),
        "value": pa.float64(),
        "label_time": pa.timestamp("ms", "UTC"),
        "source": pa.string(),
    }
    known = {
        name: pa.array([label[at] for label in labels]).cast(kind) for at, (name, kind) in enumerate(kinds.items())
    }
    return pa.Table.from_pylist(rows, schema=case.predictions), pa.table(known)


def same(one: Dataset, other: Dataset) -> bool:
    """Whether two are equal, to the bit."""
    assert one.inputs == other.inputs
    assert one.groups.keys() == other.groups.keys()
    return all(
        np.array_equal(a, b, equal_nan=a.dtype.kind == "f")
        for a, b in [
            (one.matrix, other.matrix),
            (one.labels, other.labels),
            (one.times, other.times),
            *((one.groups[group], other.groups[group]) for group in one.groups),
        ]
    )


def rows_of(made: Any) -> Dataset | str:
    """The rows, or why there are none."""
    try:
        found: Dataset = made()
    except ConfigurationError as error:
        return str(error).partition(" ")[2]
    return found


EVENTS = 12
labels_of_events = st.lists(
    st.tuples(
        st.integers(0, EVENTS + 1),
        st.sampled_from([0.0, 1.0]),
        st.sampled_from([3, 5, 50, MATURES - 1, MATURES, MATURES + 40, EXPIRES, EXPIRES + 1]),
        st.sampled_from([*SOURCES, "anyone"]),
    ),
    max_size=30,
)


@settings(max_examples=150, deadline=None)
@given(
    labels=labels_of_events,
    times=st.lists(st.integers(0, 200), min_size=EVENTS, max_size=EVENTS),
    arms=st.lists(st.lists(st.sampled_from(ARMS), max_size=3), min_size=EVENTS, max_size=EVENTS),
    cut=st.integers(0, 30),
    unlabelled=st.sampled_from([0.0, None]),
)
def test_both_ways_give_the_same_rows(
    labels: list[tuple[int, float, int, str]],
    times: list[int],
    arms: list[list[str]],
    cut: int,
    unlabelled: float | None,
) -> None:
    """Corrections, duplicates, late and early labels, labels of nobody, dark arms, predictions after their labels."""
    case = Case(pipeline(unlabelled=unlabelled))
    at = {f"e{number}": BEGIN + time for number, time in enumerate(times)}
    told = [(f"e{e}", value, at.get(f"e{e}", BEGIN) + delay, who) for e, value, delay, who in labels]
    parts = [(name, ["m@1/champion", *arms[number]]) for number, name in enumerate(at)]
    predictions = [case.prediction(name, at[name], arm) for name, models in parts for arm in models]
    early, late = told[:cut], told[cut:]
    end = BEGIN + 200 + MATURES
    shown, dark = ([p for p in predictions if (p["arm"] in PUBLISHED) == public] for public in (True, False))
    records = [
        case.record("labels", 0, BEGIN, 1, labels=early),
        case.record("predictions", 0, BEGIN, 2, predictions=shown),
        case.record("shadow-predictions", 0, BEGIN, 3, predictions=dark),
        *(case.record(source, place, end, 4) for source, count in SOURCES_OF_RECORDS for place in range(count)),
        case.record("labels", 1, end + 2 * EXPIRES, 5, labels=late),
    ]
    outcomes = joined(case, records)
    features, known = tables(case, at, told)
    rule, segments = case.pipeline.labels, Segments(case.pipeline)
    as_of = end + 2 * EXPIRES
    one = rows_of(lambda: outcome_rows(outcomes, INPUTS, rule, as_of, segments))
    other = rows_of(lambda: assemble(features, known, INPUTS, rule, as_of, segments))
    if isinstance(one, str) or isinstance(other, str):
        assert isinstance(one, str)
        assert isinstance(other, str)
        return
    assert same(one, other)
    shuffled = outcomes.take(pa.array(np.random.default_rng(0).permutation(len(outcomes))))
    assert same(outcome_rows(shuffled, INPUTS, rule, as_of, segments), one), "batches of partitions come in any order"


def spread(case: Case, labels: Sequence[Label], times: dict[str, int], end: int) -> pa.Table:
    """Outcomes once labels and predictions have come as far as `end`."""
    return joined(
        case,
        [
            case.record("predictions", 0, BEGIN, 1, predictions=[case.prediction(e, t) for e, t in times.items()]),
            case.record("labels", 0, BEGIN, 2, labels=labels),
            *(case.record(source, place, end, 3) for source, count in SOURCES_OF_RECORDS for place in range(count)),
        ],
    )


TIMES = {f"e{number}": BEGIN + 10 * number for number in range(20)}


def test_what_was_known_at_a_moment() -> None:
    """A correction counts from its label time on; an event whose label came after the moment was silent then."""
    case = Case(pipeline())
    labels = [
        ("e0", 1.0, 1_010, "bank"),
        ("e0", 0.0, 1_200, "bank"),
        ("e1", 1.0, 1_150, "bank"),
        ("e9", 1.0, 1_091, "bank"),
    ]
    outcomes = spread(case, labels, TIMES, 1_400)
    expected = {1_149: [1, 0, 0], 1_150: [1, 1, 0], 1_199: [1, 1, 0], 1_200: [0, 1, 0]}
    for as_of, first in expected.items():
        data = outcome_rows(outcomes, INPUTS, case.pipeline.labels, as_of)
        assert data.labels[:3].tolist() == first
        assert data.times[-1] == (as_of - MATURES) // 10 * 10, "of younger events those with a label are a choice"


def test_rows_of_dark_arms_are_none() -> None:
    """An event that nobody answered in public is no row."""
    case = Case(pipeline())
    outcomes = spread(case, [("e1", 1.0, 1_020, "bank")], TIMES, 1_400)
    dark = pa.array(["shadow"] * len(outcomes))
    with pytest.raises(ConfigurationError, match="no outcomes of published predictions"):
        outcome_rows(outcomes.set_column(outcomes.schema.get_field_index("arm"), "arm", dark), INPUTS, None, 2_000)


@pytest.mark.parametrize("partitions", [1, 3])
def test_known_until(partitions: int) -> None:
    """Events mature with the last one of their partition of the exchange for which no label came; the oldest counts."""
    case = Case(pipeline())
    outcomes = spread(case, [("e19", 1.0, BEGIN + 191, "bank")], TIMES, BEGIN + 155 + MATURES)
    place = outcomes.schema.get_field_index("mature_before")
    kind = outcomes.schema.field(place).type

    def moment(before: int | None) -> int:
        clock = KnownUntil(case.pipeline.labels, partitions)
        assert clock.moment == 0
        column = pa.array([before] * len(outcomes), pa.int64()).cast(kind)
        for batch in outcomes.set_column(place, "mature_before", column).to_batches(max_chunksize=3):
            clock.note(batch)
        return clock.moment

    assert moment(BEGIN + 156) == BEGIN + 155 + MATURES, "the join says so itself"
    silent = [e for e, time in TIMES.items() if time <= BEGIN + 155]
    newest = [
        max(TIMES[e] for e, p in zip(silent, partitions_of(pa.array(silent), partitions), strict=True) if p == q)
        for q in range(partitions)
    ]
    assert moment(None) == min(newest) + MATURES, "as before it did"


def test_known_until_where_silence_says_nothing() -> None:
    """All labels that came count, however young their events are."""
    case = Case(pipeline(unlabelled=None))
    clock = KnownUntil(case.pipeline.labels, 1)
    for batch in spread(case, [("e19", 1.0, 1_577, "bank")], TIMES, 1_155).to_batches():
        clock.note(batch)
    assert clock.moment == 1_577
