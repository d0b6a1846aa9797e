"""A service with several inputs, small enough to check by hand: what was said left and right of the same id, together.

Left and right are keyed as anybody likes; both are written on to a topic of the service's own, keyed by id, whose
partitions remember the first of a pair until the second comes. Run as a process (`python -m tests.streaming.meeting`).
"""

from __future__ import annotations

import json
import sys

import pyarrow as pa

from headrace.streaming.kafka.bindings import Wiring
from headrace.streaming.process.main import serve
from headrace.streaming.process.metrics import Metrics
from headrace.streaming.process.settings import Settings, read_settings
from headrace.streaming.records.batch import Batch, Emit, Output, Reject, unslot
from headrace.streaming.task.runner import Runner
from headrace.streaming.task.service import Service
from tests.streaming.tally import CHECKPOINT, DEAD, EVENT, TALLY, channel


class Meeting(Service):
    """State of an exchange partition: id -> amount of the first that came."""

    inputs = ("left", "right", "exchange")
    stateful = ("exchange",)

    def __init__(self) -> None:
        self.state: dict[int, dict[str, int]] = {}

    def process(self, batch: Batch, now: float) -> Output:
        if batch.topic != "exchange":
            bad = [row for row, amount in enumerate(batch.columns["amount"].to_pylist()) if amount < 0]
            rejects = tuple(
                Reject(int(batch.partition[row]), int(batch.offset[row]), "negative", "amount below 0") for row in bad
            )
            good = batch.take(pa.compute.greater_equal(batch.columns["amount"], 0).to_numpy(zero_copy_only=False))
            return Output((Emit("exchange", good.columns, good.columns["id"], good.partition),), rejects)
        assert {unslot(number)[0] for number in batch.partition.tolist()} == {2}
        pairs = self.fold(batch)
        columns = pa.RecordBatch.from_pylist([pair for pair, _ in pairs], schema=TALLY.arrow)
        source = batch.partition[[row for _, row in pairs]]
        return Output((Emit("tallies", columns, columns["key"], source),))

    def fold(self, batch: Batch) -> list[tuple[dict[str, object], int]]:
        """The pairs that become whole, with the row that completes each."""
        pairs: list[tuple[dict[str, object], int]] = []
        for place, (row, partition) in enumerate(zip(batch.columns.to_pylist(), batch.partition.tolist(), strict=True)):
            waiting = self.state[partition]
            if row["id"] in waiting:
                total = waiting.pop(row["id"]) + row["amount"]
                pairs.append(({"id": row["id"], "key": row["key"], "count": 2, "total": total}, place))
            else:
                waiting[row["id"]] = row["amount"]
        return pairs

    def replay(self, batch: Batch) -> None:
        self.fold(batch)

    def restore(self, partition: int, snapshot: bytes | None, end: int | None = None) -> None:
        assert unslot(partition)[0] == 2, "left and right have no state"
        self.state[partition] = {} if snapshot is None else json.loads(snapshot)

    def snapshot(self, partition: int) -> bytes:
        return json.dumps(self.state[partition]).encode()

    def drop(self, partition: int) -> None:
        self.state.pop(partition, None)


def build(settings: Settings) -> Runner:
    """A runner for one member."""
    pipeline = settings.pipeline
    exchange = channel(pipeline, "exchange", EVENT)
    wiring = Wiring(
        pipeline,
        "meeting",
        settings.member,
        (channel(pipeline, "left", EVENT), channel(pipeline, "right", EVENT), exchange),
        channel(pipeline, "dead-letters", DEAD, 2_000_000),
        channel(pipeline, "checkpoints", CHECKPOINT),
        {"tallies": channel(pipeline, "tallies", TALLY), "exchange": exchange},
    )
    return Runner(Meeting(), wiring, settings, Metrics())


if __name__ == "__main__":
    sys.exit(serve("meeting", read_settings(Settings), build))
