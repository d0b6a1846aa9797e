"""Moves what services remember to where keys belong after topics have grown: all of it in one transaction."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from headrace.domain.features.store_keys import Shelves
from headrace.domain.pipeline.spec import Pipeline
from headrace.domain.pipeline.wiring import read_contracts
from headrace.domain.revisions.revision import BUILDING, SWITCHING
from headrace.errors import ConfigurationError, Transient
from headrace.operations.revision.steps import RevisionSteps
from headrace.operations.services import SERVICES, ServiceEntry, needed
from headrace.stores.online import OnlineStore
from headrace.streaming.kafka.admin import Admin
from headrace.streaming.kafka.client import Consumer
from headrace.streaming.kafka.connection import Connection, Library
from headrace.streaming.process.settings import Settings
from headrace.streaming.task.rescale import Left, Move, left_by, refuse_what_shrank
from headrace.streaming.task.runner import Runner

WAIT_S = 20.0
"""Seconds until the sessions of members that have just stopped are over."""
SETTLED_S = 90.0
"""Seconds until the broker has ended the transactions of members that were killed: a minute, and when it looks."""


@dataclass(frozen=True, slots=True)
class Growth:
    """A topic, by its logical name, that has more partitions now than when state was made with them."""

    topic: str
    then: int
    now: int


@dataclass(frozen=True, slots=True)
class Repartition:
    """What was done.

    Attributes:
        grown: topics that have grown; none: nothing had to be moved.
        moved: how many partitions the state of a group is in now, by group.
        written: events not answered yet that were written again where their keys belong.
        told_anew: records of the exchange that tell anew what nobody had joined yet.
        refused: records that could not be processed and are dead letters now.
        kept: why the online store keeps what nobody reads any more; empty: it does not.
    """

    grown: Sequence[Growth] = ()
    moved: Mapping[str, int] = field(default_factory=dict)
    written: int = 0
    told_anew: int = 0
    refused: int = 0
    kept: str = ""


class Shelved(Protocol):
    """A store that keys can be taken out of."""

    def keys(self, prefix: bytes) -> Iterator[list[bytes]]:
        """See `headrace.stores.online.Store`."""

    def delete(self, keys: Sequence[bytes]) -> None:
        """Take keys away, whatever they hold. Raises Transient."""


@dataclass(frozen=True, slots=True)
class GroupMember:
    """A member of a group as it is before it opens anything."""

    entry: ServiceEntry
    runner: Runner


def repartition(
    settings: Settings, pipeline: Pipeline, found: Callable[[Sequence[Growth]], None] = lambda _: None
) -> Repartition:
    """Move the state of a pipeline's services, which are stopped; done, or nothing is.

    Args:
        found: told what has grown before anything is moved, which may take minutes.

    Raises:
        ConfigurationError: a service runs, or a revision is not over.
        ContractError: a topic has fewer partitions than it had, or something cannot be moved; says what.
        Transient: the broker does not answer in time.
    """
    refuse_two(settings)
    store = OnlineStore(settings.redis.get_secret_value())
    try:
        return moved(settings, pipeline, list(_members(settings, pipeline)), store, found)
    finally:
        store.close()


def refuse_two(settings: Settings) -> None:
    """ConfigurationError while a revision is built: what it follows is not moved with it."""
    steps = RevisionSteps(settings.connection, read_contracts(settings))
    for each in steps.known().newest.values():
        if each.state in (BUILDING, SWITCHING):
            raise ConfigurationError(
                f"revision {each.number} of {steps.pipeline.name} is {each.state}: end it first (headrace revise "
                "--switch, or --abandon), then move what the one has that answers"
            )


def moved(
    settings: Settings,
    pipeline: Pipeline,
    members: Sequence[GroupMember],
    store: Shelved,
    found: Callable[[Sequence[Growth]], None] = lambda _: None,
) -> Repartition:
    """As `repartition`, of these members, one a group, and the store that these have."""
    library = settings.connection.library
    _wait_until_empty(Admin(settings.connection), [member.runner.wiring.group for member in members], library)
    counts = _counts(settings.connection, members)
    move = Move(settings, pipeline.name, counts)
    _wait_until_settled(settings.connection, members, counts)
    lefts = [left_by(settings.connection, each.runner.wiring, each.runner.service, counts) for each in members]
    refuse_what_shrank(pipeline.name, lefts, counts)
    grown = {logical for left in lefts for logical, then in left.then.items() if counts[logical] > then}
    growth = [
        Growth(each, min(left.then[each] for left in lefts if each in left.then), counts[each])
        for each in sorted(grown)
    ]
    found(growth)
    if grown:
        _move(move, list(zip(members, lefts, strict=True)), grown, pipeline)
    return Repartition(
        growth,
        move.moved,
        move.written,
        move.told_anew,
        move.refused,
        _forget_shelves(store, pipeline, counts),
    )


def _move(move: Move, groups: Sequence[tuple[GroupMember, Left]], grown: set[str], pipeline: Pipeline) -> None:
    """All of it, or nothing."""
    move.begin()
    try:
        for member, left in groups:
            member.runner.service.start(move.counts)
            moved = member.entry.state and member.entry.part("rescale").rescale(move, left, grown, pipeline)
            if moved or grown & left.then.keys():
                move.send(left)
    except BaseException:  # Whatever it is: a transaction that is left open holds up all who read these topics.
        move.abort()
        raise
    move.commit()


def _members(settings: Settings, pipeline: Pipeline) -> Iterator[GroupMember]:
    """One of each group that keeps state or offsets."""
    told = settings.model_dump(exclude_unset=True) | {"member": "repartition"}
    for name in needed(pipeline):
        entry = SERVICES[name]
        if name == "enrich" and not pipeline.views:
            continue
        for _, view, _ in entry.groups(pipeline):
            own = told | {"view": view} if view else told
            made = entry.build(entry.settings(**own))
            if isinstance(made, Runner):  # Others read topics that never grow, and keep nothing by partition.
                yield GroupMember(entry, made)


def _wait_until_empty(admin: Admin, groups: list[str], library: Library) -> None:
    """Wait a while for sessions to end. Raises ConfigurationError when a service still runs."""
    end = library.monotonic() + WAIT_S
    while running := [group for group in groups if admin.members(group)]:
        if library.monotonic() > end:
            raise ConfigurationError(
                f"{', '.join(running)}: has members. Stop all services of the pipeline; one that has just ended counts "
                "as a member until its session is over (HEADRACE_SESSION_TIMEOUT_MS)"
            )
        library.sleep(0.5)


def _wait_until_settled(connection: Connection, members: Iterable[GroupMember], counts: Mapping[str, int]) -> None:
    """Wait until no transaction of a service that was killed is open any more: what it leaves behind is not known yet.

    Raises Transient when the broker has not ended it by then.
    """
    channels = {channel.name: channel for member in members for channel in member.runner.wiring.inputs}
    places = [(name, number) for name, each in channels.items() for number in range(counts[each.logical])]
    consumers = [Consumer(connection, isolation=isolation) for isolation in ("read_committed", "read_uncommitted")]
    library = connection.library
    end = library.monotonic() + SETTLED_S
    try:
        while True:
            stable, whole = ({place: consumer.watermarks(*place)[1] for place in places} for consumer in consumers)
            places = [place for place in places if stable[place] < whole[place]]
            if not places:
                return
            if library.monotonic() > end:
                topics = ", ".join(sorted({name for name, _ in places}))
                raise Transient(
                    f"{topics}: a transaction is still open after {SETTLED_S:g} s: stop publishers, try again later"
                )
            library.sleep(0.5)
    finally:
        for consumer in consumers:
            consumer.close()


def _counts(connection: Connection, members: Iterable[GroupMember]) -> dict[str, int]:
    """Partitions of all topics that groups have to do with, by logical name."""
    names: dict[str, str] = {}
    for member in members:
        wiring = member.runner.wiring
        channels = [*wiring.inputs, wiring.dead_letters, wiring.checkpoints, *wiring.outputs.values()]
        names |= {channel.logical: channel.name for channel in [*channels, *wiring.facts.values()]}
        names |= dict(wiring.beside)
    consumer = Consumer(connection)
    try:
        return {logical: consumer.partitions(name) for logical, name in names.items()}
    finally:
        consumer.close()


def _forget_shelves(store: Shelved, pipeline: Pipeline, counts: Mapping[str, int]) -> str:
    """Take what was written for other numbers of partitions out of the online store: nobody reads it any more; why not,
    if so.
    """
    try:
        for view in pipeline.foreign_views:
            shelves = Shelves.of_view(pipeline.name, view)
            count = counts[view.topic]
            current = {shelves.of(partition, count) for partition in range(count)}
            for keys in store.keys(shelves.prefix):
                store.delete([key for key in keys if key not in current])
    except Transient as error:
        return str(error)
    return ""
