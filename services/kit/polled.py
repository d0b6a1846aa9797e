"""What a consumer hands over, told apart: records, ends of partitions, and errors."""

from __future__ import annotations

import time
from collections.abc import Iterable

from services.kit.errors import Transient
from services.kit.kafka import Message, place, translate

END_OF_PARTITION = "_PARTITION_EOF"


def told_apart(messages: Iterable[Message], topic: str) -> tuple[list[Message], dict[int, int]]:
    """Records in their order, and the offset of the end of each partition that was read to it.

    Raises what else a consumer was told, as `translate` names it: only "end of partition" is an end. Trouble that
    passes is left out, for librdkafka tries on: whoever waits for records or ends bounds how long (`Patience`).
    """
    records: list[Message] = []
    ends: dict[int, int] = {}
    for message in messages:
        error = message.error()
        if error is None:
            records.append(message)
        elif error.name() == END_OF_PARTITION:
            ended, offset = place(message)
            ends[ended] = offset
        elif not isinstance(named := translate(error), Transient):
            partition = message.partition()
            where = topic if partition is None or partition < 0 else f"{topic}[{partition}]"
            raise type(named)(f"{where} cannot be read: {error.str()} ({error.name()})") from named
    return records, ends


class Patience:
    """Bounds how long nothing comes of a topic.

    Args:
        topic: which is read.
        seconds: the longest time between two signs of progress.
    """

    def __init__(self, topic: str, seconds: float) -> None:
        self._topic = topic
        self._seconds = seconds
        self._since = time.monotonic()

    def note(self, progress: bool) -> None:
        """Whether something came; Transient when nothing did for too long. An error that passes is no progress."""
        now = time.monotonic()
        if progress:
            self._since = now
        elif now - self._since > self._seconds:
            raise Transient(f"{self._topic} was not read to its end: nothing came for {self._seconds:g} s")
