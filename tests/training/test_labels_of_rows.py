"""Which label an event has, as known at a moment, and which events are left out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from headrace.domain.pipeline.spec import Labels
from headrace.domain.training.dataset import assemble, known_by, newest, truth
from headrace.errors import ConfigurationError
from headrace.streaming.records.batch import slot
from tests.labels.cases import EXCHANGE, EXPIRES, MATURES, SOURCES, Case, pipeline

DAY = 86_400_000
SILENT = Labels("id", "fraud", matures_after=7 * DAY, unlabelled_is=0.0)
SPOKEN = Labels("id", "fraud", matures_after=7 * DAY)


def stamps(*values: int) -> pa.Array:
    """Times."""
    return pa.array(values, pa.int64()).cast(pa.timestamp("ms", "UTC"))


def events(**times: int) -> pa.Table:
    """Events by name and time."""
    return pa.table({"event_id": pa.array(list(times), pa.string()), "event_time": stamps(*times.values())})


def labels(*rows: tuple[str, float, int] | tuple[str, float, int, str]) -> pa.Table:
    """Labels: of whom, which, known when, and who says so."""
    ids, values, times = zip(*(row[:3] for row in rows), strict=True) if rows else ((), (), ())
    return pa.table(
        {
            "event_id": pa.array(ids, pa.string()),
            "value": pa.array(values, pa.float64()),
            "label_time": stamps(*times),
            "source": pa.array([row[3] if len(row) > 3 else "" for row in rows], pa.string()),
        }
    )


def test_newest_label_holds() -> None:
    """Of several labels the newest holds, in whatever order they came; of equally new ones of a source the larger."""
    told = labels(("a", 1, 9), ("b", 1, 5), ("a", 0, 3), ("c", 1, 4), ("c", 0, 4), ("x", 1, 1))
    np.testing.assert_array_equal(truth(events(a=0, b=0, c=0), told, SPOKEN, as_of=10), [1, 1, 1])


def test_labels_say_what_the_pipeline_file_says_they_say() -> None:
    """Of classes only 0 and 1 count, or the positive value against all others; what says nothing is as if not there."""
    told = labels(("a", 2, 1), ("b", 1, 1), ("c", 0, 1), ("d", float("nan"), 1))
    found = truth(events(a=0, b=0, c=0, d=0), told, replace(SPOKEN, classes=True), as_of=10)
    np.testing.assert_array_equal(found, [np.nan, 1, 0, np.nan])
    found = truth(events(a=0, b=0, c=0, d=0), told, replace(SPOKEN, classes=True, positive=2), as_of=10)
    np.testing.assert_array_equal(found, [1, 0, 0, np.nan])


def test_whom_to_believe() -> None:
    """Of equally new labels that of the source named first holds; those not named come after, by name."""
    rule = Labels("id", "fraud", sources=("police", "bank"))
    told = labels(("a", 1, 4, "bank"), ("a", 0, 4, "police"), ("b", 0, 4, "x"), ("b", 1, 4, "bank"),
                  ("c", 1, 4, "y"), ("c", 0, 4, "x"), ("d", 1, 5, "y"), ("d", 0, 4, "police"))  # fmt: skip  # by event
    asked = events(a=0, b=0, c=0, d=0)
    np.testing.assert_array_equal(truth(asked, told, rule, as_of=9), [0, 1, 0, 1])
    nameless = truth(asked, told.drop_columns(["source"]), rule, as_of=9)
    np.testing.assert_array_equal(nameless, [1, 1, 1, 1], "the larger, where nobody is named")


def test_labels_that_come_too_late() -> None:
    """A label later than its event's time plus `expires_after` is as if it were not there; so is one that is NaN."""
    rule = Labels("id", "fraud", matures_after=2, unlabelled_is=0.0, expires_after=5)
    told = labels(("a", 1, 6), ("b", 1, 7), ("c", 1, 7), ("c", np.nan, 8), ("b", 0, 4))
    np.testing.assert_array_equal(truth(events(a=1, b=1, c=2), told, rule, as_of=9), [1, 0, 1])


