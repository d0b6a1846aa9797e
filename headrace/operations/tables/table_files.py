"""Files of rows as their owners left them: Parquet as it is typed, CSV and JSON lines as text, a batch at a time.

Nothing is guessed of what a value is: a CSV's columns are text to the last digit, and the schema of the topic says what
becomes of it. Fields within fields have their path as name. What a file cannot be is said with the remedy: see
`TableFile`.
"""

from __future__ import annotations

import collections
import csv
import io
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute
import pyarrow.csv
import pyarrow.dataset
import pyarrow.parquet

from headrace.errors import ConfigurationError
from headrace.operations.tables import json_lines

PARQUET = b"PAR1"
DELIMITERS = ",;\t|"
"""Of a CSV, the most usual first: the one that cuts its header into the most names."""
HEAD = 1 << 16
"""Bytes in which a CSV's header must end."""
BLOCK = 1 << 24
"""Bytes that are read at a time: no row of a CSV may be longer."""
BATCH = 65_536
"""Rows of a Parquet file that are read at a time."""
STRANGE = {
    b"PK\x03\x04": ("a ZIP archive, such as an Excel file", "save it as CSV in UTF-8"),
    b"\x1f\x8b": ("compressed", "end its name in .gz, or unpack it"),
    b"\xff\xfe": ("UTF-16", "save it as UTF-8"),
    b"\xfe\xff": ("UTF-16", "save it as UTF-8"),
    b"ARROW1": ("an Arrow file", "write it as Parquet"),
    b"Obj\x01": ("an Avro file", "write it as Parquet"),
    b"ORC": ("an ORC file", "write it as Parquet"),
    b"[": ("a JSON list", "write one object a line, as jq -c '.[]' does"),
}
"""How files begin that are none of Parquet, CSV and JSON lines: what they are, what to do."""
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_CROOKED = re.compile(r"Row #(\d+): Expected (\d+) columns, got (\d+)")
"""What Arrow says of a row of a CSV that has too few or too many values; it counts the header."""


@dataclass(frozen=True, slots=True)
class TableFile:
    """A file with named columns.

    Attributes:
        names: of its columns, in order, without blanks at their ends; a damaged file may have one twice.
        text: whether its values are text that was never typed, as in a CSV.
        kind: what it is, in words.
        read: the columns of these names, batch by batch, from the first row on.

    `open_table` and `read` raise ConfigurationError when the file is not there or damaged; the message says where.
    """

    names: tuple[str, ...]
    text: bool
    read: Callable[[Sequence[str]], Iterator[pa.RecordBatch]]
    kind: str = "a table"


def open_table(path: Path) -> TableFile:
    """A Parquet file, or a folder of them, a CSV with a header, or a JSON object a line.

    What is inside decides, not the file's name.
    """
    try:
        if path.is_dir():
            return _folder(path)
        source: Path | bytes = path if path.is_file() else path.read_bytes()  # a pipe can be read but once
        with _opened(source, path) as stream:
            head = stream.read(HEAD)
    except (OSError, ValueError, pa.ArrowException) as error:
        raise _unreadable(path, error) from None
    if head.startswith(PARQUET):
        return _parquet(source, path)
    if path.suffix in (".parquet", ".pq"):
        raise ConfigurationError(f"{path} is called Parquet and is none: it does not begin as one; write it again")
    if head.removeprefix(BYTE_ORDER_MARK).lstrip().startswith(b"{"):
        return _json_lines(source, path)
    return _csv(source, path, head)


def of_table(table: pa.Table) -> TableFile:
    """A table in memory, read as a file is."""

    def read(names: Sequence[str]) -> Iterator[pa.RecordBatch]:
        yield from table.select(list(names)).to_batches()

    return TableFile(tuple(table.column_names), False, read)


def _opened(source: Path | bytes, path: Path) -> Any:
    """The bytes of a file, unpacked where its name says that they are packed."""
    return pa.input_stream(str(source) if isinstance(source, Path) else pa.py_buffer(source), compression="detect")


