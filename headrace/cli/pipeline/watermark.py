"""`headrace watermark`: how far the event time of each partition has come, by which record, and how to set it right."""

from __future__ import annotations

import json as codec
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from headrace.cli.options import Bootstrap, Json, PipelineName, contracts_of, milliseconds
from headrace.errors import ConfigurationError
from headrace.operations.services import SERVICES
from headrace.operations.time_spans import minute
from headrace.streaming.kafka.admin import Admin
from headrace.streaming.kafka.bindings import Wiring
from headrace.streaming.kafka.client import Consumer, Producer
from headrace.streaming.kafka.connection import Connection
from headrace.streaming.kafka.message import TopicPartition
from headrace.streaming.task.checkpoint import Checkpoints
from headrace.streaming.task.commitment import Commitment
from headrace.streaming.task.partition_counts import carried
from headrace.streaming.watermarks.event_time import NEVER, Clock

WIDE = 160


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a partition's event time stands, as of its checkpoint; times in ms, None where there is none yet.

    Attributes:
        offset: the checkpoint is of the records below it; None: there is none.
        watermark: event time below which, less the allowed lateness, events are late; `moved_by`: the offset of the
            record that moved it last.
        credible: event time that other partitions are told.
        written: newest Kafka timestamp.
        ahead: events that were ahead of what was believed, ever.
    """

    partition: int
    offset: int | None = None
    watermark: int | None = None
    moved_by: int | None = None
    credible: int | None = None
    written: int | None = None
    ahead: int = 0


def watermark(
    pipeline: PipelineName,
    mend: Annotated[
        int | None, typer.Option("--mend", metavar="PARTITION", min=0, help="Set this partition's watermark to --to.")
    ] = None,
    to: Annotated[str | None, typer.Option("--to", metavar="TIME", help="An event time, with --mend.")] = None,
    bootstrap: Bootstrap = None,
    json: Json = False,
) -> None:
    """Show how far the event time of each partition has come, as of its newest checkpoint.

    One that went astray is mended while `enrich` is drained: its state goes on from the time that is named. What was
    refused as too late meanwhile is among the dead letters, and may be published again.
    """
    settings, contracts = contracts_of(pipeline, bootstrap)
    if (mend is None) != (to is None):
        raise ConfigurationError("--mend PARTITION and --to TIME belong together: write both")
    wiring = contracts.wiring("enrich", settings, "events")
    if mend is not None and to is not None:
        _mend(settings.connection, wiring, mend, milliseconds(to) or 0)
    found = standings(settings.connection, wiring)
    if json:
        typer.echo(codec.dumps([asdict(each) for each in found]))
        return
    terminal = Console(highlight=False)
    (terminal if terminal.is_terminal else Console(highlight=False, width=WIDE)).print(_table(found))


def standings(connection: Connection, wiring: Wiring) -> list[Standing]:
    """Of all partitions of the events."""
    found = []
    for partition, commitment, read in _committed(connection, wiring):
        if commitment is None or commitment.place is None:
            found.append(Standing(partition))
            continue
        clock: Clock = SERVICES["enrich"].part("checkpoint_time").clock_of(read())
        known = (clock.firm, clock.moved_by[0], clock.credible, clock.stamp)
        firm, moved_by, credible, written = (None if each == NEVER else each for each in known)
        found.append(Standing(partition, commitment.place.at, firm, moved_by, credible, written, clock.ahead))
    return found


def _committed(connection: Connection, wiring: Wiring) -> list[tuple[int, Commitment | None, Callable[[], bytes]]]:
    """(partition, what is committed of it, what reads its checkpoint) for each partition of the events."""
    consumer = Consumer(connection, group=wiring.group)
    try:
        topic = wiring.inputs[0].name
        places = [TopicPartition(topic, partition) for partition in range(consumer.partitions(topic))]
        checkpoints = Checkpoints(connection, wiring, consumer.partitions(wiring.checkpoints.name))
        found: list[tuple[int, Commitment | None, Callable[[], bytes]]] = []
        for tp in consumer.committed(places):
            commitment = None if tp.offset < 0 else Commitment.read(tp.offset, tp.metadata)

            def read(number: int = tp.partition, known: Commitment | None = commitment) -> bytes:
                assert known is not None
                assert known.place is not None
                return checkpoints.read(number, known.place, lambda: None)

            found.append((tp.partition, commitment, read))
        return found
    finally:
        consumer.close()


def _mend(connection: Connection, wiring: Wiring, partition: int, time: int) -> None:
    """Write the checkpoint of a drained partition anew, with another event time.

    Raises ConfigurationError, with nothing changed, while the group has members, or while the checkpoint is not the
    newest state.
    """
    if members := Admin(connection).members(wiring.group):
        raise ConfigurationError(
            f"{wiring.group} has {members} members: drain them (SIGTERM) first; a member that was killed is one for "
            "HEADRACE_SESSION_TIMEOUT_MS more"
        )
    known = {number: (commitment, read) for number, commitment, read in _committed(connection, wiring)}
    commitment, read = known.get(partition, (None, None))
    topic = wiring.inputs[0].name
    if commitment is None or read is None or commitment.place is None:
        raise ConfigurationError(f"{topic}[{partition}] has no checkpoint: there is nothing to mend")
    if not commitment.place.at == commitment.offset == commitment.admitted:
        raise ConfigurationError(
            f"the checkpoint of {topic}[{partition}] is of offset {commitment.place.at}, and records up to "
            f"{commitment.admitted} were taken up since: start `enrich` and drain it, so that it writes one of them all"
        )
    consumer = Consumer(connection, group=wiring.group)
    producer = Producer(connection, reports=True)
    try:
        checkpoints = Checkpoints(connection, wiring, consumer.partitions(wiring.checkpoints.name))
        draft = checkpoints.draft(
            partition,
            commitment.offset,
            SERVICES["enrich"].part("checkpoint_time").mended(read(), time),
            commitment.place,
        )
        written = Commitment(commitment.offset, commitment.admitted, draft.write(producer))
        (before,) = consumer.committed([TopicPartition(topic, partition)])
        metadata = carried(before.metadata, written.metadata())
        consumer.commit([TopicPartition(topic, partition, written.offset, metadata=metadata)])
    finally:
        consumer.close()


def _table(found: list[Standing]) -> Table:
    table = Table(box=None, header_style="bold")
    for name in ("partition", "checkpoint", "watermark", "moved by offset", "told to others", "newest record", "ahead"):
        table.add_column(name, justify="right")
    for each in found:
        astray = each.watermark is not None and each.written is not None and each.watermark > each.written
        times = [None if time is None else minute(time) for time in (each.watermark, each.credible, each.written)]
        cells = (each.offset, times[0], each.moved_by, times[1], times[2], each.ahead)
        shown = ["-" if cell is None else str(cell) for cell in cells]
        table.add_row(str(each.partition), *shown, style="yellow" if astray else None)
    return table
