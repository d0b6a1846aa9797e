"""What a consumer hands over, told apart: records, ends of partitions, and errors."""

from __future__ import annotations

from collections.abc import Iterable

from headrace.errors import Transient
from headrace.streaming.kafka.errors import KafkaError, translate
from headrace.streaming.kafka.message import Message, place

END_OF_PARTITION = "_PARTITION_EOF"


def parted(messages: Iterable[Message]) -> tuple[list[Message], list[Message], list[tuple[Message, KafkaError]]]:
    """Records, ends of partitions, and errors with what carried them, each in their order."""
    records: list[Message] = []
    ends: list[Message] = []
    errors: list[tuple[Message, KafkaError]] = []
    for message in messages:
        error = message.error()
        if error is None:
            records.append(message)
        elif error.name() == END_OF_PARTITION:
            ends.append(message)
        else:
            errors.append((message, error))
    return records, ends, errors


def told_apart(messages: Iterable[Message], topic: str) -> tuple[list[Message], dict[int, int]]:
    """Records in their order, and the offset of the end of each partition that was read to it.

    Raises what else a consumer was told, as `translate` names it: only "end of partition" is an end. Trouble that
    passes is left out, for librdkafka tries on: whoever waits for records or ends bounds how long (`Patience`).
    """
    records, ends, errors = parted(messages)
    for message, error in errors:
        if not isinstance(named := translate(error), Transient):
            partition = message.partition()
            where = topic if partition is None or partition < 0 else f"{topic}[{partition}]"
            raise type(named)(f"{where} cannot be read: {error.str()} ({error.name()})") from named
    return records, dict(map(place, ends))


class Patience:
    """Bounds how long nothing comes of a topic.

    Args:
        topic: which is read.
        seconds: the longest time between two signs of progress.
        now: seconds, monotonic.
    """

    def __init__(self, topic: str, seconds: float, now: float) -> None:
        self._topic = topic
        self._seconds = seconds
        self._since = now

    def note(self, progress: bool, now: float) -> None:
        """Whether something came; Transient when nothing did for too long. An error that passes is no progress."""
        if progress:
            self._since = now
        elif now - self._since > self._seconds:
            raise Transient(f"{self._topic} was not read to its end: nothing came for {self._seconds:g} s")
