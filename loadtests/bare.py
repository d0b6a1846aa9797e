"""The least that any service on this client does: a consume-and-produce loop that copies bytes.

Run as a process, like our services, with their client settings: the clients are taken out of
`headrace.streaming.kafka.client`, but the loop is confluent-kafka's own calls. A transaction with the offsets in it
every 100 ms, or flush and commit; at once when nothing more is there.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import confluent_kafka

from headrace.streaming.kafka.client import Consumer, Producer
from headrace.streaming.kafka.connection import Connection

BATCH = 4_096
COMMIT_S = 0.1
QUIET_S = 0.01

Key = bytes | str | None
Change = Callable[[list[Key], list[bytes]], tuple[list[Key], list[bytes]]]


@dataclass(frozen=True, slots=True)
class Cost:
    """Events per CPU-second of this process, all threads: from its first partition on, and over its whole life."""

    steady: float
    whole: float


class Loop:
    """Consumes one topic, changes batches, produces to another, commits.

    Args:
        mode: as in `Settings.mode`.
        change: keys and values in, keys and values out; by default they are copied.
        most: records in a batch.
    """

    def __init__(
        self,
        connection: Connection,
        source: str,
        target: str,
        mode: str,
        change: Change = lambda keys, values: (keys, values),
        most: int = BATCH,
        linger_ms: float = 5,
    ) -> None:
        self.source, self.target, self.change, self.most = source, target, change, most
        self.transactional = mode == "exactly_once"
        consumer = Consumer(connection, group=f"bare.{target}", member="bare")
        producer = Producer(connection, transactional_id=f"bare.{target}" if self.transactional else None,
                            linger_ms=linger_ms)  # fmt: skip  # settings alone
        self.consumer: Any = consumer._consumer
        self.producer: Any = producer._producer
        self.offsets: dict[int, int] = {}
        self.stopping = False
        self.consumed = 0
        self.open_since: float | None = None
        if self.transactional:
            producer.init_transactions()

    def run(self, rows: int | None) -> Cost:
        """Until so many records were copied, or `stopping` is set."""
        started = 0.0

        def begin(_: Any, partitions: list[confluent_kafka.TopicPartition]) -> None:
            nonlocal started
            started = time.process_time()
            for place in partitions:
                place.offset = confluent_kafka.OFFSET_BEGINNING
            self.consumer.assign(partitions)

        self.consumer.subscribe([self.source], on_assign=begin)
        while not self.stopping and (rows is None or self.consumed < rows):
            self.turn()
        self.commit()
        whole = time.process_time()
        self.consumer.close()
        return Cost(self.consumed / (whole - started), self.consumed / whole)

    def turn(self) -> None:
        """One batch."""
        first = self.consumer.poll(0.05 if self.open_since is None else QUIET_S / 2)
        messages = [] if first is None else [first, *self.consumer.consume(self.most - 1, 0)]
        messages = [message for message in messages if message.error() is None]
        now = time.monotonic()
        if messages:
            if self.open_since is None:
                self.open_since = now
                if self.transactional:
                    self.producer.begin_transaction()
            keys, values = self.change([m.key() for m in messages], [m.value() for m in messages])
            produce, target = self.producer.produce, self.target
            for key, value in zip(keys, values, strict=True):
                produce(target, value, key)
            self.producer.poll(0)
            for message in messages:
                self.offsets[message.partition()] = message.offset() + 1
            self.consumed += len(messages)
        if self.open_since is not None and (not messages or now - self.open_since >= COMMIT_S):
            self.commit()

    def commit(self) -> None:
        """Make everything so far durable."""
        if self.open_since is None:
            return
        offsets = [confluent_kafka.TopicPartition(self.source, part, at) for part, at in self.offsets.items()]
        self.producer.flush()
        if self.transactional:
            self.producer.send_offsets_to_transaction(offsets, self.consumer.consumer_group_metadata())
            self.producer.commit_transaction()
        else:
            self.consumer.commit(offsets=offsets, asynchronous=False)
        self.open_since = None


def main() -> int:
    """Copy, then print the cost as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bootstrap")
    parser.add_argument("source")
    parser.add_argument("target")
    parser.add_argument("mode", choices=["exactly_once", "at_least_once"])
    parser.add_argument("--rows", type=int, help="until SIGTERM by default")
    options = parser.parse_args()
    linger = 5 if options.mode == "exactly_once" else 2  # as headrace.streaming.task.transactions has it
    loop = Loop(Connection(options.bootstrap), options.source, options.target, options.mode, linger_ms=linger)

    def stop(*_: object) -> None:
        loop.stopping = True

    signal.signal(signal.SIGTERM, stop)
    print(json.dumps(asdict(loop.run(options.rows))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
