"""What is sent to the exchange, and what views are told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from headrace.columnar.partitioner import partitions_of
from headrace.domain.records import exchange as routing
from headrace.streaming.contracts.schemas import load_schema
from headrace.streaming.records.batch import Batch, slot
from headrace.streaming.watermarks.idleness import Quiet
from services.labels.exchange_batch import headed
from services.labels.join.layout import NEVER, UNSEEN
from services.labels.service import Labelling
from services.labels.view_progress import reached
from tests.labels.cases import COUNTS, EXCHANGE, ROOT, Case, pipeline

LABEL = load_schema(ROOT / "schemas/label.avsc").arrow
PARTITIONS = 4
HOUR = 3_600_000


def rows_of(topic: str, partition: int, rows: list[dict[str, Any]], schema: pa.Schema, first: int = 0) -> Batch:
    """Rows of one partition of an input, written at the tenth hour."""
    place = ("labels", "predictions", "shadow-predictions").index(topic)
    count = len(rows)
    numbers = np.full(count, slot(place, partition), np.int32)
    columns = pa.RecordBatch.from_pylist(rows, schema=schema)
    offsets, stamps = np.arange(first, first + count), np.full(count, 10 * HOUR)
    return Batch(topic, columns, pa.nulls(count, pa.binary()), numbers, offsets, stamps)


def labels(rows: list[tuple[str, float, int]], partition: int = 0, first: int = 0) -> Batch:
    """Labels (event, value, label time)."""
    names = ("event_id", "value", "label_time", "source")
    return rows_of("labels", partition, [dict(zip(names, (*row, "x"), strict=True)) for row in rows], LABEL, first)


def test_rows_meet_by_event_and_marks_reach_all() -> None:
    """A row goes where its event's id sends it; every partition of the exchange hears of every batch."""
    case = Case(pipeline())
    service = case.service()
    told = labels([(f"e{number}", 1.0, 1_000 + number) for number in range(50)], partition=1, first=7)
    (emit,) = service.process(told, 3.0).emits
    assert emit.partition is not None
    assert emit.partition.tolist() == [0, 1, 2, 3]
    assert set(emit.source.tolist()) == {slot(0, 1)}
    rows = emit.columns.to_pylist()
    for row, partition in zip(rows, emit.partition.tolist(), strict=True):
        assert (row["source"], row["source_partition"], row["next_offset"], row["idle"]) == ("labels", 1, 57, False)
        assert (row["progress"].timestamp(), row["time"].timestamp()) == (1.049, 3.0)
        ids = [label["event_id"] for label in row["labels"]]
        assert partitions_of(pa.array(ids, pa.string()), PARTITIONS).tolist() == [partition] * len(ids)
    assert sorted(label["event_id"] for row in rows for label in row["labels"]) == sorted(f"e{n}" for n in range(50))


def test_predictions_arrive_as_they_were_sent() -> None:
    """What the exchange holds of a prediction is the prediction; its join answers from it."""
    case = Case(pipeline())
    service = case.service()
    sent = [case.prediction(f"e{number}", 1_000 + number) for number in range(20)]
    (emit,) = service.process(rows_of("predictions", 0, sent, case.predictions), 3.0).emits
    found = [row for record in emit.columns.to_pylist() for row in record["predictions"]]
    wanted = pa.RecordBatch.from_pylist(sent, schema=case.predictions).to_pylist()
    assert sorted(found, key=lambda row: row["event_id"]) == sorted(wanted, key=lambda row: row["event_id"])


def test_a_large_batch_goes_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """No record outgrows its topic: a batch of many bytes is sent as several, each with its own rows' partitions."""
    monkeypatch.setattr(routing, "MOST_BYTES", 2_000)
    service = Case(pipeline()).service()
    told = labels([(f"e{number}", 1.0, 1_000) for number in range(300)])
    emits = service.process(told, 3.0).emits
    assert len(emits) > 3
    found = [row["event_id"] for emit in emits for record in emit.columns.to_pylist() for row in record["labels"]]
    assert sorted(found) == sorted(f"e{number}" for number in range(300))


def test_what_can_never_be_joined_is_refused() -> None:
    """No id, an endless id, no number, a time that nobody can know: each with its reason; the others go on."""
    service = Case(pipeline()).service()
    day = 24 * HOUR
    told = labels(
        [
            ("a", 1.0, 10 * HOUR + day), ("b", 1.0, 10 * HOUR + day + 1), ("c", float("inf"), 1), ("", 1.0, 1),
            ("d" * 1_001, 1.0, 1), ("e", 1.0, -(2**60)), ("f", 0.0, -5),
        ]
    )  # fmt: skip  # events, values, times
    output = service.process(told, 3.0)
    refused = [(reject.offset, reject.reason) for reject in output.rejects]
    assert refused == [(1, "label_time"), (2, "not_finite"), (3, "event_id"), (4, "event_id"), (5, "label_time")]
    rows = [row["event_id"] for record in output.emits[0].columns.to_pylist() for row in record["labels"]]
    assert sorted(rows) == ["a", "f"]


