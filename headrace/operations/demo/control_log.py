"""What is said on the control topic, as it comes, each with the moment of the stream at which it was said."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from headrace.domain.control.base import ControlFinding
from headrace.domain.control.events import ControlEvent
from headrace.domain.control.release import ReleaseFinding, ReleaseQueued, ReleaseRebased, ReleaseRequest
from headrace.domain.control.retrain import (
    ModelEvaluated,
    ModelRegistered,
    RetrainAsked,
    RetrainIgnored,
    RetrainProgress,
)
from headrace.domain.notification.texts import message_of
from headrace.operations.control_tail import events_in
from headrace.operations.topics.tail import Follower
from headrace.streaming.kafka.bindings import Channel
from headrace.streaming.kafka.connection import Connection

DECIDES = "average_precision"
"""The figure that an evaluation is told by, where it has it."""


@dataclass(frozen=True, slots=True)
class MarkedEvent:
    """A control event of a demo.

    Attributes:
        number: from 1, in the topic's order.
        stream: event time of the newest event that had gone in when it was read, milliseconds.
        elapsed: seconds since live events began.
        event: as it is on the topic.
    """

    number: int
    stream: int
    elapsed: float
    event: ControlEvent

    @property
    def title(self) -> str:
        """What happened, in a line."""
        message = message_of(self.event)
        if message is not None:
            return message.title.removeprefix(f"{self.event.pipeline}: ")
        return _silent(self.event)

    @property
    def detail(self) -> str:
        """The same with figures; empty where the title says all."""
        message = message_of(self.event)
        if message is not None:
            return message.happened
        found = self.event.finding
        if isinstance(found, ReleaseQueued | ReleaseRebased):
            return found.why
        return _figures(found) if isinstance(found, ModelEvaluated) else ""


def _silent(event: ControlEvent) -> str:
    """Of kinds that nobody is sent a message of."""
    found = event.finding
    if isinstance(found, ReleaseRequest):
        return f"{event.actor} on {found.model}: {found.type.replace('_', ' ')} ({found.reason})"
    if isinstance(found, RetrainAsked):
        return f"a training is asked for: {found.reason}"
    if isinstance(found, RetrainIgnored):
        return f"no training: {found.because}"
    if isinstance(found, RetrainProgress):
        return f"training {found.run}: {found.stage}"
    if isinstance(found, ModelRegistered):
        return f"{found.model} is registered by " + (f"training {found.run}" if found.run else event.actor)
    if isinstance(found, ModelEvaluated):
        return f"{found.model} was judged on {found.outcomes:,} outcomes: gates {found.verdict}"
    if isinstance(found, ReleaseFinding):
        return f"{found.model}: {found.type.removeprefix('release_').replace('_', ' ')}"
    return found.type.replace("_", " ")


def _figures(found: ModelEvaluated) -> str:
    pair: Mapping[str, Any] | None = json.loads(found.figures).get(DECIDES)
    told = (
        "" if pair is None else f"Average precision {pair['candidate']:.3f}, {found.champion} {pair['champion']:.3f}."
    )
    return " ".join(part for part in (told, found.because) if part)


class MarkedEvents:
    """The events of a demo so far, in the topic's order."""

    def __init__(self) -> None:
        self.found: list[MarkedEvent] = []

    def take(self, event: ControlEvent, stream: int, elapsed: float) -> MarkedEvent:
        """The next one, said when the stream was at `stream` (milliseconds), `elapsed` seconds after its beginning."""
        marked = MarkedEvent(len(self.found) + 1, stream, elapsed, event)
        self.found.append(marked)
        return marked

    def first(
        self,
        *kinds: type[ControlFinding],
        after: int = 0,
        since: int = 0,
        where: Callable[[Any], bool] = lambda finding: True,
    ) -> MarkedEvent | None:
        """The first event of some kinds whose finding is as wanted; None while there is none.

        Args:
            after: number of the event behind which is looked.
            since: stream time of the first event that may be meant, milliseconds.
        """
        for mark in self.found[after:]:
            finding = mark.event.finding
            if mark.stream >= since and isinstance(finding, kinds) and where(finding):
                return mark
        return None


class ControlLog(MarkedEvents):
    """Follows the control topic from its beginning. Used by one thread.

    Raises ContractError when there is no such topic, Transient when Kafka does not answer.
    """

    def __init__(self, connection: Connection, channel: Channel) -> None:
        super().__init__()
        self._follower = Follower(connection, channel)

    def read(self, stream: int, elapsed: float) -> list[MarkedEvent]:
        """What came since the last call, which does not wait; `stream` and `elapsed` are those of now."""
        news: list[MarkedEvent] = []
        while (batch := self._follower.poll(0.0)) is not None:
            news += [self.take(event, stream, elapsed) for event in events_in(batch.columns)]
        return news

    def close(self) -> None:
        """Follow it no more."""
        self._follower.close()
