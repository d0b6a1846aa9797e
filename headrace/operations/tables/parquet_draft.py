"""A Parquet file that appears whole or not at all, written in batches."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

ROW_GROUP = 131_072


class ParquetDraft:
    """A file beside the one that is wanted, until it is finished. Memory stays at a few row groups.

    Attributes:
        written: rows so far.
    """

    def __init__(self, out: Path, schema: pa.Schema) -> None:
        """Raises OSError when nothing can be written there."""
        self.written = 0
        self._out, self._schema = out, schema
        self._draft = out.with_name(f".{out.name}.draft")
        self._waiting: list[pa.RecordBatch] = []
        self._rows = 0
        self._writer = pq.ParquetWriter(self._draft, schema, compression="zstd")

    def write(self, batch: pa.RecordBatch) -> None:
        """Take rows of the schema in."""
        self._waiting.append(batch)
        self._rows += batch.num_rows
        self.written += batch.num_rows
        if self._rows >= ROW_GROUP:
            self._write_group()

    def finish(self) -> None:
        """Put the file, with all that was written, in its place; once."""
        self._write_group()
        self._writer.close()
        self._draft.replace(self._out)

    def discard(self) -> None:
        """Leave nothing of what is not finished; after `finish` it does nothing."""
        self._writer.close()
        self._draft.unlink(missing_ok=True)

    def _write_group(self) -> None:
        self._writer.write_table(pa.Table.from_batches(self._waiting, self._schema), row_group_size=ROW_GROUP)
        self._waiting, self._rows = [], 0
