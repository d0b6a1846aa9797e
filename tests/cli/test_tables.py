"""Files become rows of a topic."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from headrace.domain.pipeline.check import load
from headrace.domain.pipeline.spec import Pipeline
from headrace.errors import ConfigurationError
from headrace.operations.tables import event_table as tables

DAY = 86_400_000
START = 1_522_540_800_000
TIME = pa.timestamp("ms", tz="UTC")
EVENT = pa.schema(
    [
        ("transaction_id", pa.int64()),
        ("tx_datetime", TIME),
        ("customer_id", pa.int64()),
        ("terminal_id", pa.int64()),
        ("amount", pa.float64()),
    ]
)
EVENT = pa.schema([field.with_nullable(False) for field in EVENT])
LABEL = pa.schema([("event_id", pa.string()), ("value", pa.float64()), ("label_time", TIME), ("source", pa.string())])


@pytest.fixture
def pipeline() -> Pipeline:
    """The card pipeline."""
    return load(Path(__file__).parents[2] / "pipelines" / "card_fraud.yaml")


def file(**columns: list[object]) -> pa.Table:
    """Three payments as a file may hold them, out of order."""
    return pa.table(
        {
            "transaction_id": pa.array([7, 8, 9], pa.int32()),
            "tx_datetime": pa.array([START + 3 * DAY, START + DAY, START + 2 * DAY], pa.timestamp("ms")),
            "customer_id": pa.array([1, 2, 3], pa.int32()),
            "terminal_id": [4, 5, 6],
            "amount": [1.5, 2.5, 3.5],
            "fraud": [0, 1, 0],
            **columns,
        }
    )


def test_events_stand_in_time_order_with_their_keys(pipeline: Pipeline) -> None:
    """Rows are sorted by event time, columns cast to the schema's types, keys are the entity as text."""
    rows = tables.events(file(), pipeline, EVENT, {})
    assert rows.columns.schema == EVENT
    assert rows.columns["transaction_id"].to_pylist() == [8, 9, 7]
    assert rows.keys.to_pylist() == ["2", "3", "1"]
    assert (rows.times - START).tolist() == [DAY, 2 * DAY, 3 * DAY]
    assert rows.numbers.tolist() == [2, 3, 1]


def test_times_choose_rows(pipeline: Pipeline) -> None:
    """`between` takes its start in and leaves its end out."""
    rows = tables.events(file(), pipeline, EVENT, {}).between(START + DAY, START + 3 * DAY)
    assert rows.keys.to_pylist() == ["2", "3"]
    assert rows.between(None, START + DAY).columns.num_rows == 0


def test_a_missing_column_names_the_nearest_and_the_remedy(pipeline: Pipeline) -> None:
    """The error for a column that is called otherwise shows the option that says so."""
    table = file().rename_columns({"amount": "tx_amount"})
    with pytest.raises(ConfigurationError, match=r"did you mean tx_amount.*--map amount=COLUMN"):
        tables.events(table, pipeline, EVENT, {})
    assert tables.events(table, pipeline, EVENT, {"amount": "tx_amount"}).columns["amount"].to_pylist() == [
        2.5,
        3.5,
        1.5,
    ]


def test_a_mapped_field_must_exist(pipeline: Pipeline) -> None:
    """`--map` of a field that no event has is a mistake, not nothing."""
    with pytest.raises(ConfigurationError, match="did you mean amount"):
        tables.events(file(), pipeline, EVENT, {"amout": "amount"})


def test_a_wrong_type_names_the_column(pipeline: Pipeline) -> None:
    """A column that cannot be cast without loss is named with both types."""
    with pytest.raises(ConfigurationError, match="column customer_id"):
        tables.events(file(customer_id=["a", "b", "c"]), pipeline, EVENT, {})


def test_an_event_without_a_key_is_refused(pipeline: Pipeline) -> None:
    """Nulls in key or time are said before anything is written."""
    with pytest.raises(ConfigurationError, match="row 2, column customer_id: is empty"):
        tables.events(file(customer_id=[1, None, 3]), pipeline, EVENT, {})


def test_labels_ripen_after_their_events(pipeline: Pipeline) -> None:
    """Without a column of its own, a label becomes known `matures_after` its event; the id becomes text."""
    rows = tables.labels(file(), pipeline, LABEL, {}, "analyst")
    assert rows.columns.to_pylist()[0] | {"label_time": None} == {
        "event_id": "8",
        "value": 1.0,
        "label_time": None,
        "source": "analyst",
    }
    assert (rows.times - START).tolist() == [8 * DAY, 9 * DAY, 10 * DAY]
    assert rows.keys.to_pylist() == ["8", "9", "7"]


def test_labels_may_say_their_own_time(pipeline: Pipeline) -> None:
    """A column `label_time` wins over the pipeline's rule."""
    rows = tables.labels(file(label_time=[START, START + 5, START + 3]), pipeline, LABEL, {}, "")
    assert (rows.times - START).tolist() == [0, 3, 5]
