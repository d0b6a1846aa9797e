"""Records of another version of the schema, read as ours: by columns where that is enough, else by fastavro."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from services.kit.avro_reading import Joined, Reading
from services.kit.schemas import Schema


class Resolution:
    """Reads records of the writer's schema in the columns of the reader's."""

    def __init__(self, writer: Schema, reader: Schema) -> None:
        self._reading = Reading(writer.record)
        self.reader = reader

    def read(self, joined: Joined, want: int) -> tuple[pa.RecordBatch, npt.NDArray[np.int64]]:
        """As `Reading.read`."""
        raise NotImplementedError

    def place(self, failed: int) -> tuple[str, int]:
        """As `Reading.place`."""
        return self._reading.place(failed)
