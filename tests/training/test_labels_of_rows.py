"""Which label an event has, as known at a moment, and which events are left out."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from services.kit.errors import ConfigurationError
from services.pipeline.spec import Labels
from services.training.dataset import assemble, known_by, newest, truth

DAY = 86_400_000
SILENT = Labels("id", "fraud", matures_after=7 * DAY, unlabelled_is=0.0)
SPOKEN = Labels("id", "fraud", matures_after=7 * DAY)


def stamps(*values: int) -> pa.Array:
    """Times."""
    return pa.array(values, pa.int64()).cast(pa.timestamp("ms", "UTC"))


def events(**times: int) -> pa.Table:
    """Events by name and time."""
    return pa.table({"event_id": pa.array(list(times), pa.string()), "event_time": stamps(*times.values())})


def labels(*rows: tuple[str, float, int]) -> pa.Table:
    """Labels: of whom, which, known when."""
    ids, values, times = zip(*rows, strict=True) if rows else ((), (), ())
    return pa.table(
        {
            "event_id": pa.array(ids, pa.string()),
            "value": pa.array(values, pa.float64()),
            "label_time": stamps(*times),
        }
    )


def test_newest_label_holds() -> None:
    """Of several labels the newest holds, in whatever order they came; of equally new ones the last."""
    told = labels(("a", 1, 9), ("b", 1, 5), ("a", 0, 3), ("c", 0, 4), ("c", 1, 4), ("x", 1, 1))
    np.testing.assert_array_equal(truth(events(a=0, b=0, c=0), told, SPOKEN, as_of=10), [1, 1, 1])


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
    with pytest.raises(ConfigurationError, match=r"0 of 2 events have a label known by 1970-01-01 00:00 UTC"):
        assemble(given, labels(("a", 1, 8)), ("x",), SPOKEN, as_of=7)


def test_newest_moment() -> None:
    """Without a moment to know labels by, it is the newest that the data tell of."""
    assert newest(events(a=3, b=9), labels(("a", 1, 12))) == 12
    assert newest(events(a=3, b=9), labels()) == 9
    assert newest(events(), labels()) == 0
