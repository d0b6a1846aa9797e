"""The steps of a revision: it is built, it takes the place of the one before, or it is abandoned."""

from __future__ import annotations

import getpass
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from headrace.domain.pipeline.wiring import Contracts
from headrace.domain.revisions.revision import (
    ABANDONED,
    ANSWERING,
    BUILDING,
    SWITCHING,
    Revision,
    Revisions,
    digest_of,
    group_of,
)
from headrace.domain.revisions.revision_log import publish_revision, revisions
from headrace.errors import ConfigurationError, ContractError, Transient
from headrace.operations.revision.readiness import absent, lagging
from headrace.streaming.kafka.admin import Admin
from headrace.streaming.kafka.client import Consumer
from headrace.streaming.kafka.connection import Connection
from headrace.streaming.kafka.message import TopicPartition
from headrace.streaming.task.commitment import Commitment

LOOK_S, SAY_S = 0.2, 5.0


@dataclass(frozen=True, slots=True)
class PartitionStanding:
    """How far the two revisions are in a partition of the events.

    Attributes:
        begins: the first offset that the log still has: the new state knows of nothing before it.
        answered: below it all is answered, by either.
        built: below it all is folded by the next revision; None where it has not begun.
        taken: whether the next revision answers it, and has read on by itself to where the one before had admitted.
    """

    partition: int
    begins: int
    answered: int
    built: int | None
    taken: bool

    @property
    def behind(self) -> int:
        """Offsets that the next revision has still to fold."""
        return 0 if self.taken else max(self.answered - (self.begins if self.built is None else self.built), 0)


@dataclass(frozen=True, slots=True)
class RevisionStanding:
    """Where a revision stands.

    Attributes:
        revision: what its newest record says.
        partitions: of the events topic, in their order.
    """

    revision: Revision
    partitions: Sequence[PartitionStanding]

    @property
    def taken(self) -> bool:
        """Whether the revision answers all partitions."""
        return all(each.taken for each in self.partitions)


