"""One fact after the other on a fact topic, whoever writes: each is made from all that were there before it.

Every writer holds the same transactional id while it reads what there is and writes the next fact: whoever comes second
fences the first, whose fact then never was.
"""

from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa

from headrace.errors import Fenced, HeadraceError, Transient
from headrace.streaming.kafka.bindings import Channel
from headrace.streaming.kafka.client import Producer
from headrace.streaming.kafka.connection import Connection
from headrace.streaming.kafka.errors import TransactionAborted


class Outrun(HeadraceError):
    """Another writer came in between; nothing was written."""


def write_next(connection: Connection, channel: Channel, make: Callable[[], tuple[str, pa.RecordBatch]]) -> None:
    """Write what `make` answers, a key and one record, durably; it is called once nobody else can write, and may raise.

    Raises:
        Outrun: another writer came in between.
        Transient: Kafka does not answer; nothing was written.
    """
    producer = Producer(connection, transactional_id=channel.writer)
    try:
        producer.init_transactions()
        key, rows = make()
        producer.begin()
        producer.send(channel.name, [key], channel.codec.encode(rows))
        try:
            producer.commit()
        except Transient as unknown:
            raise Fenced(f"the outcome of the commit is unknown: {unknown}") from unknown
    except (Fenced, TransactionAborted) as fenced:
        raise Outrun(str(fenced)) from fenced
    producer.close()
