"""What costs much and decides nothing, made cheap: a codec without Avro and metrics that nobody reads.

Both stand at seams of the product. The codec and the metrics themselves have tests of their own.
"""

from __future__ import annotations

import marshal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import pyarrow as pa

from headrace.streaming.contracts.schemas import Schema
from headrace.streaming.process.metrics import Metrics
from headrace.streaming.records.codec import Bad, Decoded

_VERSION = 2
"""Of marshal's format: the last one whose bytes depend on the value alone."""


class PlainCodec:
    """As `Codec`, with a value's fields in a row."""

    def __init__(self, schema: Schema) -> None:
        self.reader = schema
        self._names: list[str] = self.reader.arrow.names

    def encode(self, columns: pa.RecordBatch) -> list[bytes]:
        """One message a row."""
        listed = [columns.column(name).to_pylist() for name in self._names]
        return [marshal.dumps(row, _VERSION) for row in zip(*listed, strict=True)]

    def rows(self, values: Sequence[bytes]) -> list[dict[str, Any]]:
        """What `encode` has written, for whoever looks at one row after the other."""
        return [dict(zip(self._names, marshal.loads(value), strict=True)) for value in values]

    def decode(self, values: Sequence[bytes | None]) -> Decoded:
        """Read a batch; what was not written by `encode` is bad."""
        rows, good, bad = [], [], []
        for place, value in enumerate(values):
            try:
                rows.append(marshal.loads(value or b""))
                good.append(place)
            except (ValueError, EOFError, TypeError):
                bad.append(Bad(place, "malformed", "not written by this codec"))
        schema = self.reader.arrow
        listed = zip(*rows, strict=True) if rows else [()] * len(self._names)
        arrays = [pa.array(column, kind) for column, kind in zip(listed, schema.types, strict=True)]
        return Decoded(pa.RecordBatch.from_arrays(arrays, schema=schema), np.array(good, np.int64), bad)


class _Unread:
    """A metric of any kind."""

    def labels(self, *names: str) -> _Unread:
        """The same."""
        return self

    def observe(self, value: Any) -> None:
        """Nothing."""

    set = observe

    def inc(self, by: float = 1) -> None:
        """Nothing."""

    def clear(self) -> None:
        """Nothing."""


_UNREAD = _Unread()


class SilentMetrics(Metrics):
    """As `Metrics`, counting nothing."""

    def __init__(self) -> None:
        super().__init__()
        for name, metric in list(vars(self).items()):
            if hasattr(metric, "collect") and name != "registry":
                setattr(self, name, _UNREAD)

    def add(self, stage: str, seconds: float) -> None:
        """Nothing."""

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Nothing."""
        yield
