"""A service small enough to check by hand: for every event, how many its key has had and what they sum to.

Run as a process (`python -m tests.streaming.tally`), so that tests can kill it.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa

from headrace.streaming.contracts.schemas import Schema, load_schema
from headrace.streaming.kafka.bindings import Channel, Wiring
from headrace.streaming.process.main import serve
from headrace.streaming.process.metrics import Metrics
from headrace.streaming.process.settings import Settings, read_settings
from headrace.streaming.records.avro_codec import AvroCodec
from headrace.streaming.records.batch import Admission, Batch, Emit, Output, Reject
from headrace.streaming.task.runner import Runner
from headrace.streaming.task.service import Service

LONG, STRING = "long", "string"
PACE_S = 0.02


def record(name: str, **fields: object) -> Schema:
    """A flat record schema."""
    listed = [{"name": field, "type": kind, "doc": field} for field, kind in fields.items()]
    return load_schema({"type": "record", "name": name, "doc": name, "fields": listed})


BYTES = ["null", "bytes"]
HEADERS = {
    "type": "array",
    "items": {
        "type": "record",
        "name": "header",
        "fields": [{"name": "key", "type": STRING}, {"name": "value", "type": BYTES}],
    },
}
EVENT = record("event", id=STRING, key=STRING, amount=LONG)
TALLY = record("tally", id=STRING, key=STRING, count=LONG, total=LONG)
NOTE = record("note", first=LONG, last=LONG)
DEAD = record(
    "dead", topic=STRING, partition="int", offset=LONG, timestamp=LONG, key=BYTES, value=BYTES, headers=HEADERS,
    reason=STRING, detail=STRING, service=STRING, group=STRING, code_version=STRING, time=LONG,
)  # fmt: skip
CHECKPOINT = record(
    "checkpoint", group=STRING, topic=STRING, partition="int", offset=LONG, chunk="int", chunks="int", format="int",
    code_version=STRING, payload="bytes",
)  # fmt: skip


class FixedIds:
    """One id for all: these topics are this test's own."""

    def id_of(self, subject: str, schema: Schema) -> int:
        return 7

    def writers(self, subject: str) -> Mapping[int, Schema]:
        schemas = {
            "left": EVENT,
            "right": EVENT,
            "exchange": EVENT,
            "events": EVENT,
            "tallies": TALLY,
            "notes": NOTE,
            "dead-letters": DEAD,
            "checkpoints": CHECKPOINT,
        }
        return {7: schemas[subject.rpartition(".")[2].removesuffix("-value")]}


def channel(pipeline: str, logical: str, schema: Schema, max_bytes: int = 1_000_000) -> Channel:
    """A topic of the tally pipeline."""
    name = f"{pipeline}.{logical}"
    return Channel(logical, name, AvroCodec(f"{name}-value", schema, FixedIds(), max_bytes))


def wiring(pipeline: str, member: str) -> Wiring:
    """The tally service's topics."""
    return Wiring(
        pipeline,
        "tally",
        member,
        (channel(pipeline, "events", EVENT),),
        channel(pipeline, "dead-letters", DEAD, 2_000_000),
        channel(pipeline, "checkpoints", CHECKPOINT),
        {"tallies": channel(pipeline, "tallies", TALLY), "notes": channel(pipeline, "notes", NOTE)},
    )


