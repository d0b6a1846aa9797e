"""The rows that a proposal is made from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from headrace.errors import ConfigurationError
from headrace.operations.proposal.wrapped_records import NOT_WRAPPED, Wrapping
from headrace.operations.tables.table_files import open_table


@dataclass(frozen=True, slots=True)
class TopicForm:
    """A producer's topic: its format, of `avro` and `json`, the file that describes its records, how they wrap rows."""

    topic: str
    format: str
    ending: str
    schema: str
    wrapping: Wrapping = NOT_WRAPPED


@dataclass(frozen=True, slots=True)
class StreamSample:
    """The first rows of a file, or the newest records of a topic, in its order.

    Attributes:
        source: what a person calls it.
        kind: what it is, such as `CSV with commas`.
        text: whether its values are text that was never typed.
        columns: by name; text as strings, the rest as it is typed.
        rows: how many were looked at.
        whole: whether there are no more.
        topic: what it comes from; None for a file.
    """

    source: str
    kind: str
    text: bool
    columns: Mapping[str, pa.ChunkedArray]
    rows: int
    whole: bool
    topic: TopicForm | None = None

    @property
    def looked_at(self) -> str:
        """How many rows were looked at, in words."""
        if self.whole:
            return f"{self.rows:,} rows, all of them"
        which = "first" if self.topic is None else "newest"
        return f"its {which} {self.rows:,} rows, and no others"


def sample_file(path: Path, most: int) -> StreamSample:
    """The first `most` rows of a file.

    Raises:
        ConfigurationError: it cannot be read, has no rows, or a column twice.
    """
    file = open_table(path)
    twice = sorted({name for name in file.names if file.names.count(name) > 1})
    if twice:
        raise ConfigurationError(f"{path} has two columns {twice[0]}: rename or drop one")
    batches: list[pa.RecordBatch] = []
    rows, whole = 0, True
    for batch in file.read(file.names):
        if rows + batch.num_rows > most:
            batches.append(batch.slice(0, most - rows))
            rows, whole = most, False
            break
        batches.append(batch)
        rows += batch.num_rows
    if not rows:
        raise ConfigurationError(f"{path} has no rows, only names: a proposal is made from rows")
    table = pa.Table.from_batches([batch for batch in batches if batch.num_rows])
    columns = {name: _plain(table[name], file.text) for name in file.names}
    return StreamSample(path.name, file.kind, file.text, columns, rows, whole)


def _plain(values: pa.ChunkedArray, text: bool) -> pa.ChunkedArray:
    """Without dictionaries, views and large types; text that is no UTF-8 is no text, and is left as bytes."""
    if pa.types.is_dictionary(values.type):
        values = values.cast(values.type.value_type)
    if text or pa.types.is_string_view(values.type) or pa.types.is_large_string(values.type):
        try:
            return values.cast(pa.string())
        except pa.ArrowException:
            return values
    return values
