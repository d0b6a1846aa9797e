"""One consumer group takes the place of another, partition by partition, and each record is answered by one of them.

The one that takes over **follows**: it folds what the other has answered, as its committed offsets say, and answers
nothing. Once it is told to, the other **ends**: its last commit of a partition says who answers from that offset on, in
the transaction of its last answers. Whoever reads that goes on from there. So there is no record that both or neither
answer, whoever is killed meanwhile: where the one stops and the other begins is one committed offset.
"""

from __future__ import annotations

from headrace.errors import ContractError
from headrace.streaming.kafka.bindings import Wiring
from headrace.streaming.kafka.client import Consumer
from headrace.streaming.kafka.connection import Connection
from headrace.streaming.kafka.message import Message, TopicPartition, place
from headrace.streaming.process.logs import logger
from headrace.streaming.task.commit import Commits
from headrace.streaming.task.commitment import Commitment
from headrace.streaming.task.service import Succession
from headrace.streaming.task.task import State, Task

log = logger("succession")
LOOK_S = 0.05
"""Between two looks at how far the group has come that is followed."""
ASK_S = 5.0
"""Longest time that a look takes; offsets of a transaction that is only being committed are waited for."""


class Following:
    """What a member does for partitions that another group still answers, or answers from some offset on."""

    def __init__(self, connection: Connection, wiring: Wiring, consumer: Consumer, commits: Commits) -> None:
        self._connection = connection
        self._wiring = wiring
        self._consumer = consumer
        self._commits = commits
        self._owned = commits.owned
        self._asking: Consumer | None = None
        self._group = ""
        self._look_at = 0.0
        self._stopped: set[int] = set()

    def turn(self, succession: Succession, messages: list[Message], now: float) -> list[Message]:
        """Look how far the group before has come; the messages to be taken: none of what another group goes on with."""
        ended = {number for number, task in self._owned.items() if task.state is State.ENDED}
        kept = self._without(ended, messages)
        if not succession.follows:
            return kept
        kept = self.bounded(kept)
        return self._without(self.look(succession.follows, now), kept)

    def _without(self, gone: set[int], messages: list[Message]) -> list[Message]:
        """The messages but for those of some partitions; what the consumer says of itself is of none."""
        if not gone:
            return messages
        number = self._wiring.number
        return [
            each for each in messages if each.partition() is None or number(each.topic(), each.partition()) not in gone
        ]

    def bounded(self, messages: list[Message]) -> list[Message]:
        """The messages that may be folded: of partitions that follow, none that was not answered.

        The others are read again, once they were: their partitions are paused until then.
        """
        following = {number for number, task in self._owned.items() if task.state is State.FOLLOWING}
        self._stopped &= following
        if not following:
            return messages
        kept, stopped = [], set(self._stopped)
        for message in messages:
            if message.partition() is not None:
                number = self._wiring.number(message.topic(), message.partition())
                if number in following:
                    beyond = message.error() is None and place(message)[1] >= self._owned[number].replay_until
                    if number in stopped or beyond:
                        stopped.add(number)
                        continue
            kept.append(message)
        if fresh := stopped - self._stopped:
            self._consumer.pause([self._place(number) for number in sorted(fresh)])
            self._stopped |= fresh
            for number in fresh:
                self._owned[number].stop_short()
        return kept

    def look(self, group: str, now: float) -> set[int]:
        """Ask how far the group has come that is followed; returns the partitions that are read from elsewhere now.

        What was polled of those before is not to be taken any more.
        """
        following = [task for task in self._owned.values() if task.state is State.FOLLOWING]
        if not following or now < self._look_at:
            return set()
        self._look_at = now + LOOK_S
        if self._asking is None or self._group != group:
            self.close()
            self._asking, self._group = Consumer(self._connection, group=group), group
        moved = set()
        for found in self._asking.committed([self._place(task.partition) for task in following], ASK_S):
            task = self._owned[self._wiring.number(found.topic, found.partition)]
            if found.offset < 0:
                continue  # It has answered nothing yet.
            said = Commitment.read(found.offset, found.metadata)
            if said.silent:
                continue  # It only follows itself.
            if task.follow(said.offset, said.admitted):
                moved.add(task.partition)
            if said.ended:
                self._take_over(task, said.ended)
                moved.add(task.partition)
        again = moved & self._stopped
        self._stopped -= again
        for number in sorted(again):
            self._consumer.seek(self._place(number, self._owned[number].read))
        if again:
            self._consumer.resume([self._place(number) for number in sorted(again)])
        return again

    def _take_over(self, task: Task, heir: str) -> None:
        if heir != self._wiring.group:
            raise ContractError(
                f"{task.where} is answered by {heir} from {task.replay_until} on, and {self._wiring.group} followed "
                f"{self._group}: this revision was overtaken by another; stop its members"
            )
        task.answer_on()
        log.info("answers on", partition=task.where, offset=task.replay_until, after=self._group)

    def _place(self, number: int, offset: int | None = None) -> TopicPartition:
        channel, partition = self._wiring.input(number)
        return (
            TopicPartition(channel.name, partition)
            if offset is None
            else TopicPartition(channel.name, partition, offset)
        )

    def close(self) -> None:
        """Ask no more."""
        if self._asking is not None:
            self._asking.close()
            self._asking = None
