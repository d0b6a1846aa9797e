"""What a file says is what the topic gets, to the last digit, or it is refused with row, column and remedy."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headrace.domain.pipeline.check import load
from headrace.domain.pipeline.spec import Pipeline
from headrace.errors import ConfigurationError
from headrace.operations.tables import event_table as tables
from headrace.operations.tables.event_table import Rows
from headrace.operations.tables.timestamps import Reading, reading_of
from headrace.operations.topics.file_publication import check_known, renamed

ROOT = Path(__file__).parents[2]
TIME = pa.timestamp("ms", tz="UTC")
LABEL = pa.schema([("event_id", pa.string()), ("value", pa.float64()), ("label_time", TIME), ("source", pa.string())])
AT = "2024-05-01T12:00:00Z"
NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)


def schema(**kinds: pa.DataType) -> pa.Schema:
    """Payments with text ids, and more fields that may be null."""
    needed = {"transaction_id": pa.string(), "tx_datetime": TIME, "customer_id": pa.string()}
    fields = [pa.field(name, kind, nullable=False) for name, kind in needed.items()]
    return pa.schema(fields + [pa.field(name, kind) for name, kind in kinds.items()])


@pytest.fixture(scope="module")
def pipeline() -> Pipeline:
    """The card pipeline; its labels name whole numbers."""
    return load(ROOT / "pipelines" / "card_fraud.yaml")


@pytest.fixture(scope="module")
def stranger() -> Pipeline:
    """A pipeline whose events have text ids."""
    return load(ROOT / "tests" / "pipeline" / "stranger" / "pipelines" / "bike_demand.yaml")


@pytest.fixture
def written(pipeline: Pipeline, tmp_path: Path) -> Any:
    """Reads a CSV's text, or a table by way of Parquet, as events with more fields."""

    def read(content: str | bytes | pa.Table, how: Reading = tables.BY_SIZE, **kinds: pa.DataType) -> Rows:
        path = tmp_path / "file"
        if isinstance(content, pa.Table):
            pq.write_table(content, path)
        else:
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        return tables.events(tables.read_table(path), pipeline, schema(**kinds), {}, how)

    return read


def csv(value: str, column: str = "more") -> str:
    """A CSV of two payments, the second of which has a value in a column of its own."""
    rows: list[Mapping[str, str]] = [
        {"transaction_id": "a", "tx_datetime": AT, "customer_id": "x", "more": ""},
        {"transaction_id": "b", "tx_datetime": AT, "customer_id": "y", "more": "", column: value},
    ]
    return "\n".join([",".join(rows[0]), *(",".join(row.values()) for row in rows)]) + "\n"


def payments(**columns: object) -> pa.Table:
    """Two payments as Parquet has them."""
    times = pa.array([NOON, NOON], pa.timestamp("us", tz="UTC"))
    return pa.table({"transaction_id": ["a", "b"], "tx_datetime": times, "customer_id": ["x", "y"], **columns})


@pytest.mark.parametrize(
    "text", ["5379.10", "007", "20240501000001123456", "True", "1e5", "NA", "null", "0x1F", "2024-05-01"]
)
def test_text_stays_text(written: Any, text: str) -> None:
    """An id, a key and any other text of a CSV reach the topic as they were written."""
    for column in ("transaction_id", "customer_id", "more"):
        rows = written(csv(text, column), more=pa.string())
        assert rows.columns[column][1].as_py() == text
    assert written(csv(text, "customer_id")).keys.to_pylist() == ["x", text]


def test_ids_of_twenty_digits_stay_apart(written: Any) -> None:
    """Three ids that a floating-point number does not tell apart are three ids."""
    ids = ["12345678901234567890", "12345678901234567891", "12345678901234567892"]
    text = "transaction_id,tx_datetime,customer_id\n" + "".join(f"{i},{AT},x\n" for i in ids)
    assert written(text).columns["transaction_id"].to_pylist() == ids


@pytest.mark.parametrize("text", ["", '""', " b", "b "])
@pytest.mark.parametrize("column", ["transaction_id", "customer_id"])
def test_a_blank_is_no_name(written: Any, column: str, text: str) -> None:
    """Nothing, an empty text and a text with blanks at its ends name nobody: row and column are told."""
    with pytest.raises(ConfigurationError, match=f"row 2, column {column}: .*; (fill it|take the blank away)"):
        written(csv(text, column))


