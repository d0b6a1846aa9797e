"""How far one partition of an input is, and what its rows are to whoever watches all of them: folds of its records."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pyarrow as pa

from headrace.domain.records.drift_parts import Ints, ModelRows
from headrace.domain.records.watched_columns import ModelIdentity
from headrace.streaming.records.batch import Batch
from headrace.streaming.watermarks.event_time import EARLIEST, NEVER, Clock

WHOSE = ("events", "labels")
"""Topics that others write: what is refused of them is watched."""


class RowsPartition:
    """A partition of a topic whose rows are of models."""

    def __init__(self, lateness: int) -> None:
        self._lateness = lateness
        self._clock = Clock()
        self.next_offset = 0

    @property
    def progress(self) -> int:
        """How far event time has credibly come, milliseconds."""
        return max(self._clock.credible, EARLIEST)

    def advance(self, batch: Batch) -> Ints:
        """Take rows in; how far time had come before each, milliseconds."""
        times = batch.columns["event_time"].cast(pa.int64()).to_numpy()
        self.next_offset = int(batch.offset[-1]) + 1
        return self._clock.before_each(times, batch.offset, self._lateness)[1]

    def dump(self) -> bytes:
        """As JSON."""
        return json.dumps({"clock": self._clock.state.tolist(), "next_offset": self.next_offset}).encode()

    def load(self, snapshot: bytes) -> None:
        """Take over what `dump` wrote."""
        said = json.loads(snapshot)
        self._clock, self.next_offset = Clock(np.array(said["clock"], np.int64)), said["next_offset"]


class RefusedPartition:
    """A partition of the dead letters: of each the gap, how many records of its own partition came since the one before
    that was refused for the same reason, and how long that took. A letter that comes again is left out.

    Letters keep the keys of their records, so those of a partition are in one of dead letters where its number of
    partitions divides theirs; else each of these counts the others' as passed, always the same part.

    Before the first one everything passed, as far as the partition has its beginning; where that was deleted, nothing
    is known of it, and the first gap is not told.

    Args:
        pipeline: what names of topics on the broker begin with.
    """

    def __init__(self, pipeline: str) -> None:
        self._names = {f"{pipeline}.{topic}": topic for topic in WHOSE}
        self._time = NEVER
        self._whole: bool | None = None
        self._last: dict[str, tuple[int, int]] = {}
        self.next_offset = 0

    @property
    def progress(self) -> int:
        """The newest time at which a record was written that was refused, milliseconds."""
        return max(self._time, EARLIEST)

    def advance(self, batch: Batch, number: int) -> dict[ModelIdentity, ModelRows]:
        """Take letters in, of the partition `number`; rows by topic and reason."""
        if self._whole is None:
            self._whole = int(batch.offset[0]) == 0
        self.next_offset = int(batch.offset[-1]) + 1
        columns = batch.columns
        written, refused = (columns[name].cast(pa.int64()).to_numpy() for name in ("timestamp", "time"))
        times = np.maximum.accumulate(np.maximum(np.minimum(written, refused), self._time))
        self._time = int(times[-1])
        fields = ("topic", "partition", "offset", "reason")
        rows: dict[ModelIdentity, list[tuple[int, int, int]]] = {}
        letters = zip(*(columns[name].to_pylist() for name in fields), strict=True)
        for at, (name, partition, offset, reason) in enumerate(letters):
            topic = self._names.get(name)
            if topic is not None:
                gap = self._gap(f"{topic}/{partition}/{reason}", offset, int(times[at]))
                if gap is not None:
                    rows.setdefault(ModelIdentity(topic, reason, ""), []).append((at, *gap))
        return {of: _rows(np.array(told, np.int64), times, batch.offset, number) for of, told in rows.items()}

    def _gap(self, of: str, offset: int, time: int) -> tuple[int, int] | None:
        """Records and milliseconds since the one before."""
        before, then = self._last.get(of, (-1, -1))
        if offset <= before:
            return None
        self._last[of] = offset, time
        if before < 0:
            return (offset, -1) if self._whole else None
        return offset - before - 1, time - then

    def dump(self) -> bytes:
        """As JSON."""
        said = {"time": self._time, "whole": self._whole, "last": self._last, "next_offset": self.next_offset}
        return json.dumps(said).encode()

    def load(self, snapshot: bytes) -> None:
        """Take over what `dump` wrote."""
        said: dict[str, Any] = json.loads(snapshot)
        self._time, self._whole = said["time"], said["whole"]
        self._last = {of: (offset, time) for of, (offset, time) in said["last"].items()}
        self.next_offset = said["next_offset"]


def _rows(told: Ints, times: Ints, offsets: Ints, number: int) -> ModelRows:
    at, gaps = told[:, 0], told[:, 1:].astype(np.float64)
    places = np.empty((len(at), 0), np.uint8)
    return ModelRows(times[at], np.full(len(at), number), offsets[at], places, gaps)
