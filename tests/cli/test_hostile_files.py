"""No file makes a traceback: what cannot be published is refused in our own words, and nothing of it is written."""

from __future__ import annotations

import gzip
import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headrace.domain.pipeline.wiring import Contracts, read_contracts
from headrace.errors import ConfigurationError
from headrace.operations.tables import event_table as tables
from headrace.operations.topics.file_publication import read_rows
from headrace.operations.topics.producer import Publisher
from headrace.streaming.process.settings import Settings
from tests.cli.terminal import Terminal
from tests.project import Project

ROOT = Path(__file__).parents[2]
HEADER = "transaction_id,tx_datetime,customer_id,terminal_id,amount,fraud"
GOOD = "1,2024-05-01T12:00:00Z,2,3,4.5,0"
EXAMPLES = 300
MUTATED = settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.fixture(scope="module")
def contracts() -> Contracts:
    """Of the card pipeline; no broker is asked."""
    return read_contracts(Settings(pipeline=str(ROOT / "pipelines" / "card_fraud.yaml"), bootstrap="127.0.0.1:1"))


def fate(contracts: Contracts, path: Path, kind: str) -> str | None:
    """What a file is refused with before anything is sent; None when all of it can be."""
    channel = contracts.channel(kind)
    try:
        rows = read_rows(path, kind, contracts.pipeline, channel, {})
        Publisher(None, channel, None, None).check(rows)  # type: ignore[arg-type]  # a check sends nothing
    except ConfigurationError as error:
        return str(error)
    return None


def parquet(table: pa.Table) -> bytes:
    """A table as the bytes of a Parquet file."""
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    return bytes(sink.getvalue())


def payments(**columns: object) -> pa.Table:
    """Three payments with their labels."""
    times = pa.array([1_714_564_800_000] * 3, pa.timestamp("ms", tz="UTC"))
    ids = {name: [1, 2, 3] for name in ("transaction_id", "customer_id", "terminal_id")}
    return pa.table({**ids, "tx_datetime": times, "amount": [1.0, 2.0, 3.0], "fraud": [0, 1, 0], **columns})