def test_nothing_is_null_and_an_empty_text_is_one(written: Any) -> None:
    """Of a text that may be missing, a cell without anything is null, and a pair of quotation marks an empty text."""
    assert written(csv(""), more=pa.string()).columns["more"].to_pylist() == [None, None]
    assert written(csv('""'), more=pa.string()).columns["more"].to_pylist() == [None, ""]


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (pa.int64(), "007", 7),
        (pa.int64(), "9007199254740993", 2**53 + 1),
        (pa.int64(), "5.0", 5),
        (pa.int64(), " 5 ", 5),
        (pa.int64(), "NA", None),
        (pa.float64(), "1e3", 1000.0),
        (pa.float64(), "NaN", None),
        (pa.float64(), " 2.50", 2.5),
        (pa.bool_(), "True", True),
        (pa.bool_(), "0", False),
        (pa.date32(), "2024-05-01", NOON.date()),
    ],
)
def test_words_become_values(written: Any, kind: pa.DataType, text: str, value: object) -> None:
    """Other types are read from their words, blanks around them do not count, and words for nothing are null."""
    assert written(csv(text), more=kind).columns["more"][1].as_py() == value


@pytest.mark.parametrize(
    ("kind", "text", "why"),
    [
        (pa.int64(), "5.5", "is no whole number; write it as 42"),
        (pa.int64(), "0x1F", "is no whole number"),
        (pa.int64(), "9223372036854775808", "is too large for int64"),
        (pa.int32(), "2147483648", "is too large for int32"),
        (pa.float64(), '"1,5"', "is no number; write a point for the decimal comma"),
        (pa.float64(), "1e400", "is too large for double"),
        (pa.float32(), "1e39", "is too large for float"),
        (pa.float64(), "twelve", "is no number; write it as 12.50"),
        (pa.bool_(), "yes", "is neither true nor false; write true or false"),
        (pa.date32(), "01.05.2024", "is no date; write it as 2024-05-31"),
        (pa.list_(pa.int64()), "[1]", "a text cannot be list<.*bring Parquet"),
    ],
)
def test_a_word_that_is_none_of_the_type_is_refused(written: Any, kind: pa.DataType, text: str, why: str) -> None:
    """What is no value of the type is refused with its row, its column and what to write."""
    with pytest.raises(ConfigurationError, match=f"column more.*{why}") as raised:
        written(csv(text), more=kind)
    assert "row 2" in str(raised.value) or "list" in why


def test_a_decimal_comma_between_semicolons_is_refused(written: Any) -> None:
    """A CSV with semicolons is read as such, and its decimal commas are no thousands."""
    text = csv("1.5").replace(",", ";")
    assert written(text, more=pa.float64()).columns["more"].to_pylist() == [None, 1.5]
    with pytest.raises(ConfigurationError, match="row 2, column more: '1,5' is no number; write a point"):
        written(csv("1.5").replace(",", ";").replace("1.5", "1,5"), more=pa.float64())


def test_a_mark_a_tab_and_a_line_break_in_quotes(written: Any) -> None:
    """A byte order mark is not part of a name, tabs part columns, and a line may break within quotation marks."""
    text = csv('"one\ntwo, and ""three"""')
    assert written("\ufeff" + text, more=pa.string()).columns["more"].to_pylist() == [None, 'one\ntwo, and "three"']
    assert written(csv("1").replace(",", "\t"), more=pa.int64()).columns["more"].to_pylist() == [None, 1]
    assert written(csv("1").replace(",", " ,", 3), more=pa.int64()).columns.num_rows == 2


