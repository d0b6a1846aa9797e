"""From polled messages to columns: sorted by partition, decoded, the unreadable ones set apart."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import chain

import numpy as np
import pyarrow as pa

from headrace.streaming.kafka.bindings import Channel
from headrace.streaming.kafka.message import Message
from headrace.streaming.records.batch import Batch, Reject, slot

CREATED = 1
"""What Kafka calls a timestamp that the producer wrote (TIMESTAMP_CREATE_TIME)."""


@dataclass(frozen=True, slots=True)
class Intake:
    """One poll's records.

    Attributes:
        batch: the readable ones, decoded.
        rejects: the unreadable ones.
        records: all of them, sorted like `ends`.
        ends: for each partition present (as `Batch.partition` numbers it), (first offset, last offset, newest timestamp
            in ms).
        skipped: how many are in neither, by the remark that counts them.
    """

    batch: Batch
    rejects: list[Reject]
    records: list[Message]
    ends: dict[int, tuple[int, int, int]]
    skipped: Mapping[str, int] = field(default_factory=dict)


def take_in(channel: Channel, messages: list[Message], place: int = 0) -> Intake:
    """Decode messages of one topic, the input at this place; none of them may carry an error."""
    count = len(messages)
    partition = np.fromiter(map(Message.partition, messages), np.int32, count)
    if np.any(partition[1:] < partition[:-1]):
        order = np.argsort(partition, kind="stable")
        messages = [messages[row] for row in order.tolist()]
        partition = partition[order]
    offset = np.fromiter(map(Message.offset, messages), np.int64, count)
    stamps = chain.from_iterable(map(Message.timestamp, messages))
    kinds, timestamp = np.fromiter(stamps, np.int64, 2 * count).reshape(-1, 2).T.copy()
    created = kinds == CREATED
    decoded = channel.codec.decode(list(map(Message.value, messages)))
    keys = pa.array(list(map(Message.key, messages)), pa.binary())
    partition += np.int32(slot(place, 0))
    starts = np.flatnonzero(np.diff(partition, prepend=-1))
    ends = {
        int(partition[start]): (int(offset[start]), int(offset[stop - 1]), int(timestamp[start:stop].max()))
        for start, stop in zip(starts, [*starts[1:], count], strict=True)
    }
    rejects = [Reject(int(partition[bad.row]), int(offset[bad.row]), bad.reason, bad.detail) for bad in decoded.bad]
    if len(decoded.rows) < count:
        rows = decoded.rows
        keys, partition, offset, timestamp = keys.take(pa.array(rows)), partition[rows], offset[rows], timestamp[rows]
        created = created[rows]
    written = created if created.any() else None
    batch = Batch(channel.logical, decoded.columns, keys, partition, offset, timestamp, written)
    return Intake(batch, rejects, messages, ends, decoded.skipped)
