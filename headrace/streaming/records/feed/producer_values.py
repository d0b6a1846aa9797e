"""Columns as a producer of theirs would write them: for files that are published to a producer's topic."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa

from headrace.errors import ContractError
from headrace.streaming.contracts.schemas import Schema
from headrace.streaming.records.feed.column import FeedColumn, FeedForm
from headrace.streaming.records.feed.shape import MILLIS, PER_MILLI

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def said(subject: str, form: FeedForm, reader: Schema, columns: pa.RecordBatch) -> list[list[object]]:
    """The values of a batch as records say them, by column of the form, and of its envelope: each row was created.

    Raises:
        ContractError: a column is missing, of another type, or null without leave.
    """
    found: list[list[object]] = []
    for column in form.columns:
        if column.name not in columns.schema.names:
            raise ContractError(f"{subject}: column {column.name} is missing")
        try:
            array = columns.column(column.name).cast(reader.arrow.field(column.name).type)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise ContractError(f"{subject}: column {column.name}: {error}") from None
        if array.null_count and not (column.nullable or column.optional):
            raise ContractError(f"{subject}: column {column.name}: a null, and its producer's schema has none")
        say = _saying(column)
        plain = array.cast(pa.int64()) if pa.types.is_timestamp(array.type) else array
        found.append([None if value is None else say(value) for value in plain.to_pylist()])
    if form.envelope is not None:
        found += [["c"] * columns.num_rows]
    return found


def _saying(column: FeedColumn) -> Callable[..., object]:
    """How a value of a column is said."""
    reads = column.scalar.reads
    if column.kind != "time":
        plain: Callable[[Any], object] = {"integer": int, "number": float, "string": str, "boolean": bool}[reads]
        if column.kind == reads:
            return plain

        def exactly(value: Any) -> object:
            try:
                told = plain(value)
            except ValueError:
                told = None
            # What is read of it again has to be the same: 0.5 is neither true nor false.
            if told is None or (column.kind == "number" and float(told) != value):  # type: ignore[arg-type]
                raise ContractError(f"column {column.name}: {value} is no {reads}, which its producer writes")
            return told

        return exactly
    form = column.time
    assert form is not None, "a column of times says how they are written"
    zone = ZoneInfo(form.zone) if form.zone else None
    if form.unit == "iso":
        return lambda ms: _iso(ms, zone)
    per_milli, millis = PER_MILLI.get(form.unit, 1), MILLIS.get(form.unit, 1)

    def number(ms: int) -> int | float:
        shown = ms if zone is None else ms + _offset(ms, zone)
        if reads == "number":
            return shown * per_milli / millis
        if shown % millis:
            raise ContractError(f"column {column.name}: {ms} ms is no whole number of {form.unit}")
        return shown * per_milli // millis

    return number


def _offset(ms: int, zone: ZoneInfo) -> int:
    offset = (_EPOCH + timedelta(milliseconds=ms)).astimezone(zone).utcoffset()
    return 0 if offset is None else round(offset.total_seconds() * 1000)


def _iso(ms: int, zone: ZoneInfo | None) -> str:
    moment = _EPOCH + timedelta(milliseconds=ms)
    if zone is None:
        return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return moment.astimezone(zone).replace(tzinfo=None).isoformat(timespec="milliseconds")