@pytest.mark.parametrize(
    ("values", "kind", "why"),
    [
        (pa.array([1.0, 2.0240501000001e13]), pa.string(), "holds double, .*; write the column as text, or as whole"),
        (pa.array([True, False]), pa.string(), "holds bool"),
        (pa.array([1.0, 1.5]), pa.int64(), "row 2, .*is no whole number"),
        (pa.array([1.0, 2.0**53]), pa.int64(), "row 2, .*has lost digits"),
        (pa.array([1, 2]), pa.bool_(), "row 2, .*is neither true nor false"),
        (pa.array([1, 2**53 + 1]), pa.float64(), "row 2, .*cannot be double and stay as it is"),
        (pa.array([1, 2**40]), pa.int32(), "row 2, .*cannot be int32"),
        (pa.array([1, 2**63], pa.uint64()), pa.int64(), "row 2, .*cannot be int64"),
        (pa.array([1.0, 1e300]), pa.float32(), "row 2, .*is too large for float"),
        (pa.array([True, False]), pa.float64(), "holds bool, and no numbers"),
        (pa.array([1, 2]), pa.date32(), "holds int64, and no dates"),
    ],
)
def test_a_typed_value_never_changes(written: Any, values: pa.Array, kind: pa.DataType, why: str) -> None:
    """A column of Parquet whose values would become others is refused."""
    with pytest.raises(ConfigurationError, match=f"column more.*{why.removeprefix('row 2, ')}|{why}"):
        written(payments(more=values), more=kind)


def test_typed_values_that_fit_are_taken(written: Any) -> None:
    """Whole numbers and decimals are text as they are written; whole floating-point numbers are whole numbers."""
    assert written(payments(more=[7, 8]), more=pa.string()).columns["more"].to_pylist() == ["7", "8"]
    money = pa.array([Decimal("5379.10"), None])
    assert written(payments(more=money), more=pa.string()).columns["more"].to_pylist() == ["5379.10", None]
    assert written(payments(more=[7.0, None]), more=pa.int64()).columns["more"].to_pylist() == [7, None]
    words = pa.array(["a", None]).dictionary_encode()
    assert written(payments(more=words), more=pa.string()).columns["more"].to_pylist() == ["a", None]
    assert written(payments(more=["7", "0"]), more=pa.int64()).columns["more"].to_pylist() == [7, 0]


@pytest.mark.parametrize(
    "text",
    [
        "2024-05-01T12:00:00Z", "2024-05-01 12:00:00", "2024-05-01T14:00+02:00", "2024-05-01 14:00:00 +0200",
        "2024-05-01 12:00:00 UTC", "2024-05-01T12:00:00.000000000Z", " 2024-05-01T12:00Z ",
        "1714564800", "1714564800000", "1714564800000000", "1714564800000000000", "1714564800.000",
    ],
)  # fmt: skip
def test_a_time_is_the_moment_that_was_meant(written: Any, text: str) -> None:
    """ISO 8601 with and without a zone, and numbers since 1970 in the only unit that makes sense, are one moment."""
    rows = written(f"transaction_id,tx_datetime,customer_id\na,{text},x\n")
    assert rows.columns["tx_datetime"][0].as_py() == NOON
    told = " ".join(rows.notes)
    assert ("read as UTC" in told) == (text == "2024-05-01 12:00:00")
    assert ("numbers are read as seconds" in told) == (text in ("1714564800", "1714564800.000"))


@pytest.mark.parametrize(
    ("texts", "why"),
    [
        (["86400000"], "row 1.*1970-01-02T00:00:00Z in milliseconds and 1972-09-27T00:00:00Z in seconds.*--time-unit"),
        (["1714564800", "1714564800000"], "row 2.*a number of milliseconds.*those before it are of seconds"),
        (["20240501120000"], "row 1.*outside of 1980 to 2100"),
        (["01/05/2024"], "row 1.*is no time; write it in ISO 8601"),
        (
            ["1970-01-20T20:16:04.800Z"],
            "row 1.*outside of 1980 to 2100; if its unit is 1,000 times as long, 2024-05-01",
        ),
        (["9999-12-31"], "row 1.*outside of 1980 to 2100"),
        (["99999999999999999999999"], "row 1.*outside of 1980 to 2100"),
        ([AT, ""], "row 2.*is empty"),
    ],
)
def test_a_time_that_nobody_meant_is_refused(written: Any, texts: list[str], why: str) -> None:
    """Times out of a plausible range are refused with what they are in either unit."""
    with pytest.raises(ConfigurationError, match=f"{why}"):
        written("transaction_id,tx_datetime,customer_id\n" + "".join(f"a,{text},x\n" for text in texts))


