"""What all codecs of producers' records share: from scanned values to columns, with a verdict for each record."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from headrace.streaming.contracts.schemas import Schema
from headrace.streaming.records.codec import Bad, Decoded
from headrace.streaming.records.feed.column import ARROW, FeedColumn, FeedForm
from headrace.streaming.records.feed.producer_values import said
from headrace.streaming.records.feed.shape import FoundShape, Scalar, follow
from headrace.streaming.records.feed.times import times_of

Flags = npt.NDArray[np.bool_]
kernels: Any = pc  # its stubs know too few of the overloads
ABSENT, NULL, THERE = range(3)
"""What stands where a value is due."""
OPERATION, ROW = "~operation", "~row"
"""Columns that an envelope adds; no column of a pipeline begins like this."""
KEPT = ("c", "r", "u")
DELETED, UNKEYED, OTHER = "deleted", "null_value", "other_record"
RAW: dict[str, pa.DataType] = {
    "integer": pa.int64(), "number": pa.float64(), "string": pa.string(), "boolean": pa.bool_(),
}  # fmt: skip  # one table
_MOST_WHOLE = 1 << 53


@dataclass(frozen=True, slots=True)
class Scanned:
    """Values of one column.

    Attributes:
        states: uint8, what stands there.
        values: those of what is not `THERE` are arbitrary.
        wrong: which are there and cannot be said; None: none.
        why: they cannot.
    """

    states: npt.NDArray[np.uint8]
    values: pa.Array
    wrong: Flags | None = None
    why: str = ""


@dataclass(frozen=True, slots=True)
class Scan:
    """What was read of a batch: rows (int64, ascending) that are well formed, their columns, and the others."""

    rows: npt.NDArray[np.int64]
    columns: Sequence[Scanned]
    bad: Sequence[Bad]


class Scanner(Protocol):
    """Reads and writes the values of one format by columns."""

    def scan(self, values: Sequence[bytes | None]) -> Scan:
        """Read a batch: each value that is no record of the format is bad, for itself alone."""
        ...

    def write(self, columns: Sequence[Sequence[object]]) -> list[bytes]:
        """Records with these values, by column; None is null. ContractError where the format cannot say one."""
        ...


class FeedCodec:
    """Reads and writes the values of a producer's topic; see `headrace.streaming.records.codec.Codec`.

    Args:
        subject: the topic's name on the broker with `-value`.
        form: what is read.
        reader: the schema of the columns.
        scanner: of the format; it was told `scanned_by` the form.
        max_bytes: longer values are `oversize`.
    """

    def __init__(self, subject: str, form: FeedForm, reader: Schema, scanner: Scanner, max_bytes: int) -> None:
        self.subject = subject
        self.form = form
        self.reader = reader
        self.max_bytes = max_bytes
        self._scanner = scanner

    def decode(self, values: Sequence[bytes | None]) -> Decoded:
        """As `Codec.decode`."""
        bad = self._unread(values)
        if bad:
            apart = {one.row for one in bad}
            kept = [row for row in range(len(values)) if row not in apart]
            scan = self._scanner.scan([values[row] for row in kept])
            bad += [replace(one, row=kept[one.row]) for one in scan.bad]
            rows = np.array(kept, np.int64)[scan.rows]
        else:
            scan = self._scanner.scan(values)
            bad, rows = list(scan.bad), scan.rows
        faults = list(self._faults(scan))
        arrays = []
        for column, scanned in zip(self.form.columns, scan.columns, strict=False):
            array, wrong = _converted(column, scanned)
            arrays.append(array)
            faults += [(mask, "malformed", f"`{column.place}` {why}") for mask, why in wrong]
        good = np.ones(len(rows), np.bool_)
        for mask, reason, detail in faults:
            new = np.flatnonzero(mask & good)
            good[new] = False
            bad += [Bad(int(rows[row]), reason, detail) for row in new.tolist()]
        bad.sort(key=lambda one: one.row)
        columns = pa.RecordBatch.from_arrays(arrays, names=[column.name for column in self.form.columns])
        if not good.all():
            columns, rows = columns.filter(pa.array(good)), rows[good]
        columns = pa.RecordBatch.from_arrays([columns.column(name) for name in self.reader.arrow.names],
                                             schema=self.reader.arrow)  # fmt: skip  # one call
        return self._left_out(Decoded(columns, rows, bad))

    def _unread(self, values: Sequence[bytes | None]) -> list[Bad]:
        """Values that are not looked into."""
        if None not in values and max(map(len, values), default=0) <= self.max_bytes:  # type: ignore[arg-type]  # no None
            return []
        found = []
        for row, value in enumerate(values):
            if value is None:
                found.append(Bad(row, UNKEYED, "a record of this topic must have a value; it is a tombstone"))
            elif len(value) > self.max_bytes:
                found.append(Bad(row, "oversize", f"{len(value)} bytes, at most {self.max_bytes} are read"))
        return found

    def _left_out(self, decoded: Decoded) -> Decoded:
        """Deletions, and records of other kinds, taken out of what is bad where they are skipped, and counted."""
        left_out = {DELETED: DELETED, UNKEYED: DELETED} if self.form.skips_deletes else {}
        left_out |= {OTHER: OTHER} if self.form.skips_others else {}
        skipped = Counter(left_out[one.reason] for one in decoded.bad if one.reason in left_out)
        if not skipped:
            return decoded
        return replace(decoded, bad=[one for one in decoded.bad if one.reason not in left_out], skipped=skipped)

    def _faults(self, scan: Scan) -> Iterator[tuple[Flags, str, str]]:
        """Which records are no events, with reason and detail; the first that is told of a record counts."""
        if self.form.envelope is not None:
            operation, row = scan.columns[-2:]
            told = np.asarray(operation.states == THERE)
            words = operation.values
            gone = told & _equal(words, "d")
            yield gone, DELETED, "a row was deleted: no event of it can be made"
            known = np.any([_equal(words, word) for word in KEPT], axis=0)
            at = ".".join(self.form.envelope.operation)
            yield ~(told & known), "malformed", f"`{at}` is none of {', '.join((*KEPT, 'd'))}"
            yield row.states != THERE, "malformed", f"`{'.'.join(self.form.envelope.row)}` is null or missing"
        for column, scanned in zip(self.form.columns, scan.columns, strict=False):
            if not column.optional:
                yield scanned.states == ABSENT, "malformed", f"`{column.place}` is missing"
            if not column.nullable:
                yield scanned.states == NULL, "malformed", f"`{column.place}` is null"

    def encode(self, columns: pa.RecordBatch) -> list[bytes]:
        """One message a row, as `Codec.encode`: as the producer would write it."""
        return self._scanner.write(said(self.subject, self.form, self.reader, columns))


def scanned_by(form: FeedForm) -> tuple[FeedColumn, ...]:
    """The columns that a scanner reads for a form: its own, then those of its envelope."""
    if form.envelope is None:
        return form.columns
    operation, row = follow(form.shape, form.envelope.operation), follow(form.shape, form.envelope.row)
    assert isinstance(operation, FoundShape), "the pipeline file was checked"
    assert isinstance(row, FoundShape), "the pipeline file was checked"
    assert isinstance(operation.type, Scalar), "the pipeline file was checked"
    word = FeedColumn(OPERATION, form.envelope.operation, operation.type, "string", parts=operation.parts)
    there = FeedColumn(ROW, form.envelope.row, Scalar("string", wire="any"), "string", parts=row.parts)
    return (*form.columns, word, there)


def _equal(words: pa.Array, word: str) -> Flags:
    found: Flags = kernels.fill_null(kernels.equal(words, word), False).to_numpy(zero_copy_only=False)
    return found


def _converted(column: FeedColumn, scanned: Scanned) -> tuple[pa.Array, list[tuple[Flags, str]]]:
    """The column's array, null where nothing stands, and what is wrong with which values."""
    there = scanned.states == THERE
    values, reads = scanned.values, column.scalar.reads
    unsaid = [] if scanned.wrong is None or not scanned.wrong.any() else [(scanned.wrong, scanned.why)]
    wrong: list[tuple[Flags, str]] = []
    if column.kind == "time":
        assert column.time is not None, "a column of times says how they are written"
        times, wrong = times_of(values, column.time, there)
        return pa.array(times, mask=~there).cast(ARROW["time"]), [*unsaid, *wrong]
    if column.kind != reads:
        values, wrong = _cast(values, reads, column.kind, there)
    return _masked(values, there), [*unsaid, *wrong]


