"""What a service answered, encoded and sent; sent again when a transaction is aborted in mid-batch."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import numpy.typing as npt

from headrace.errors import Fenced
from headrace.streaming.kafka.bindings import Wiring
from headrace.streaming.kafka.message import Message
from headrace.streaming.process.logs import logger
from headrace.streaming.process.metrics import Metrics
from headrace.streaming.records import dead_letters
from headrace.streaming.records.batch import Emit, Fact, Reject
from headrace.streaming.task.transactions import Delivery, Parcel, Stake, TransactionAborted

log = logger("outbox")
REDO_LIMIT = 20


class Outbox:
    """Everything that leaves a service on its way to the next commit.

    Attributes:
        opened_at: when the first output since the last commit was sent, or None.
    """

    def __init__(self, wiring: Wiring, delivery: Delivery, metrics: Metrics, clock: Callable[[], float]) -> None:
        self.wiring = wiring
        self.delivery = delivery
        self.metrics = metrics
        self.clock = clock
        self.opened_at: float | None = None
        self._answered: list[npt.NDArray[np.int64]] = []

    def deliver(self, emits: Iterable[Emit]) -> None:
        """Encode and send what a service answered."""
        for emit in emits:
            channel = self.wiring.outputs[emit.topic]
            with self.metrics.stage("encode"):
                values = channel.codec.encode(emit.columns)
                keys = emit.key.to_pylist() if emit.key is not None else [None] * len(values)
                partitions = None if emit.partition is None else emit.partition.tolist()
            self._send(Parcel(channel.name, keys, values, emit.source, partitions))
            self.metrics.emitted.labels(emit.topic).inc(len(values))

    def decide(self, facts: Iterable[Fact]) -> None:
        """Encode and send what a service decided. Fenced where something was decided that it was not told of."""
        for fact in facts:
            emit, channel = fact.emit, self.wiring.facts[fact.emit.topic]
            keys = emit.key.to_pylist() if emit.key is not None else [None] * len(emit.columns)
            parcel = Parcel(channel.name, keys, channel.codec.encode(emit.columns), emit.source)
            self._send(parcel, Stake(channel.name, channel.writer, fact.after, channel.codec))
            self.metrics.emitted.labels(emit.topic).inc(len(parcel.values))

    def refuse(self, rejects: Iterable[Reject], records: list[Message], now: float) -> None:
        """Write dead letters for rows among these records."""
        rejects = list(rejects)
        if not rejects:
            return
        self._send(dead_letters.parcel(self.wiring, rejects, records, now))
        self.metrics.records.labels("refused").inc(len(rejects))
        for reject in rejects:
            self.metrics.dead_letters.labels(reject.reason).inc()

    def note_answered(self, timestamps: npt.NDArray[np.int64]) -> None:
        """Records (their Kafka timestamps, ms) whose answers become durable with the next commit."""
        self._answered.append(timestamps)
        self.metrics.records.labels("processed").inc(len(timestamps))

    def committed(self, now: float) -> None:
        """All that was sent is durable."""
        self.opened_at = None
        for timestamps in self._answered:
            self.metrics.latency.observe(now - timestamps / 1000)
        self._answered = []

    def redo(self, reason: TransactionAborted) -> None:
        """Abort, and send the kept outputs again. Serves no rebalance, so it may stand in the middle of a batch."""
        log.warning("transaction aborted", reason=str(reason))
        self.metrics.aborts.inc()
        for _ in range(REDO_LIMIT):
            self.delivery.abort()
            try:
                self.delivery.open()
            except TransactionAborted as again:
                reason = again
            else:
                return
        raise Fenced(f"outputs could not be sent again: {reason}")

    def _send(self, parcel: Parcel, stake: Stake | None = None) -> None:
        if self.opened_at is None:
            self.opened_at = self.clock()
        with self.metrics.stage("produce"):
            try:
                self.delivery.send(parcel, stake)
            except TransactionAborted as reason:
                self.redo(reason)