WHOLE = parquet(payments())
FILES: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "is empty"),
    "blank lines": (b"\n\n \n", "is empty"),
    "a header alone, of others": (b"a,b\n", "no column"),
    "a short row": (f"{HEADER}\n{GOOD}\n1,2\n".encode(), "row 2 has 2 values and the header 6 names"),
    "a short row in another encoding": (f"{HEADER}\n{GOOD}\n1,ü\n".encode("latin-1"), "row 2 has 2 values"),
    "a long row": (f"{HEADER}\n{GOOD},7\n".encode(), "row 1 has 7 values"),
    "an open quotation mark": (f'{HEADER}\n{GOOD}\n1,"2024'.encode(), "quotation mark is not closed"),
    "marks that run into one another": (f'{HEADER}\n"1,"2",3,4,5,6\n'.encode(), "line 2"),
    "a doubled column": (f"{HEADER},amount\n{GOOD},1\n".encode(), "2 columns amount"),
    "another encoding": (f"{HEADER}\n{GOOD}\n".encode("utf-16"), "is UTF-16"),
    "another encoding without a mark": (f"{HEADER}\n".encode("utf-16-le"), "zero bytes"),
    "Latin letters in the header": (f"{HEADER},größe\n{GOOD},1\n".encode("latin-1"), "not UTF-8 in its header"),
    "Latin letters in a number": (f"{HEADER}\n{GOOD[:-3]}ü,0\n".encode("latin-1"), "row 1, column amount"),
    "zero bytes": (bytes(100), "zero bytes"),
    "JSON lines without a time": (b'{"transaction_id": 1}\n', "has no column tx_datetime"),
    "JSON over many lines": (b'{\n"transaction_id": 1}\n', "line 1 is no JSON"),
    "JSON with a field twice": (b'{"transaction_id": 1, "transaction_id": 2}', "transaction_id stands there twice"),
    "JSON with a path and a name": (b'{"a": {"b": 1}, "a.b": 2}', r"says a\.b twice"),
    "JSON nested without end": (b'{"a": ' * 5000 + b"1" + b"}" * 5000, "line 1 "),
    "JSON and then none": (b'{"transaction_id": 1}\n7\n', "line 2 is no JSON object"),
    "a JSON list": (b'[{"transaction_id": 1}]', "is a JSON list.*one object a line"),
    "an Excel file": (b"PK\x03\x04" + bytes(50), "ZIP archive"),
    "compressed without saying so": (gzip.compress(f"{HEADER}\n{GOOD}\n".encode()), "compressed"),
    "Parquet cut off": (WHOLE[: len(WHOLE) // 2], "cannot be read"),
    "Parquet of four bytes": (b"PAR1", "cannot be read"),
    "Parquet with a footer of noise": (WHOLE[:-60] + bytes(range(52)) + WHOLE[-8:], "cannot be read"),
    "Parquet with lists": (parquet(payments(amount=[[1.0], [2.0], [3.0]])), "column amount holds list"),
    "Parquet with structs": (parquet(payments(customer_id=[{"a": 1}] * 3)), "column customer_id"),
    "Parquet with nulls": (parquet(payments(terminal_id=[1, 2, None])), "row 3, column terminal_id: is empty"),
    "Parquet with nothing but nulls": (parquet(payments(terminal_id=pa.nulls(3))), "row 1, column terminal_id"),
    "Parquet with far times": (
        parquet(payments(tx_datetime=pa.array([0, 2**62, 0], pa.timestamp("ms")))),
        "column tx_datetime",
    ),
    "a row of megabytes": (f"{HEADER}\n{GOOD}\n1,{'x' * (1 << 25)}\n".encode(), "row of more than|row 2 has"),
}  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_a_bad_file_is_refused_in_our_words(contracts: Contracts, tmp_path: Path, name: str) -> None:
    """Each of a table of bad files is refused with what is wrong with it; the file is named."""
    content, why = FILES[name]
    path = tmp_path / "bad.csv"
    path.write_bytes(content)
    told = fate(contracts, path, "events")
    assert told is not None
    assert re.search(why, told), told
    assert str(path) in told


@pytest.mark.parametrize("kind", ["events", "labels"])
def test_good_files_pass(contracts: Contracts, tmp_path: Path, kind: str) -> None:
    """What the bad files were made from is published, packed as well; a folder of Parquet files is one file."""
    path = tmp_path / "good.csv.gz"
    path.write_bytes(gzip.compress(f"{HEADER}\n{GOOD}\n".encode()))
    assert fate(contracts, path, kind) is None
    folder = tmp_path / "parts"
    folder.mkdir()
    for part in ("a", "b"):
        (folder / f"{part}.parquet").write_bytes(WHOLE)
    assert fate(contracts, folder, kind) is None
    assert fate(contracts, tmp_path, kind) is not None


def test_what_is_no_file_is_refused(contracts: Contracts, tmp_path: Path) -> None:
    """A file that is not there, an empty folder, a Parquet file that is none."""
    assert "is not there" in str(fate(contracts, tmp_path / "no.csv", "events"))
    (tmp_path / "empty").mkdir()
    assert "without Parquet files" in str(fate(contracts, tmp_path / "empty", "events"))
    assert "cannot be read" in str(fate(contracts, tmp_path / ("x" * 300), "events"))
    (tmp_path / "no.parquet").write_text(HEADER)
    assert "is called Parquet and is none" in str(fate(contracts, tmp_path / "no.parquet", "events"))


@pytest.mark.parametrize("kind", ["gz", "bz2", "zst", "lz4", "br"])
def test_packed_files_that_are_damaged_are_refused(contracts: Contracts, tmp_path: Path, kind: str) -> None:
    """A packed CSV that is cut off, or is not packed as its name says, is refused before anything is sent."""
    lines = "".join(f'{n},2024-05-01T12:00:00Z,2,{n * 7919 % 99_991},"4.5",0\n' for n in range(20_000))
    path = tmp_path / f"events.csv.{kind}"
    path.write_text(HEADER)
    assert "cannot be read" in str(fate(contracts, path, "events"))
    if kind == "gz":
        whole = gzip.compress(f"{HEADER}\n{lines}".encode())
        path.write_bytes(whole)
        assert fate(contracts, path, "events") is None
        for cut in (len(whole) // 2, 40):
            path.write_bytes(whole[:cut])
            assert fate(contracts, path, "events") is not None


@MUTATED
@given(
    place=st.integers(0, len(WHOLE) - 1),
    noise=st.binary(min_size=1, max_size=24),
    cut=st.one_of(st.none(), st.integers(0, len(WHOLE))),
    kind=st.sampled_from(["events", "labels"]),
)
def test_no_damage_to_parquet_makes_a_traceback(
    contracts: Contracts, tmp_path: Path, place: int, noise: bytes, cut: int | None, kind: str
) -> None:
    """Bytes of a Parquet file that are others, or missing, are refused, or do not matter."""
    path = tmp_path / "damaged"
    path.write_bytes((WHOLE[:place] + noise + WHOLE[place + len(noise) :])[:cut])
    fate(contracts, path, kind)


CELLS = st.one_of(
    st.text(max_size=12),
    st.sampled_from(
        ["", '""', '"', "NaN", "1e999", "-0", "0x1", "9" * 30, "2024-05-01", "1714564800", "\ufeff", "1;2", "nul\0l"]
    ),
    st.integers().map(str),
    st.floats().map(str),
    st.datetimes().map(str),
)


@pytest.mark.slow
@MUTATED
@given(
    rows=st.lists(st.lists(CELLS, min_size=5, max_size=7), max_size=5),
    delimiter=st.sampled_from([",", ";", "\t", "|"]),
    end=st.sampled_from(["\n", "\r\n", "\r"]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "cp1252"]),
    kind=st.sampled_from(["events", "labels"]),
)
def test_no_cells_of_a_csv_make_a_traceback(
    contracts: Contracts, tmp_path: Path, rows: list[list[str]], delimiter: str, end: str, encoding: str, kind: str
) -> None:
    """Whatever stands between delimiters is published as it is or refused."""
    lines = [HEADER.replace(",", delimiter), *(delimiter.join(row) for row in rows)]
    path = tmp_path / "odd.csv"
    path.write_bytes(end.join(lines).encode(encoding, errors="ignore"))
    fate(contracts, path, kind)


@MUTATED
@given(content=st.binary(max_size=300), kind=st.sampled_from(["events", "labels"]))
def test_no_bytes_make_a_traceback(contracts: Contracts, tmp_path: Path, content: bytes, kind: str) -> None:
    """Nor do bytes that are no file of anybody, with or without a header before them."""
    path = tmp_path / "noise"
    for start in (b"", HEADER.encode() + b"\n"):
        path.write_bytes(start + content)
        fate(contracts, path, kind)


TYPES: list[Any] = [
    pa.int8(), pa.uint64(), pa.float16(), pa.float64(), pa.bool_(), pa.string(), pa.large_string(), pa.string_view(),
    pa.binary(), pa.large_binary(), pa.binary(3), pa.date32(), pa.date64(), pa.time32("s"), pa.time64("ns"),
    pa.timestamp("s"), pa.timestamp("ns", "Europe/Paris"), pa.duration("ms"), pa.decimal128(9, 2), pa.decimal256(40, 3),
    pa.list_(pa.int64()), pa.struct([("a", pa.int64())]), pa.map_(pa.string(), pa.int64()), pa.null(),
    pa.dictionary(pa.int32(), pa.string()), pa.dictionary(pa.int8(), pa.int64()), pa.month_day_nano_interval(),
]  # fmt: skip


@pytest.mark.parametrize("column", ["transaction_id", "tx_datetime", "customer_id", "amount", "fraud"])
@pytest.mark.parametrize("kind", TYPES, ids=str)
def test_no_type_of_a_column_makes_a_traceback(contracts: Contracts, kind: pa.DataType, column: str) -> None:
    """A column of any type that Arrow has, with nulls or with zeros, is read or refused."""
    width = kind.byte_width if isinstance(kind, pa.FixedSizeBinaryType) and not pa.types.is_decimal(kind) else 0
    for values in (pa.nulls(3, kind), _zeros(kind, width)):
        table = payments()
        table = table.set_column(table.column_names.index(column), column, values)
        for topic in ("events", "labels"):
            told = refusal(contracts, table, topic)
            assert told is None or column in told


def refusal(contracts: Contracts, table: pa.Table, kind: str) -> str | None:
    """What a table is refused with as events or labels."""
    schema = contracts.channel(kind).codec.reader.arrow
    try:
        if kind == "events":
            tables.events(table, contracts.pipeline, schema, {})
        else:
            tables.labels(table, contracts.pipeline, schema, {}, "test")
    except ConfigurationError as error:
        return str(error)
    return None


def _zeros(kind: pa.DataType, width: int) -> pa.Array:
    """Three values of bytes that are zero."""
    if width:
        return pa.array([bytes(width)] * 3, kind)
    try:
        return pa.array([0] * 3, pa.int32()).cast(kind)
    except pa.ArrowException:
        return pa.nulls(3, kind)


def test_a_null_in_row_9501_leaves_the_topic_empty(headrace: Terminal, project: Project, tmp_path: Path) -> None:
    """Ten thousand rows of which one lacks a field that is needed: refused with its row, and none is on the topic."""
    rows = [f"{n},2024-05-01T12:00:00Z,{n % 7},3,{'' if n == 9_501 else '4.5'},0" for n in range(1, 10_001)]
    path = tmp_path / "events.csv"
    path.write_text("\n".join([HEADER, *rows]) + "\n")
    code, out, errors = headrace.run("publish", project.path, "events.csv")
    assert (code, out) == (2, "")
    assert "row 9,501, column amount: is empty, and amount is needed; fill it, or take the row out" in errors
    assert project.count("events") == 0
    path.write_text("\n".join([HEADER, *rows[:9_500], *rows[9_501:]]) + "\n")
    assert headrace.json("publish", project.path, "events.csv", "--skip", "9000")["sent"] == 999
    assert headrace.json("publish", project.path, "events.csv", "--to", "labels", "--source", "x")["sent"] == 9_999
    assert project.count("events") == 999


def test_a_command_refuses_a_bad_file_without_a_traceback(terminal: Terminal, tmp_path: Path) -> None:
    """The command line says the same, ends with 2, and asks no broker."""
    (tmp_path / "bad.csv").write_text(f"{HEADER},amount\n{GOOD},1\n")
    pipeline = ROOT / "pipelines" / "card_fraud.yaml"
    code, out, errors = terminal.run("publish", pipeline, "bad.csv", "--bootstrap", "127.0.0.1:1")
    assert (code, out) == (2, "")
    assert "2 columns amount" in errors
    assert "Traceback" not in errors