class RevisionSteps:
    """The steps of the revision that a pipeline file is."""

    def __init__(self, connection: Connection, contracts: Contracts) -> None:
        self._connection = connection
        self._library = connection.library
        self._contracts = contracts
        self.pipeline = contracts.pipeline
        self._channel = contracts.channel("revisions")

    def known(self) -> Revisions:
        """What the topic of revisions says."""
        return revisions(self._connection, self._channel, self.pipeline.name)

    def build(self, file: Path, reason: str, former: str) -> Revision:
        """Announce the revision: members of `enrich` that are started with the file begin to build it.

        Args:
            file: of the pipeline.
            reason: why.
            former: the text of the file that runs now, for those who want to go back to it.

        Raises:
            ConfigurationError: the number of the file is not the next one.
        """
        number = self.pipeline.revision

        def made(known: Revisions) -> Revision:
            mine = known.newest.get(number)
            if mine is not None and mine.state == BUILDING and mine.digest == digest_of(self.pipeline):
                return mine  # Announced before: the same again.
            top = max((known.answering, *known.newest))
            if number <= top:
                raise ConfigurationError(f"write revision: {top + 1} into the file: {number} is there already")
            now, text = int(self._library.wall() * 1000), file.read_text("utf-8")
            digest = digest_of(self.pipeline)
            return Revision(number, BUILDING, known.answering, digest, text, now, getpass.getuser(), reason, former)

        return publish_revision(self._connection, self._channel, self.pipeline.name, made)

    def turn(self, state: str, reason: str) -> Revision:
        """Say that the revision is at another state by now.

        Raises:
            ConfigurationError: it cannot be.
        """
        number, before = self.pipeline.revision, {SWITCHING: BUILDING, ABANDONED: BUILDING, ANSWERING: SWITCHING}[state]

        def made(known: Revisions) -> Revision:
            mine = known.newest.get(number)
            if mine is None or mine.state not in (before, state):
                at = "not announced" if mine is None else mine.state
                raise ConfigurationError(f"revision {number} of {self.pipeline.name} is {at}: it cannot be {state} now")
            now = int(self._library.wall() * 1000)
            return replace(mine, state=state, time=now, actor=getpass.getuser(), reason=reason)

        return publish_revision(self._connection, self._channel, self.pipeline.name, made)

    def standing(self) -> RevisionStanding:
        """How far the revision is. ConfigurationError where it was not announced."""
        number, name = self.pipeline.revision, self.pipeline.name
        mine = self.known().newest.get(number)
        if mine is None:
            raise ConfigurationError(f"revision {number} of {name} was not announced: `headrace revise {name} --build`")
        topic = f"{name}.events"
        asking = Consumer(self._connection)
        places = [TopicPartition(topic, part) for part in range(asking.partitions(topic))]
        begins = [asking.watermarks(topic, place.partition)[0] for place in places]
        asking.close()
        first, second = (self._committed(group_of(name, each), places) for each in (mine.follows, number))
        found = []
        for place, low in zip(places, begins, strict=True):
            then, now = first[place.partition], second[place.partition]
            taken = now is not None and not now.silent and now.told is None
            answered = now.offset if taken and now else then.offset if then else low
            found.append(PartitionStanding(place.partition, low, answered, now.offset if now else None, taken))
        return RevisionStanding(mine, found)

    def lacking(self, found: RevisionStanding, most_behind: int) -> list[str]:
        """What the revision lacks before it may answer, as Kafka has it; nothing where it may.

        `most_behind`: offsets that it may lack in a partition when the one before ends.
        """
        said = absent(self._connection, self.pipeline)
        everybody = not said
        begun = [each for each in found.partitions if each.built is not None]
        late = [each for each in begun if each.behind > most_behind]
        group, many = group_of(self.pipeline.name, self.pipeline.revision), len(found.partitions)
        if len(begun) < many:
            said.append(f"{group} has not begun {many - len(begun)} of {many} partitions")
        if late:
            lag = max(each.behind for each in late)
            said.append(f"{group} is up to {lag:,} offsets behind in {len(late)} of {many} partitions")
        if everybody:
            said += lagging(self._connection, self.pipeline, self._library.wall())
        before = self.known().newest.get(found.revision.follows)
        if before is not None and before.state == SWITCHING:
            said.append(f"revision {before.number} itself is only taking over: run its --switch again")
        return said

    def switch(
        self, reason: str, within_s: float, most_behind: int, waits: Callable[[Sequence[str]], None]
    ) -> RevisionStanding:
        """Have the revision answer from here on, and wait until it does in every partition.

        It does not begin before members of all groups that come with the revision run and have caught up.

        Args:
            within_s: how long to wait, for these and for the switch.
            most_behind: offsets that it may lack in a partition when the one before ends.
            waits: told for whom it waits, now and then.

        Raises:
            ContractError: it was not ready within the time; nothing was done.
            Transient: not all partitions were taken within the time; run it again to go on waiting.
        """
        until, say_at = self._library.monotonic() + within_s, 0.0
        found = self.standing()
        while found.revision.state == BUILDING:
            lacking = self.lacking(found, most_behind)
            if not lacking:
                self.turn(SWITCHING, reason)
                break
            if self._library.monotonic() > until:
                raise ContractError(
                    f"revision {self.pipeline.revision} is not ready; nothing was done. " + "; ".join(lacking)
                )
            if self._library.monotonic() >= say_at:
                waits(lacking)
                say_at = self._library.monotonic() + SAY_S
            self._library.sleep(LOOK_S)
            found = self.standing()
        while not (found := self.standing()).taken:
            if self._library.monotonic() > until:
                groups = [
                    group_of(self.pipeline.name, each) for each in (found.revision.follows, self.pipeline.revision)
                ]
                silent = [group for group in groups if not Admin(self._connection).members(group)]
                raise Transient(
                    f"{sum(not each.taken for each in found.partitions)} partitions are not taken yet: members of both "
                    f"revisions must run until they are{f', and none of {silent} does' * bool(silent)}. Run it again "
                    "to go on waiting"
                )
            self._library.sleep(LOOK_S)
        if found.revision.state == SWITCHING:
            self.turn(ANSWERING, found.revision.reason)
        return self.standing()

    def _committed(self, group: str, places: Sequence[TopicPartition]) -> dict[int, Commitment | None]:
        consumer = Consumer(self._connection, group=group)
        try:
            return {
                found.partition: Commitment.read(found.offset, found.metadata) if found.offset >= 0 else None
                for found in consumer.committed(list(places))
            }
        finally:
            consumer.close()
