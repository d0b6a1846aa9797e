"""Columns as one Avro record a row: the form in which a join keeps what it only passes on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from headrace.columnar.avro.reader import Joined, RecordReader
from headrace.columnar.avro.resolution import Resolution
from headrace.columnar.avro.writer import Writing
from headrace.errors import ContractError
from headrace.streaming.contracts.schemas import load_schema

_MOST = 1 << 30


class Packed:
    """Packs the named fields of a record type, and unpacks them.

    Parameters:
        definition: Avro record that has these fields.
        fields: their names, in the order in which they are kept.

    Attributes:
        definition: of what is packed, and its `digest`; both empty where there are no fields.
    """

    def __init__(self, definition: dict[str, Any], fields: Sequence[str]) -> None:
        known = {field["name"]: field for field in definition["fields"]}
        self.fields = tuple(fields)
        self.definition = self.digest = ""
        if not fields:  # a record without fields takes no bytes, which the codec does not read
            return
        schema = load_schema({**definition, "fields": [known[name] for name in fields]})
        self.definition, self.digest = schema.canonical, schema.fingerprint
        self._writing = Writing(schema.record)
        self._reading = RecordReader(schema.record)

    def pack(self, columns: pa.RecordBatch) -> pa.BinaryArray:
        """One value a row, each with the wire header before it."""
        if not columns.num_rows:
            return pa.array([], pa.binary())
        parts = list(self._writing.parts(columns, 0))
        if len(parts) > 1:
            raise ContractError(f"{columns.num_rows} rows of {columns.nbytes} bytes are more than one array holds")
        return parts[0]

    def unpack(self, values: pa.BinaryArray) -> pa.RecordBatch:
        """What `pack` took."""
        return unpacked(self._reading, values)


def unpacked(reading: RecordReader | Resolution, values: pa.BinaryArray) -> pa.RecordBatch:
    """What was packed as the reader knows."""
    found, rows = reading.read(Joined(values, _MOST), 0)
    if len(rows) != len(values):
        raise ContractError("what a join kept cannot be read back")
    return found


def binary_of(ends: np.ndarray[Any, np.dtype[np.int32]], data: np.ndarray[Any, np.dtype[np.uint8]]) -> pa.BinaryArray:
    """Bytes between offsets (int32, rows + 1) as an array."""
    return pa.Array.from_buffers(pa.binary(), len(ends) - 1, [None, pa.py_buffer(ends), pa.py_buffer(data)])
