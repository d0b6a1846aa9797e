"""What consumers give and are asked for: messages, places in a log."""

from __future__ import annotations

from typing import cast

from confluent_kafka import OFFSET_BEGINNING, OFFSET_INVALID, Message, TopicPartition

__all__ = ["OFFSET_BEGINNING", "OFFSET_INVALID", "Headers", "Message", "TopicPartition", "headers", "place"]

Headers = list[tuple[str, bytes | None]]


def place(message: Message) -> tuple[int, int]:
    """(partition, offset) of a message that was delivered to us; librdkafka's types allow for those that were not."""
    partition, offset = message.partition(), message.offset()
    assert partition is not None
    assert offset is not None
    return partition, offset


def headers(message: Message) -> Headers | None:
    """The headers of a message that was delivered to us; None when the name of one is no UTF-8, as Kafka allows."""
    try:
        return cast(Headers, message.headers() or [])  # its type allows for what a producer may pass
    except (SystemError, UnicodeDecodeError):  # The library decodes the names, and forgets to say that it failed.
        return None