def _unreadable(path: Path, error: BaseException) -> ConfigurationError:
    if isinstance(error, FileNotFoundError):
        return ConfigurationError(f"{path} is not there")
    if crooked := _CROOKED.search(str(error)):
        row, names, values = (int(number) for number in crooked.groups())
        return ConfigurationError(
            f"{path}: row {row - 1:,} has {values} values and the header {names} names; put values that hold the "
            "delimiter in quotation marks"
        )
    if "straddling" in str(error):
        return ConfigurationError(f"{path} has a row of more than {BLOCK:,} bytes: a quotation mark may not be closed")
    return ConfigurationError(f"{path} cannot be read: {_line(error)}")


def _line(error: BaseException) -> str:
    """The first line of what an error says: later ones show values."""
    return next(iter(str(error).splitlines()), type(error).__name__)[:300]


def _guarded(path: Path, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Batches of a foreign reader, whose errors become ours: what it makes of a damaged file is no defect of ours."""
    while True:
        try:
            batch = next(batches, None)
        except (pa.ArrowException, OSError, ValueError, LookupError, TypeError, OverflowError, MemoryError) as error:
            raise _unreadable(path, error) from None
        if batch is None:
            return
        yield batch


def _parquet(source: Path | bytes, path: Path) -> TableFile:
    def opened() -> pyarrow.parquet.ParquetFile:
        return pyarrow.parquet.ParquetFile(source if isinstance(source, Path) else pa.BufferReader(source))

    def read(names: Sequence[str]) -> Iterator[pa.RecordBatch]:
        for batch in _guarded(path, opened().iter_batches(BATCH, columns=list(names))):
            yield pa.RecordBatch.from_arrays([leaf(batch, name) for name in names], names=list(names))

    try:
        return TableFile(tuple(leaves(opened().schema_arrow)), False, read, "Parquet")
    except (pa.ArrowException, OSError, ValueError, LookupError, TypeError, OverflowError, MemoryError) as error:
        raise _unreadable(path, error) from None


def leaves(fields: Any, before: str = "") -> Iterator[str]:
    """Names of columns, those of fields within fields by their path."""
    for part in fields:
        if pa.types.is_struct(part.type):
            yield from leaves(part.type, f"{before}{part.name}.")
        else:
            yield f"{before}{part.name}"


def leaf(batch: pa.RecordBatch, name: str) -> pa.Array:
    """A column by its name or path; null where a field that it lies in is."""
    if name in batch.schema.names:
        return batch.column(batch.schema.names.index(name))
    first = next(column for column in batch.schema.names if name.startswith(f"{column}."))
    found, rest = batch.column(first), name[len(first) + 1 :]
    while rest:
        part = next(field.name for field in found.type if rest == field.name or rest.startswith(f"{field.name}."))
        found, rest = pyarrow.compute.struct_field(found, [part]), rest[len(part) + 1 :]
    return found


def _folder(path: Path) -> TableFile:
    """The Parquet files of a folder, in the order of their names, as one."""
    try:
        files: Any = pyarrow.dataset.dataset(path, format="parquet")
        names = tuple(leaves(files.schema))
    except (pa.ArrowException, OSError, ValueError, LookupError, TypeError) as error:
        raise _unreadable(path, error) from None
    if not files.files:
        raise ConfigurationError(f"{path} is a folder without Parquet files: name a file")

    def read(wanted: Sequence[str]) -> Iterator[pa.RecordBatch]:
        tops = {
            name: next(top for top in files.schema.names if name == top or name.startswith(f"{top}."))
            for name in wanted
        }
        whole = list(dict.fromkeys(tops.values()))
        for batch in _guarded(path, files.to_batches(columns=whole, batch_size=BATCH)):
            yield pa.RecordBatch.from_arrays([leaf(batch, name) for name in wanted], names=list(wanted))

    return TableFile(names, False, read, "a folder of Parquet files")


def _json_lines(source: Path | bytes, path: Path) -> TableFile:
    def opened() -> Any:
        return _opened(source, path)

    def read(wanted: Sequence[str]) -> Iterator[pa.RecordBatch]:
        yield from _guarded(path, json_lines.batches(opened, path, wanted))

    try:
        return TableFile(json_lines.names_in(opened, path), True, read, "JSON lines")
    except (OSError, ValueError, pa.ArrowException) as error:
        raise _unreadable(path, error) from None


def _csv(source: Path | bytes, path: Path, head: bytes) -> TableFile:
    start = head.removeprefix(BYTE_ORDER_MARK).lstrip()
    for magic, (what, remedy) in STRANGE.items():
        if start.startswith(magic) or head.startswith(magic):
            raise ConfigurationError(f"{path} is {what}, none of Parquet, CSV and JSON lines: {remedy}")
    raw, delimiter = _header(path, head)
    names = tuple(name.strip() for name in raw)
    by_name = dict(zip(names, raw, strict=True))

    def read(wanted: Sequence[str]) -> Iterator[pa.RecordBatch]:
        _quoted_well(source, path, delimiter)
        columns = [by_name[name] for name in wanted]
        for batch in _guarded(path, _lines(lambda: _opened(source, path), delimiter, columns)):
            yield pa.RecordBatch.from_arrays([batch[name] for name in columns], names=list(wanted))

    between = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}[delimiter]
    return TableFile(names, True, read, f"CSV with {between}")


def _header(path: Path, head: bytes) -> tuple[list[str], str]:
    """The names in a CSV's first line, as they are written, and what stands between them."""
    text = head.decode("utf-8-sig", errors="replace")
    if "\0" in text:
        raise ConfigurationError(f"{path} holds zero bytes and is no text: write Parquet, or CSV in UTF-8")
    best: tuple[list[str], str] = ([], DELIMITERS[0])
    try:
        for delimiter in DELIMITERS:
            found = next((row for row in csv.reader(io.StringIO(text), delimiter=delimiter) if row), [])
            if len(found) > len(best[0]):
                best = found, delimiter
    except csv.Error as error:
        raise ConfigurationError(f"{path} has no header that can be read: {error}") from None
    if not any(name.strip() for name in best[0]):
        raise ConfigurationError(f"{path} is empty: a CSV begins with a line of column names")
    if any("\ufffd" in name for name in best[0]):
        raise ConfigurationError(f"{path} is not UTF-8 in its header: save it as UTF-8")
    return best


def _lines(opened: Callable[[], Any], delimiter: str, columns: list[str]) -> Iterator[pa.RecordBatch]:
    """A CSV's columns as bytes; a cell with nothing in it is null, `""` is an empty text."""
    yield from pyarrow.csv.open_csv(
        opened(),
        # One thread: only so does an error know its row.
        read_options=pyarrow.csv.ReadOptions(use_threads=False, block_size=BLOCK),
        # No handler of crooked rows: pyarrow passes over such a row in silence where it is not UTF-8.
        parse_options=pyarrow.csv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
        convert_options=pyarrow.csv.ConvertOptions(
            include_columns=columns,
            column_types=dict.fromkeys(columns, pa.binary()),
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
            null_values=[""],
            check_utf8=False,  # later, where the row is known
        ),
    )


def _quoted_well(source: Path | bytes, path: Path, delimiter: str) -> None:
    """Refuse a CSV with a quotation mark that is not closed, or closed in mid-value: rows would run into one another.

    Arrow's reader takes both without a word, so a file that has marks at all is read by a strict one first.
    """
    csv.field_size_limit(BLOCK)
    try:
        with _opened(source, path) as stream:
            if not any(b'"' in part for part in iter(lambda: stream.read(BLOCK), b"")):
                return
        with _opened(source, path) as stream:
            text = io.TextIOWrapper(stream, "utf-8-sig", errors="replace", newline="")
            rows = csv.reader(text, delimiter=delimiter, strict=True)
            collections.deque(rows, maxlen=0)
    except csv.Error as error:
        cut = "a quotation mark is not closed; the file may be cut off"
        why = cut if "end of data" in str(error) else str(error)
        raise ConfigurationError(
            f"{path}: line {rows.line_num:,}: {why}; write a mark within quotation marks twice"
        ) from None
    except (OSError, ValueError, pa.ArrowException) as error:
        raise _unreadable(path, error) from None
