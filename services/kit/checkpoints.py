"""State on Kafka: a snapshot is cut into chunks that lie in the checkpoints topic, found again by their offsets.

The offsets of the newest chunks ride in the committed offset's metadata, so a checkpoint, the outputs it follows and
the offset it stands at become visible in one transaction. The topic is compacted: a chunk's key names its owner and
number, so an old chunk goes only once a newer one is committed.
"""

from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa

from services.kit.channels import Wiring
from services.kit.errors import ContractError, Transient
from services.kit.kafka import Connection, Consumer, Producer, TopicPartition, place
from services.kit.positions import Place

CHUNK_BYTES = 900_000
FORMAT = 1


class Checkpoints:
    """Writes and reads the checkpoints of one service."""

    def __init__(self, connection: Connection, wiring: Wiring, partitions: int) -> None:
        self.connection = connection
        self.wiring = wiring
        self.partitions = partitions

    def write(self, producer: Producer, partition: int, at: int, snapshot: bytes) -> Callable[[], Place]:
        """Queue the chunks; the returned function gives their place once `producer.flush()` has returned."""
        parts = [snapshot[start : start + CHUNK_BYTES] for start in range(0, max(len(snapshot), 1), CHUNK_BYTES)]
        channel, (source, number_there) = self.wiring.checkpoints, self._source(partition)
        count = len(parts)
        columns = pa.RecordBatch.from_pylist(
            [
                {
                    "group": self.wiring.group,
                    "topic": source,
                    "partition": number_there,
                    "offset": at,
                    "chunk": number,
                    "chunks": count,
                    "format": FORMAT,
                    "code_version": self.wiring.code_version,
                    "payload": part,
                }
                for number, part in enumerate(parts)
            ],
            schema=channel.codec.reader.arrow,
        )
        lying: dict[int, tuple[int, int]] = {}
        for number, value in enumerate(channel.codec.encode(columns)):

            def delivered(where: int, offset: int, number: int = number) -> None:
                lying[number] = (where, offset)

            key = f"{self.wiring.group}/{source}/{number_there}/{number}"
            producer.send_one(channel.name, key, value, partition=number_there % self.partitions, delivered=delivered)
        return lambda: Place(at, tuple(lying[number] for number in range(count)))

    def _source(self, partition: int) -> tuple[str, int]:
        channel, number = self.wiring.input(partition)
        return channel.name, number

    def read(self, partition: int, at: Place, timeout: float = 60.0) -> bytes:
        """The snapshot at a place. ContractError when it is gone, or what lies there is not ours."""
        found: dict[tuple[int, int], bytes] = {}
        wanted = set(at.chunks)
        first = {where: min(offset for part, offset in wanted if part == where) for where, _ in wanted}
        last = {where: max(offset for part, offset in wanted if part == where) for where, _ in wanted}
        # The place was committed, so its chunks were: reading uncommitted avoids waiting for other transactions.
        consumer = Consumer(self.connection, isolation="read_uncommitted", partition_eof=False)
        try:
            topic = self.wiring.checkpoints.name
            consumer.assign([TopicPartition(topic, where, offset) for where, offset in first.items()])
            waited = 0.0
            while len(found) < len(wanted):
                messages = consumer.poll(100, 0.05)
                waited = 0.0 if messages else waited + 0.05
                if waited > timeout:
                    raise Transient(f"the checkpoint of partition {partition} was not read within {timeout:g} s")
                for message in messages:
                    if message.error() is not None:
                        raise Transient(f"reading the checkpoint of partition {partition}: {message.error()}")
                    lies = place(message)
                    if lies in wanted:
                        found[lies] = message.value() or b""
                    elif lies[1] > last[lies[0]] and any(chunk[0] == lies[0] for chunk in wanted - set(found)):
                        raise ContractError(f"chunks of the checkpoint of partition {partition} are gone from {topic}")
        finally:
            consumer.close()
        source, number_there = self._source(partition)
        ours = {"group": self.wiring.group, "topic": source, "partition": number_there, "offset": at.at}
        payloads: list[bytes] = []
        for number, chunk in enumerate(at.chunks):  # One by one: a large state must not be held several times over.
            rows = self.wiring.checkpoints.codec.decode([found.pop(chunk)]).columns.to_pylist()
            if not rows or rows[0]["format"] != FORMAT:
                raise ContractError(
                    f"the checkpoint of partition {partition} at {at.at} cannot be read by this version"
                )
            if rows[0] != rows[0] | ours | {"chunk": number}:
                raise ContractError(f"chunk {number} of the checkpoint at {at.at} belongs to {rows[0]['group']}")
            payloads.append(rows[0]["payload"])
        return b"".join(payloads)