def test_truth_is_what_outcomes_say() -> None:
    """Labels that differ in every way give training rows the value that the labels service writes into outcomes."""
    draw = np.random.default_rng(3)
    case = Case(pipeline(unlabelled=None))
    times = {f"e{number}": int(time) for number, time in enumerate(draw.integers(1_000, 1_600, 60))}
    names, delays = draw.choice(list(times), 600), draw.choice([3, 5, 50, MATURES, EXPIRES, EXPIRES + 1, 700], 600)
    values, sources = draw.choice([0.0, 1.0, -1.0, 2.5], 600).tolist(), draw.choice([*SOURCES, "a", "z"], 600).tolist()
    when = [times[name] + delay for name, delay in zip(names.tolist(), delays.tolist(), strict=True)]
    rows = list(zip(names.tolist(), values, when, sources, strict=True))
    given = [case.prediction(name, time) for name, time in times.items()]
    told = [
        case.record("predictions", 0, 1_600, 1, predictions=given[::2]),
        case.record("labels", 0, 2_300, 2, labels=rows),
        case.record("predictions", 1, 1_600, 3, predictions=given[1::2]),
    ]
    service = case.service()
    service.restore(slot(EXCHANGE, 0), None)
    emits = service.process(case.batch(told), 0.0).emits
    found: dict[str, float] = {}
    for emit in emits:
        if emit.topic == "outcomes":
            # In their order: a correction comes after what it corrects.
            found |= dict(zip(*(emit.columns[name].to_pylist() for name in ("event_id", "label")), strict=True))
    rule = case.pipeline.labels
    value = truth(events(**times), labels(*rows), rule, as_of=10_000)
    assert {name: v for name, v in zip(times, value, strict=True) if not np.isnan(v)} == found
    assert len(found) > 30


def test_labels_from_later_on_are_not_known() -> None:
    """A correction counts from its own time on; before, the label that it corrects does."""
    told = labels(("a", 1, 3), ("a", 0, 9))
    found = [truth(events(a=0), told, SPOKEN, as_of)[0] for as_of in (2, 3, 8, 9)]
    np.testing.assert_array_equal(found, [np.nan, 1, 1, 0])
    assert known_by(told, 8).num_rows == 1


def test_unlabelled_events() -> None:
    """An event without a label is negative once it has matured, and unknown before."""
    both = events(old=0, young=1)
    np.testing.assert_array_equal(truth(both, labels(), SILENT, as_of=7 * DAY), [0, np.nan])
    np.testing.assert_array_equal(truth(both, labels(), SPOKEN, as_of=7 * DAY), [np.nan, np.nan])


def test_young_events_with_a_label() -> None:
    """Where silence means no, young events are left out with a label, too: those with one would be mostly positive."""
    told = labels(("old", 1, 5), ("young", 1, 5))
    np.testing.assert_array_equal(truth(events(old=0, young=1), told, SILENT, as_of=7 * DAY), [1, np.nan])
    np.testing.assert_array_equal(truth(events(old=0, young=1), told, SPOKEN, as_of=7 * DAY), [1, 1])


def test_repeated_and_tied_events() -> None:
    """An event that was written twice is one row; events of one moment stand by their ids, as these are counted up."""
    given = events(r10=5, r9=5, r8=7)
    given = pa.concat_tables([given, given])
    given = given.append_column("event", pa.StructArray.from_arrays([pa.array([10.0, 9, 8, 10, 9, 8])], ["x"]))
    data = assemble(given, labels(("r8", 1, 8), ("r9", 0, 8), ("r10", 0, 8)), ("x",), SPOKEN, as_of=9)
    assert data.matrix[:, 0].tolist() == [9, 10, 8]
    assert data.labels.tolist() == [0, 0, 1]


def test_nothing_is_known_yet() -> None:
    """A moment before the labels says how few events it left, and when that was."""
    given = events(a=0, b=0).append_column("event", pa.StructArray.from_arrays([pa.array([1.0, 2.0])], ["x"]))
    with pytest.raises(ConfigurationError, match=r"none of 2 events has a label known by 1970-01-01 00:00 UTC"):
        assemble(given, labels(("a", 1, 8)), ("x",), SPOKEN, as_of=7)


def test_newest_moment() -> None:
    """Without a moment to know labels by, it is the newest that the data tell of."""
    assert newest(events(a=3, b=9), labels(("a", 1, 12))) == 12
    assert newest(events(a=3, b=9), labels()) == 9
    assert newest(events(), labels()) == 0
