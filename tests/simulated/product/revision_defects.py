"""Defects that the scene of revisions must find."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from confluent_kafka import TopicPartition

from headrace.streaming.task.service import Succession
from tests.simulated.consumer import MemoryConsumer
from tests.simulated.member import Cast
from tests.simulated.product.defects import Around


class NeverEnds(Around):
    """The first revision is not told to give way."""

    @property
    def succession(self) -> Succession:
        """But for the end."""
        found: Succession = self._service.succession
        return replace(found, ends_for="")


class SeeksNowhere(MemoryConsumer):
    """What was polled too early is not read again."""

    def seek(self, tp: TopicPartition) -> None:
        """Nothing."""


class ReadsOtherWords(MemoryConsumer):
    """What stands in committed offsets under one word is read as if it were another, which nobody knows."""

    word: str
    other: str

    def committed(self, partitions: Any, timeout: float) -> list[TopicPartition]:
        """With the other word."""
        found = super().committed(partitions, timeout)
        return [
            TopicPartition(
                tp.topic, tp.partition, tp.offset, metadata=(tp.metadata or "").replace(self.word, self.other)
            )
            for tp in found
        ]


class ForgetsTheEnd(ReadsOtherWords):
    """An offset is committed without who answers from there on: both go on, or nobody does."""

    word, other = "ended", "endless"


REVISION: Mapping[str, Cast] = {
    "the first revision never ends": Cast(around=NeverEnds),
    "what came too early is not read again": Cast(consumer=SeeksNowhere),
    "whoever takes over is not told": Cast(consumer=ForgetsTheEnd),
}