def test_other_times_may_lie_in_any_year(written: Any) -> None:
    """A date of birth is what it says; as a number it needs a unit that makes sense of it, or that is declared."""
    birth = written(csv("1951-03-04"), more=TIME).columns["more"].to_pylist()
    assert birth == [None, datetime(1951, 3, 4, tzinfo=UTC)]
    with pytest.raises(ConfigurationError, match=r"row 2, column more.*--time-unit"):
        written(csv("-594000000"), more=TIME)
    with pytest.raises(ConfigurationError, match=r"row 2, column more.*beyond the years"):
        written(csv("9999-01-01"), more=TIME)


def test_typed_times_are_held_against_the_same_range(written: Any) -> None:
    """Seconds that somebody read as nanoseconds are refused in Parquet, too, and nanoseconds are cut aloud."""
    times = pa.array([1_714_564_800, 1_714_564_801], pa.timestamp("ns"))
    with pytest.raises(ConfigurationError, match=r"row 1.*if its unit is 1,000,000,000 times as long, 2024-05-01"):
        written(payments().set_column(1, "tx_datetime", times))
    fine = pa.array([1_714_564_800_000_000_001, 1_714_564_800_000_100_000], pa.timestamp("ns"))
    rows = written(payments().set_column(1, "tx_datetime", fine))
    assert rows.columns["tx_datetime"].to_pylist() == [NOON, NOON]
    assert any("cut: 1" in note for note in rows.notes)


def test_a_unit_may_be_declared(written: Any) -> None:
    """A declared unit is taken at its word within plausible years, and outside of them when that is asked for."""
    text = "transaction_id,tx_datetime,customer_id\na,86400000,x\n"
    with pytest.raises(ConfigurationError, match="--time-unit seconds; --any-time"):
        written(text, reading_of("seconds", any_time=False))
    rows = written(text, reading_of("seconds", any_time=True))
    assert rows.columns["tx_datetime"][0].as_py() == datetime(1972, 9, 27, tzinfo=UTC)
    with pytest.raises(ConfigurationError, match="--time-unit cannot be min"):
        reading_of("min", any_time=False)


def test_a_field_without_a_column_is_told(written: Any) -> None:
    """A field that may be null and has no column is null, and that is said, with the name that was nearly right."""
    rows = written(payments(merchnt=["m", "n"]), merchant=pa.string())
    assert rows.columns["merchant"].to_pylist() == [None, None]
    assert (
        "no column merchant: it is null in all rows; did you mean merchnt? --map merchant=COLUMN says so" in rows.notes
    )


def test_repeated_ids_are_told(written: Any) -> None:
    """An event that stands in a file twice is told; it is for the pipeline to say what becomes of it."""
    assert not any("repeats" in note for note in written(payments()).notes)
    (note,) = written(payments().set_column(0, "transaction_id", pa.array(["a", "a"]))).notes
    assert note == "1 rows have a transaction_id that a row before them has: these are repeats of an event"


def test_a_doubled_column_is_refused(pipeline: Pipeline, written: Any) -> None:
    """A column that is there twice is refused if it is read, in a CSV as in a table."""
    with pytest.raises(ConfigurationError, match="2 columns customer_id"):
        written("transaction_id,tx_datetime,customer_id,customer_id\na,2024-05-01,x,y\n")
    doubled = pa.Table.from_arrays(
        [*payments().columns, pa.array(["1", "2"])], [*payments().column_names, "customer_id"]
    )
    with pytest.raises(ConfigurationError, match="2 columns customer_id"):
        tables.events(doubled, pipeline, schema(), {})
    assert written("transaction_id,tx_datetime,customer_id,z,z\na,2024-05-01,x,y,y\n").keys.to_pylist() == ["x"]


def test_a_field_is_mapped_once() -> None:
    """`--map` twice for one field, or without a column, says two things or nothing."""
    with pytest.raises(ConfigurationError, match="given twice"):
        renamed(["amount=a", "amount=b"])
    with pytest.raises(ConfigurationError, match="FIELD=COLUMN"):
        renamed(["amount="])


# ---- labels ---------------------------------------------------------------------------------------------------------


def labelled(pipeline: Pipeline, **columns: object) -> Rows:
    """Labels of a table with what is needed."""
    times = pa.array([NOON, NOON], pa.timestamp("us", tz="UTC"))
    names = {"transaction_id": [1, 2], "fraud": [0, 1], "tx_datetime": times}
    return tables.labels(pa.table(names | columns), pipeline, LABEL, {}, "test")


