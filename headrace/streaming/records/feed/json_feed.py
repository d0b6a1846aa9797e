"""Producers' records in JSON: one object a record, in UTF-8, with or without a registry's header before it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from headrace.columnar.json_paths.scanner import JsonColumn, JsonColumns
from headrace.errors import ContractError
from headrace.streaming.records.codec import Bad
from headrace.streaming.records.feed.column import FeedColumn
from headrace.streaming.records.feed.feed_codec import Scan, Scanned

_HEADER = 5
"""Bytes of Confluent's framing: 0, and the schema's id. No JSON begins with a 0 byte; the id is not looked up."""


class JsonScanner:
    """Reads columns of JSON objects by their paths; see `headrace.columnar.json_paths.scanner` for what is refused."""

    def __init__(self, columns: Sequence[FeedColumn]) -> None:
        self._columns = columns
        self._reading = JsonColumns(
            [JsonColumn(c.path, "any" if c.scalar.wire == "any" else c.scalar.reads) for c in columns]
        )

    def scan(self, values: Sequence[bytes | None]) -> Scan:
        """As `Scanner.scan`."""
        if any(value is not None and value[:1] == b"\0" for value in values):
            values = [value[_HEADER:] if value and value[0] == 0 else value for value in values]
        found = self._reading.scan(pa.array(values, pa.binary()))
        bad = [Bad(row, "malformed", why) for row, why in sorted(found.wrong.items())]
        return Scan(found.rows, [Scanned(cells.states, cells.values) for cells in found.columns], bad)

    def write(self, columns: Sequence[Sequence[object]]) -> list[bytes]:
        """As `Scanner.write`."""
        return [self._written(row) for row in zip(*columns, strict=True)]

    def _written(self, row: Sequence[object]) -> bytes:
        record: dict[str, Any] = {}
        for column, value in zip(self._columns, row, strict=True):
            here = record
            for name in column.path[:-1]:
                here = here.setdefault(name, {})
            here[column.path[-1]] = value
        try:
            return json.dumps(record, allow_nan=False, ensure_ascii=False, separators=(",", ":")).encode()
        except ValueError:
            raise ContractError("JSON has no number that is not finite") from None