def labelled(**meaning: Any) -> Labelling:
    """The service where labels mean what is given."""
    case = Case(pipeline())
    assert case.pipeline.labels is not None
    case.pipeline = replace(case.pipeline, labels=replace(case.pipeline.labels, **meaning))
    return case.service()


def test_a_label_that_is_no_class_is_refused() -> None:
    """Of a probability a label is 0 or 1: others are dead letters, with the remedy, and none of them counts."""
    values = [0.0, 1.0, 2.0, -1.0, 0.3, float("nan")]
    told = labels([(f"e{number}", value, 1) for number, value in enumerate(values)])
    output = labelled(classes=True).process(told, 3.0)
    refused = [(reject.offset, reject.reason) for reject in output.rejects]
    assert refused == [(2, "no_class"), (3, "no_class"), (4, "no_class"), (5, "not_finite")]
    assert "labels: {positive: 2}" in output.rejects[0].detail
    rows = [row["event_id"] for record in output.emits[0].columns.to_pylist() for row in record["labels"]]
    assert sorted(rows) == ["e0", "e1"]


def test_the_positive_value_is_the_class() -> None:
    """Where the file says which value is positive, the exchange, and so all that folds labels, is told 1 and 0."""
    told = labels([("a", 2.0, 1), ("b", 1.0, 1), ("c", -1.0, 1), ("d", float("inf"), 1)])
    output = labelled(classes=True, positive=2.0).process(told, 3.0)
    assert [reject.reason for reject in output.rejects] == ["not_finite"]
    rows = [row for record in output.emits[0].columns.to_pylist() for row in record["labels"]]
    assert {row["event_id"]: row["value"] for row in rows} == {"a": 1.0, "b": 0.0, "c": 0.0}


def test_a_prediction_with_a_strange_id_is_refused() -> None:
    """A prediction's identity is made of its event's: one that is not could never be told from another."""
    case = Case(pipeline())
    rows = [case.prediction("a", 1_000), case.prediction("b", 1_000) | {"prediction_id": "a/m@1/champion"}]
    output = case.service().process(rows_of("predictions", 0, rows, case.predictions), 3.0)
    assert [reject.reason for reject in output.rejects] == ["prediction_id"]
    assert headed(pa.array(["", "ab"]), pa.array(["/x", "a/x"])).tolist() == [True, False]


def test_sources_at_their_end_say_so_again_and_again() -> None:
    """After `idle_after` at its end a source is told as idle, repeatedly, until a row comes; the exchange never is."""
    service = Case(pipeline()).service()
    service.process(labels([("a", 1.0, 5_000)]), 100.0)
    since = {slot(0, 0): 101.0, slot(1, 1): 109.0, slot(EXCHANGE, 0): 0.0}

    def at_end(until: float) -> dict[int, Quiet]:
        return {partition: Quiet(begun, until) for partition, begun in since.items()}

    assert service.tick(112.0, at_end(110.5)).emits == ()
    (emit,) = service.tick(112.0, at_end(111.0)).emits
    row = emit.columns.to_pylist()[0]
    assert (row["source"], row["idle"], row["progress"].timestamp(), row["time"].timestamp()) == (
        "labels",
        True,
        5,
        111,
    )
    assert service.tick(116.0, at_end(115.9)).emits == ()
    assert [emit.columns["source"][0].as_py() for emit in service.tick(119.5, at_end(119.5)).emits] == [
        "labels",
        "predictions",
    ]
    service.process(labels([("b", 1.0, 6_000)], first=1), 120.0)
    (emit,) = service.tick(131.0, {slot(0, 0): Quiet(121.0, 131.0)}).emits
    assert emit.columns["progress"][0].as_py().timestamp() == 6


def marks(*rows: tuple[int, int, int]) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Sources: progress, idle since, heard."""
    return np.array(rows, np.int64).reshape(-1, 3)


def test_progress_of_labels_for_views() -> None:
    """The least of labels' progress and events' progress with the view's delay; idle sources are left to the clock."""
    view = pipeline().label_views[0]  # delay 50
    awake = marks((900, NEVER, 10), (1_000, NEVER, 12))
    assert reached(view, 9, awake, marks((880, NEVER, 11))) == (900, 10, False, 900, 0)
    assert reached(view, 9, awake, marks((840, NEVER, 11))) == (880, 10, False, 880, 0)
    assert reached(view, 100, awake, marks((840, NEVER, 11))) == (840, 10, False, 840, 0)
    assert reached(view, 9, awake, marks((NEVER, NEVER, NEVER))) == (UNSEEN, 0, False, UNSEEN, 0)
    assert reached(view, 9, marks((900, 77, 77), (1_000, NEVER, 12)), marks((NEVER, 70, 70))) == (
        1_000,
        70,
        True,
        UNSEEN,
        12,
    ), "beside idle ones it is said when those that are awake were heard of"
    assert reached(view, 9, marks((900, 77, 77)), marks((NEVER, 70, 70))) == (70, 70, True, UNSEEN, 0)
    told = reached(view, 9, marks((900, 77, 77)), marks((1_000, NEVER, 70)))
    assert told == (1_040, 77, True, 900, 70), "what a source said before it fell silent is sure"