def _masked(values: pa.Array, there: Flags) -> pa.Array:
    return values if there.all() else kernels.if_else(pa.array(there), values, pa.scalar(None, values.type))


def _cast(values: pa.Array, reads: str, kind: str, there: Flags) -> tuple[pa.Array, list[tuple[Flags, str]]]:
    """Values of another kind than they are written in, as the pipeline file declares; those that are none are wrong."""
    if reads == "integer" and kind == "number":
        whole = values.to_numpy(zero_copy_only=False)
        rounded = there & (np.abs(whole) > _MOST_WHOLE) & (whole.astype(np.float64).astype(object) != whole)
        return values.cast(pa.float64(), safe=False), [(rounded, "is a whole number that a number would round")]
    if kind == "string" or reads == "boolean":
        return values.cast(RAW[kind]), []
    found = values.to_pylist()
    parsed = [_parsed(text, kind) if ok else None for text, ok in zip(found, there.tolist(), strict=True)]
    wrong = there & np.array([one is None for one in parsed], np.bool_)
    return pa.array(parsed, RAW[kind]), [(wrong, f"is a text that is no {kind}")] if wrong.any() else []


def _parsed(text: str, kind: str) -> int | float | None:
    """A number that a text spells, exactly as JSON would have it; None for others."""
    if kind == "integer":
        body = text.removeprefix("-")
        ok = body.isascii() and body.isdecimal() and (body == "0" or body[0] != "0") and len(body) < 20
        return int(text) if ok and -(1 << 63) <= int(text) < 1 << 63 else None
    if not text.isascii() or not text or text[-1] not in "0123456789" or text.strip() != text or "_" in text:
        return None
    try:
        number = float(text)
    except ValueError:
        return None
    return number if abs(number) < float("inf") else None