def test_an_id_of_a_label_goes_through_the_type_of_the_events(pipeline: Pipeline, stranger: Pipeline) -> None:
    """Where events have whole numbers, a label's 7.0 is 7; where they have text, how it was written is not known."""
    rows = labelled(pipeline, transaction_id=[2.0240501000001e13, 7.0])
    assert sorted(rows.keys.to_pylist()) == ["20240501000001", "7"]
    assert labelled(pipeline, transaction_id=["007", "8"]).keys.to_pylist() == ["7", "8"]
    with pytest.raises(ConfigurationError, match=r"row 2, column transaction_id: '1.5' is no whole number"):
        labelled(pipeline, transaction_id=[1.0, 1.5])
    trips = {"trip": [2.0240501000001e13], "full": [1], "label_time": pa.array([NOON])}
    with pytest.raises(ConfigurationError, match=r"column trip holds double, .*write the column as text"):
        tables.labels(pa.table(trips), stranger, LABEL, {}, "test")


def test_floating_ids_of_a_csv_stay_apart_or_are_refused(
    pipeline: Pipeline, stranger: Pipeline, tmp_path: Path
) -> None:
    """A CSV's `2.0240501000001e+13` is no whole number, and as text it is what it is."""
    path = tmp_path / "labels.csv"
    path.write_text(f"transaction_id,fraud,label_time\n2.0240501000001e+13,1,{AT}\n")
    with pytest.raises(ConfigurationError, match=r"row 1, column transaction_id: .* is no whole number"):
        tables.labels(tables.read_table(path), pipeline, LABEL, {}, "test")
    path.write_text(f"trip,full,label_time\n0123.50,1,{AT}\n")
    assert tables.labels(tables.read_table(path), stranger, LABEL, {}, "test").keys.to_pylist() == ["0123.50"]


@pytest.mark.parametrize("values", [[1, 2], [-1, 1], [0.3, 1.0], [0.0, float("inf")]])
def test_a_label_that_is_no_class_is_refused(pipeline: Pipeline, values: list[float]) -> None:
    """Of a probability a label is 0 or 1; the remedy is to say which value is the positive class."""
    with pytest.raises(ConfigurationError, match=r"row [12], column fraud: .*labels: \{positive: 2\}"):
        labelled(pipeline, fraud=values)


def test_a_label_may_be_a_word_for_true(pipeline: Pipeline, tmp_path: Path) -> None:
    """True and false are 1 and 0, typed or written; a missing label is refused."""
    assert labelled(pipeline, fraud=[True, False]).columns["value"].to_pylist() == [1.0, 0.0]
    path = tmp_path / "labels.csv"
    path.write_text(f"transaction_id,fraud,label_time\n1,True,{AT}\n2,FALSE,{AT}\n")
    rows = tables.labels(tables.read_table(path), pipeline, LABEL, {}, "test")
    assert rows.columns["value"].to_pylist() == [1.0, 0.0]
    with pytest.raises(ConfigurationError, match="row 2, column fraud: is empty"):
        labelled(pipeline, fraud=[1, None])


@pytest.mark.parametrize(
    ("columns", "missing", "near"),
    [
        (["event_id", "fraud", "tx_datetime"], "transaction_id", "id: transaction_id"),
        (["transaction_id", "is_fraud", "tx_datetime"], "fraud", "value: fraud"),
        (["transaction_id", "fraud", "time"], "tx_datetime", "no label_time either"),
    ],
)
def test_a_labels_file_without_its_column(pipeline: Pipeline, columns: list[str], missing: str, near: str) -> None:
    """The column that is missing is named, why it is needed, and how to say that it has another name."""
    table = pa.table({name: [1] for name in columns})
    with pytest.raises(ConfigurationError, match=f"no column {missing} .*{near}.*--map {missing}=COLUMN"):
        tables.labels(table, pipeline, LABEL, {}, "test")


def test_labels_of_the_future_are_refused(pipeline: Pipeline) -> None:
    """Labels that ripen later than tomorrow would be dead letters: they are refused before, with the time to end at."""
    rows = labelled(pipeline)
    check_known(rows, NOON.timestamp() + 6.5 * 86_400)
    with pytest.raises(ConfigurationError, match=r"row 1: .* 2 labels in all .*--to 2024-05-08T12:00"):
        check_known(rows, NOON.timestamp())