def test_progress_before_1970_is_told() -> None:
    """A source whose records are all of times before 1970 is as far as these, and no further."""
    service = Case(pipeline()).service()
    for first, time in ((0, -9_000), (1, -8_000), (2, 0)):
        (emit,) = service.process(labels([("a", 1.0, time)], first=first), 100.0).emits
        told = emit.columns["progress"].cast(pa.int64()).to_pylist()
        assert set(told) == {time or -1}, "0 says that nothing was seen"
    idle = service.tick(131.0, {slot(0, 1): Quiet(100.0, 131.0)}).emits[0]
    assert set(idle.columns["progress"].cast(pa.int64()).to_pylist()) == {UNSEEN}
    view = pipeline().label_views[0]
    awake = marks((-900, NEVER, 10), (-1_000, NEVER, 12))
    assert reached(view, 9, awake, marks((-880, NEVER, 11))) == (-1_000, 10, False, -1_000, 0)


def test_views_hear_nothing_of_predictions() -> None:
    """How far predictions are moves no view: they wait for views."""
    case = Case(pipeline())
    service = case.service()
    silent = [case.record("predictions", 0, 9_000, 1), case.record("shadow-predictions", 0, 9_000, 1)]
    assert service.process(case.batch(silent), 1.0).emits == ()
    spoken = [case.record(name, part, 500, 2) for name in ("labels", "events") for part in range(COUNTS[name])]
    (emit,) = service.process(case.batch(spoken, 2), 1.0).emits
    assert emit.topic == "view.terminal"
    assert emit.columns["progress"].cast(pa.int64()).to_pylist() == [500, 500, 500]
    assert emit.columns["next_offset"].to_pylist() == [6, 6, 6]


def test_metrics_tell_what_became_of_labels() -> None:
    """Labels by fate, outcomes by state, what is open and how large it is."""
    case = Case(pipeline())
    service = case.service()
    told = [
        case.record("labels", 0, 1_040, 1, labels=[("b", 1.0, 1_040, "bank")]),
        case.record("predictions", 0, 1_000, 1, [case.prediction("a", 1_000), case.prediction("b", 1_000)]),
        case.record("labels", 0, 1_050, 1, labels=[("a", 1.0, 1_050, "bank"), ("a", 0.0, 1_060, "bank")]),
    ]
    service.process(case.batch(told), 1.0)

    def value(name: str, **which: str) -> float | None:
        return case.registry.get_sample_value(f"headrace_{name}", which)

    assert value("labels_total", fate="early") == 1
    assert value("labels_total", fate="matched") == 1
    assert value("labels_total", fate="correcting") == 1
    assert value("outcomes_total", state="labelled") == 3
    assert value("outcome_corrections_total") == 1
    assert value("open_predictions") == 2
    assert value("label_delay_seconds_count") == 3
    service.replay(case.batch(told, 3))
    assert value("labels_total", fate="early") == 1


def test_events_of_views_that_come_and_go() -> None:
    """A view that folds labels since today finds nobody in older events; one that no longer does is not asked for."""
    case = Case(pipeline())
    service = case.service()
    rows = [
        case.record("events", 0, 1_000, 1_000, events=[("a", 1_000, "t1"), ("b", 1_000, "t2")]),
        case.record("events", 0, 1_000, 1_000, events=[("c", 1_000, "t3")]),
    ]
    rows[0]["events"]["entities"] = []
    service.process(service.admit(case.batch(rows), 0.0).batch, 0.0)
    assert len(service._joins[slot(EXCHANGE, 0)]) == 3
    without = Case(replace(pipeline(), views={}))
    service = without.service()
    output = service.process(without.batch(rows), 0.0)
    assert not output.rejects


@pytest.mark.parametrize(
    "spoil",
    [
        lambda row: row["events"]["times"].append(1),
        lambda row: row["events"]["entities"][0]["keys"].pop(),
        lambda row: row["events"]["entities"].append(row["events"]["entities"][0]),
        lambda row: row.update(source="strangers"),
        lambda row: row.update(source_partition=-1),
        lambda row: row.update(progress=2**62),
        lambda row: row["labels"].append({"event_id": "", "value": 1.0, "label_time": 5, "source": "bank"}),
        lambda row: row["labels"].append({"event_id": "a", "value": 1.0, "label_time": 2**60, "source": "bank"}),
    ],
)
def test_a_record_that_cannot_be_folded(spoil: Callable[[dict[str, Any]], None]) -> None:
    """A record of the exchange whose columns do not fit is refused, and its neighbours are folded."""
    case = Case(pipeline())
    good, bad = (case.record("events", 0, 1_000, 1_000, events=[(name, 1_000, "t")]) for name in ("a", "b"))
    spoil(bad)
    admission = case.service().admit(case.batch([bad, good]), 0.0)
    assert [reject.reason for reject in admission.rejects] == ["not_foldable"]
    assert admission.batch.offset.tolist() == [1]
