"""`headrace repartition`: moves what services remember to where keys belong after topics have grown."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping

from rich.console import Console

from headrace.cli.options import Bootstrap, PipelineName, contracts_of
from headrace.domain.features.store_keys import Shelves
from headrace.domain.pipeline.spec import Pipeline
from headrace.errors import ConfigurationError, Transient
from headrace.operations.repartition.move import Left, Move, left_by, refuse_what_shrank
from headrace.operations.repartition.moves import move
from headrace.operations.services import SERVICES, needed
from headrace.stores.online import OnlineStore
from headrace.streaming.kafka.client import Admin, Connection, Consumer
from headrace.streaming.process.settings import Settings
from headrace.streaming.task.runner import Runner

WAIT_S = 20.0
"""Seconds until the sessions of members that have just stopped are over."""
SETTLED_S = 90.0
"""Seconds until the broker has ended the transactions of members that were killed: a minute, and when it looks."""


def repartition(pipeline: PipelineName, bootstrap: Bootstrap = None) -> None:
    """Move the state of a pipeline's services to where keys belong, after its topics got more partitions.

    Stop publishers and all services first. All of it is one transaction: it is done, or nothing is; killed in the
    middle, run it again. Services go on as if there had been as many partitions from the beginning: features, open
    predictions, early labels, sums. Does nothing where nothing grew.
    """
    settings, contracts = contracts_of(pipeline, bootstrap)
    console, found = Console(soft_wrap=True, highlight=False), contracts.pipeline
    runners = dict(_runners(pipeline, settings, found))
    _wait_until_empty(Admin(settings.connection), [runner.wiring.group for runner in runners.values()])
    counts = _counts(settings.connection, runners)
    to = Move(settings, found, counts)
    _wait_until_settled(settings.connection, runners, counts)
    lefts = {name: left_by(settings.connection, each.wiring, each.service, counts) for name, each in runners.items()}
    refuse_what_shrank(found, list(lefts.values()), counts)
    grown = {logical for left in lefts.values() for logical, then in left.then.items() if counts[logical] > then}
    for logical in sorted(grown):
        then = min(left.then[logical] for left in lefts.values() if logical in left.then)
        console.print(f"{found.name}.{logical}: {then} -> {counts[logical]} partitions")
    if grown:
        _move(to, runners, lefts, grown)
        _tell(to, console)
    else:
        console.print(f"[green]no topic of {found.name} has grown since its state was made: nothing to move[/]")
    _forget_shelves(settings, found, counts, console)
    if grown:
        console.print(f"[green]start the services of {found.name} again[/]")


def _move(to: Move, runners: Mapping[str, Runner], lefts: Mapping[str, Left], grown: set[str]) -> None:
    """All of it, or nothing."""
    to.begin()
    try:
        for name, left in lefts.items():
            runners[name].service.start(to.counts)
            move(to, name, left, grown)
    except BaseException:  # Whatever it is: a transaction that is left open holds up all who read these topics.
        to.abort()
        raise
    to.commit()


def _tell(to: Move, console: Console) -> None:
    for group, snapshots in to.moved.items():
        console.print(f"[green]{group}: its state is in {snapshots} partitions now[/]")
    if to.written:
        console.print(f"{to.written:,} events that were not answered yet were written again where their keys belong")
    if to.told_anew:
        console.print(f"{to.told_anew:,} records tell {to.pipeline.name}.exchange anew what nobody had joined yet")
    if to.refused:
        console.print(f"[yellow]{to.refused:,} records could not be processed and are dead letters now[/]")


def _runners(pipeline: str, settings: Settings, found: Pipeline) -> Iterator[tuple[str, Runner]]:
    """A member of each group, as it is before it opens anything."""
    told = settings.model_dump(exclude_unset=True) | {"pipeline": pipeline, "member": "repartition"}
    for name in needed(found):
        kind = SERVICES[name]
        if name == "views":
            for view in found.foreign_views:
                yield f"views.{view.name}", kind.build(kind.settings(**told, view=view.name))  # type: ignore[call-arg]  # its own setting
        elif name != "enrich" or found.views:
            yield name, kind.build(kind.settings(**told))


def _wait_until_empty(admin: Admin, groups: list[str]) -> None:
    """Wait a while for sessions to end. Raises ConfigurationError when a service still runs."""
    end = time.monotonic() + WAIT_S
    while running := [group for group in groups if admin.members(group)]:
        if time.monotonic() > end:
            raise ConfigurationError(
                f"{', '.join(running)}: has members. Stop all services of the pipeline; one that has just ended counts "
                "as a member until its session is over (HEADRACE_SESSION_TIMEOUT_MS)"
            )
        time.sleep(0.5)


def _wait_until_settled(connection: Connection, runners: Mapping[str, Runner], counts: Mapping[str, int]) -> None:
    """Wait until no transaction of a service that was killed is open any more: what it leaves behind is not known yet.

    Raises Transient when the broker has not ended it by then.
    """
    channels = {channel.name: channel for runner in runners.values() for channel in runner.wiring.inputs}
    places = [(name, number) for name, each in channels.items() for number in range(counts[each.logical])]
    consumers = [Consumer(connection, isolation=isolation) for isolation in ("read_committed", "read_uncommitted")]
    end = time.monotonic() + SETTLED_S
    try:
        while True:
            stable, whole = ({place: consumer.watermarks(*place)[1] for place in places} for consumer in consumers)
            places = [place for place in places if stable[place] < whole[place]]
            if not places:
                return
            if time.monotonic() > end:
                topics = ", ".join(sorted({name for name, _ in places}))
                raise Transient(
                    f"{topics}: a transaction is still open after {SETTLED_S:g} s: stop publishers, try again later"
                )
            time.sleep(0.5)
    finally:
        for consumer in consumers:
            consumer.close()


def _counts(connection: Connection, runners: dict[str, Runner]) -> dict[str, int]:
    """Partitions of all topics that groups have to do with, by logical name."""
    names: dict[str, str] = {}
    for runner in runners.values():
        wiring = runner.wiring
        channels = [*wiring.inputs, wiring.dead_letters, wiring.checkpoints, *wiring.outputs.values()]
        names |= {channel.logical: channel.name for channel in [*channels, *wiring.facts.values()]}
        names |= dict(wiring.beside)
    consumer = Consumer(connection)
    try:
        return {logical: consumer.partitions(name) for logical, name in names.items()}
    finally:
        consumer.close()


def _forget_shelves(settings: Settings, pipeline: Pipeline, counts: dict[str, int], console: Console) -> None:
    """Take what was written for other numbers of partitions out of the online store: nobody reads it any more."""
    store = OnlineStore(settings.redis.get_secret_value())
    try:
        for view in pipeline.foreign_views:
            shelves = Shelves(pipeline.name, view.name, view.version)
            count = counts[f"view.{view.name}"]
            current = {shelves.of(partition, count) for partition in range(count)}
            for keys in store.keys(shelves.prefix):
                store.delete([key for key in keys if key not in current])
    except Transient as error:
        console.print(f"[yellow]the online store keeps shelves that nobody reads any more: {error}[/]", markup=True)
    finally:
        store.close()
