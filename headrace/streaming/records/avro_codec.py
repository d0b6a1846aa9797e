"""Messages to columns and back: the Confluent wire format around Avro, a batch at a time.

A message is a zero byte, the schema id in four bytes, and one Avro record. The verdict is for each record alone: a bad
one costs its neighbours nothing. Whatever the bytes say, memory stays within a small multiple of their number.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any, Protocol, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import structlog

from headrace.columnar.avro import instructions
from headrace.columnar.avro.compatibility import incompatibilities
from headrace.columnar.avro.reader import Joined, RecordReader
from headrace.columnar.avro.resolution import Resolution
from headrace.columnar.avro.writer import Writing
from headrace.streaming.contracts.schemas import Schema, SchemaIds
from headrace.streaming.process.logs import logger
from headrace.streaming.records.codec import Bad, Decoded

log = logger("codec")

REASONS = {
    instructions.NULL_VALUE: "null_value",
    instructions.OVERSIZE: "oversize",
    instructions.TRUNCATED: "truncated",
    instructions.WRONG_MAGIC: "wrong_magic",
    instructions.UNKNOWN_SCHEMA: "unknown_schema",
    instructions.TRAILING_BYTES: "trailing_bytes",
    instructions.MALFORMED: "malformed",
}
# Ids that were asked for and not found; forgotten when strangers have sent this many.
_MOST_STRANGERS = 1_000


class VersionReader(Protocol):
    """Reads the records of one version of a schema."""

    def read(self, joined: Joined, want: int) -> tuple[pa.RecordBatch, npt.NDArray[np.int64]]:
        """The good records that bear the wanted id, as columns, with their row numbers."""
        ...

    def place(self, failed: int) -> tuple[str, int]:
        """The field and the byte within the record where reading ended."""
        ...


class AvroCodec:
    """Reads and writes the values of one topic.

    Args:
        subject: the topic's name on the broker with `-value`.
        reader: the schema that the columns have, and that is written.
        ids: which ids may be read, and which is written.
        max_bytes: longer values are `oversize`, header included; below 2 GiB.

    Ids of versions that the reader's schema cannot take are treated as unknown, the detail and the log saying why: old
    records that nobody can read any more do not keep the others from being read. Fields of a version that the reader
    does not have matter only as far as they must be stepped over.
    """

    def __init__(self, subject: str, reader: Schema, ids: SchemaIds, max_bytes: int = 1_000_000) -> None:
        self.subject = subject
        self.reader = reader
        self.max_bytes = max_bytes
        self._ids = ids
        self._reading = RecordReader(reader.record)
        self._writing = Writing(reader.record)
        self._sources: dict[int, VersionReader] = {}
        self._strangers: set[int] = set()
        self._unreadable: dict[int, str] = {}
        self._none = pa.RecordBatch.from_pylist([], reader.arrow)
        self._learn()

    @cached_property
    def id(self) -> int:
        """The id that `encode` writes; ContractError when the reader's schema has none. Ask for it at the start."""
        return self._ids.id_of(self.subject, self.reader)

    def encode(self, columns: pa.RecordBatch) -> list[bytes]:
        """One message a row.

        Columns are taken by name; a type that casts to the schema's without loss will do.

        Raises:
            ContractError: the schema has no id, or a column is missing, of another type, or null without leave.
        """
        return self._writing.write(columns, self.id)

    def decode(self, values: Sequence[bytes | None]) -> Decoded:
        """Read a batch; `Transient` when an unknown id makes it ask a registry that does not answer."""
        binary = cast("pa.BinaryArray | pa.ChunkedArray[Any]", pa.array(values, pa.binary()))
        if isinstance(binary, pa.ChunkedArray):
            # Past 2 GiB, Arrow's 32-bit offsets do not reach.
            half = len(values) // 2
            return _joined(self.decode(values[:half]), self.decode(values[half:]), half)
        if not len(values):
            return Decoded(self._none, np.empty(0, np.int64), [])
        joined = Joined(binary, self.max_bytes)
        parts = [self._sources[number].read(joined, number) for number in self._present(joined)]
        if len(parts) == 1:
            columns, rows = parts[0]
        elif parts:
            rows = np.concatenate([part[1] for part in parts])
            order = np.argsort(rows, kind="stable")
            together = pa.concat_batches([part[0] for part in parts])
            columns, rows = together.take(pa.array(order)), rows[order]
        else:
            columns, rows = self._none, np.empty(0, np.int64)
        return Decoded(columns, rows, self._bad(joined))

    def _present(self, joined: Joined) -> list[int]:
        """The known ids among the records, after asking once for those not known."""
        first = int(joined.ids[0])
        found = [first] if (joined.ids == first).all() else np.unique(joined.ids).tolist()
        found = [number for number in found if number >= 0]
        strangers = {number for number in found if number not in self._sources}
        if strangers - self._strangers:
            self._learn()
            strangers = {number for number in strangers if number not in self._sources}
            if len(self._strangers) > _MOST_STRANGERS:
                self._strangers.clear()
            self._strangers |= strangers
        if strangers:
            unknown = np.isin(joined.ids, list(strangers)) & (joined.status == instructions.GOOD)
            joined.status[unknown] = instructions.UNKNOWN_SCHEMA
        return [number for number in found if number in self._sources]

    def _learn(self) -> None:
        for number, writer in self._ids.writers(self.subject).items():
            if number in self._sources or number in self._unreadable:
                continue
            if isinstance(writer, str):
                self._give_up(number, writer)
            elif isinstance(source := self._source(writer), str):
                self._give_up(number, source)
            else:
                self._sources[number] = source

    def _source(self, writer: Schema) -> VersionReader | str:
        """How records of a version are read, or why they cannot be."""
        if writer == self.reader:
            return self._reading
        if problems := incompatibilities(writer.record, self.reader.record):
            return "; ".join(problems)
        return Resolution(writer.record, self.reader.record)

    def _give_up(self, number: int, why: str) -> None:
        self._unreadable[number] = why
        if structlog.is_configured():  # a service; a command tells what it read, and logs nothing
            log.warning("a version of a schema cannot be read", subject=self.subject, id=number, reason=why)

    def _bad(self, joined: Joined) -> list[Bad]:
        rows = np.flatnonzero(joined.status)
        return [Bad(row, REASONS[int(joined.status[row])], self._detail(joined, row)) for row in rows.tolist()]

    def _detail(self, joined: Joined, row: int) -> str:
        size = len(joined.values[row].as_py() or b"") if joined.status[row] != instructions.NULL_VALUE else 0
        number = int(joined.ids[row])
        match int(joined.status[row]):
            case instructions.NULL_VALUE:
                return "a record of this topic must have a value"
            case instructions.OVERSIZE:
                return f"{size} bytes, at most {self.max_bytes} are read"
            case instructions.WRONG_MAGIC:
                return "the first byte is not the 0 of the Confluent wire format"
            case instructions.UNKNOWN_SCHEMA:
                why = self._unreadable.get(number, f"not among those of {self.subject}")
                return f"schema id {number}: {why}"
            case _ if number < 0:
                return f"{size} bytes, a header alone takes {instructions.HEADER}"
        place, byte = self._sources[number].place(int(joined.failed[row]))
        return f"at `{place}`, byte {byte} of {size}"


def _joined(head: Decoded, tail: Decoded, start: int) -> Decoded:
    # More than 2 GiB of good text in one column cannot be one batch; Arrow says so.
    columns = pa.concat_batches([head.columns, tail.columns])
    bad = [Bad(item.row + start, item.reason, item.detail) for item in tail.bad]
    return Decoded(columns, np.concatenate([head.rows, tail.rows + start]), head.bad + bad)