class Tally(Service):
    """State of a partition: key -> [count, total]. `admit` notes the offsets it saw and refuses amounts below 0.

    Partition 0 waits until a time, and before the offset that a file names. `refuses`: every row, in `process`.
    `pace`: while there is such a file, a batch takes its time. `ballast`: bytes that a snapshot has beside its counts,
    which no compression makes fewer.
    """

    inputs = ("events",)
    answers = ("tallies",)

    def __init__(
        self,
        hold_until: float = 0.0,
        limit: Path | None = None,
        refuses: bool = False,
        pace: Path | None = None,
        ballast: int = 0,
    ) -> None:
        self.hold_until = hold_until
        self.limit = limit
        self.refuses = refuses
        self.pace = pace
        self.ballast = np.random.default_rng(1).bytes(ballast)
        self.layout = int(os.environ.get("TALLY_LAYOUT", "1"))
        self.counted = self.inputs if os.environ.get("TALLY_COUNTED") else ()
        self.state: dict[int, dict[str, list[int]]] = {}

    def admit(self, batch: Batch, now: float) -> Admission:
        emits, rejects = [], []
        for partition, rows in batch.runs():
            seen = pa.RecordBatch.from_pydict(
                {"first": [int(batch.offset[rows][0])], "last": [int(batch.offset[rows][-1])]}, schema=NOTE.arrow
            )
            emits.append(Emit("notes", seen, None, np.array([partition], np.int32), np.array([partition], np.int32)))
        bad = np.asarray(batch.columns["amount"]) < 0
        for row in np.flatnonzero(bad):
            rejects.append(Reject(int(batch.partition[row]), int(batch.offset[row]), "negative", "amount below 0"))
        return Admission(batch.take(~bad), tuple(emits), tuple(rejects))

    def fold(self, batch: Batch) -> list[dict[str, object]]:
        """Count every row, in order."""
        answers: list[dict[str, object]] = []
        for row, partition in zip(batch.columns.to_pylist(), batch.partition.tolist(), strict=True):
            tally = self.state[partition].setdefault(row["key"], [0, 0])
            tally[0] += 1
            tally[1] += row["amount"]
            answers.append({"id": row["id"], "key": row["key"], "count": tally[0], "total": tally[1]})
        return answers

    def process(self, batch: Batch, now: float) -> Output:
        if self.refuses:
            places = zip(batch.partition.tolist(), batch.offset.tolist(), strict=True)
            return Output(rejects=tuple(Reject(*place, "nan", "the answer is no number") for place in places))
        if self.pace is not None and self.pace.exists():
            time.sleep(float(os.environ.get("TALLY_PACE_S", PACE_S)))  # Its slowness is what is asked for.
        waits = now < self.hold_until
        if self.limit is not None and self.limit.exists():
            waits = waits or bool(np.any((batch.partition == 0) & (batch.offset >= int(self.limit.read_text()))))
        held = frozenset({0} if waits else ())
        ready = batch.take(~np.isin(batch.partition, list(held)))
        columns = pa.RecordBatch.from_pylist(self.fold(ready), schema=TALLY.arrow)
        return Output((Emit("tallies", columns, columns["key"], ready.partition),), held=held)

    def replay(self, batch: Batch) -> None:
        self.fold(batch)

    def restore(self, partition: int, snapshot: bytes | None, end: int | None = None) -> None:
        counts, _, ballast = b"{}\n".partition(b"\n") if snapshot is None else snapshot.partition(b"\n")
        assert snapshot is None or ballast == self.ballast, "a snapshot comes back as it was"
        self.state[partition] = json.loads(counts)

    def snapshot(self, partition: int) -> bytes:
        return json.dumps(self.state[partition]).encode() + b"\n" + self.ballast

    def drop(self, partition: int) -> None:
        self.state.pop(partition, None)


def build(settings: Settings) -> Runner:
    """A runner for one member."""
    told = os.environ
    limit = Path(told["TALLY_LIMIT"]) if "TALLY_LIMIT" in told else None
    pace = Path(told["TALLY_PACE"]) if "TALLY_PACE" in told else None
    ballast = int(told.get("TALLY_BALLAST", "0"))
    tally = Tally(float(told.get("TALLY_HOLD_UNTIL", "0")), limit, "TALLY_REFUSES" in told, pace, ballast)
    return Runner(tally, wiring(settings.pipeline, settings.member), settings, Metrics())


if __name__ == "__main__":
    sys.exit(serve("tally", read_settings(Settings), build))
