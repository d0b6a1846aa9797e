"""`headrace repartition`: moves what services remember to where keys belong after topics have grown."""

from __future__ import annotations

import time
from collections.abc import Iterator

from rich.console import Console

from services.cli.moving import Left, Move, left_by, refuse_what_stays
from services.cli.options import Bootstrap, PipelineName, contracts_of
from services.cli.services import SERVICES, needed
from services.enrich.shelves import Shelves
from services.kit.errors import ConfigurationError, Transient
from services.kit.kafka import Admin, Connection, Consumer
from services.kit.online_store import OnlineStore
from services.kit.runner import Runner
from services.kit.settings import Settings
from services.pipeline.spec import Pipeline

WAIT_S = 20.0
"""Seconds until the sessions of members that have just stopped are over."""


def repartition(pipeline: PipelineName, bootstrap: Bootstrap = None) -> None:
    """Move the state of a pipeline's services to where keys belong, after its topics got more partitions.

    Stop publishers and all services first. All of it is one transaction: it is done, or nothing is. Features go on as
    if there had been as many partitions from the beginning. Does nothing where nothing grew.
    """
    settings, contracts = contracts_of(pipeline, bootstrap)
    console, found = Console(soft_wrap=True, highlight=False), contracts.pipeline
    runners = dict(_runners(pipeline, settings, found))
    _wait_until_empty(Admin(settings.connection), [runner.wiring.group for runner in runners.values()])
    counts = _counts(settings.connection, runners)
    lefts = {name: left_by(settings.connection, each.wiring, each.service, counts) for name, each in runners.items()}
    refuse_what_stays(found, list(lefts.values()), counts)
    grown = {logical for left in lefts.values() for logical, then in left.then.items() if counts[logical] > then}
    if not grown:
        console.print(f"[green]no topic of {found.name} has grown since its state was made: nothing to move[/]")
        return
    for logical in sorted(grown):
        then = min(left.then[logical] for left in lefts.values() if logical in left.then)
        console.print(f"{found.name}.{logical}: {then} -> {counts[logical]} partitions")
    move = Move(settings.connection, found, counts)
    try:
        for name, left in lefts.items():
            runners[name].service.start(counts)
            _move(move, name, left, counts)
    except BaseException:  # Whatever it is: a transaction that is left open holds up all who read these topics.
        move.abort()
        raise
    move.commit()
    for group, snapshots in move.moved.items():
        console.print(f"[green]{group}: its state is in {snapshots} partitions now[/]")
    if move.written:
        console.print(f"{move.written:,} events that were not answered yet were written again where their keys belong")
    _forget_shelves(settings, found, counts, console)
    console.print(f"[green]start the services of {found.name} again[/]")


def _move(move: Move, name: str, left: Left, counts: dict[str, int]) -> None:
    own = [logical for logical in left.then if counts[logical] > left.then[logical]]
    inputs = [channel.logical for channel in left.wiring.inputs]
    if name == "enrich" and "events" in own:
        move.events(left)
    elif name.startswith("views.") and inputs[0] in own:
        move.updates(left)
    elif own:
        move.remember(left)


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
