"""A live stream: transactions that happen now, after a past that ends now, while labels of it trickle in.

A backfill waits for the labels of its own time, a live event does not (docs/adr/0009): what is answered in real time is
measured on events of now.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from loadtests.arena import Arena
from loadtests.load import Load, started, write_events
from loadtests.stream import Stream
from tests.project import Project

TRICKLE = 10.0
"""Labels a second: of what happened, a bank hears of frauds and of samples, not of everything."""


@dataclass(frozen=True, slots=True)
class Past:
    """What was published before the live stream begins.

    Attributes:
        rows: events of it; the live ones follow them in the file.
        unlabelled: Arrow file of labels that nobody knows yet.
        count: of these.
    """

    rows: int
    unlabelled: Path
    count: int


def remember(ground: Arena, project: Project, stream: Stream, rows: int) -> Past:
    """Publish the first transactions of a stream as if the last of them happened now, with the labels known by now."""
    now = int(time.time() * 1000)
    past = stream.part(0, rows).ending(now)
    known, labels = past.labels(until=now), past.labels()
    if known.num_rows:
        project.publish(known, "event_id", "labels")
    project.publish(past.events, "customer_id")
    unlabelled = labels.slice(known.num_rows)
    path = write_events(ground.directory / f"{project.name}.labels.arrow", unlabelled)
    return Past(rows, path, unlabelled.num_rows)


def live(project: Project, events: Path, first: int, rows: int, rate: float, begin: float = 0.0) -> Load:
    """Transactions of a file, each happening when it is due."""
    topic = project.contracts.channel("events").name
    return Load(project.bootstrap, str(project.path), topic, str(events), first, rows, rate, begin, live=True)


@contextmanager
def trickle(project: Project, past: Past, seconds: float) -> Iterator[None]:
    """Labels of the past become known, a few a second, for so long at most or until the end of the block."""
    topic = project.contracts.channel("labels").name
    rows = min(past.count, int(TRICKLE * seconds))
    load = Load(
        project.bootstrap, str(project.path), topic, str(past.unlabelled), 0, rows, TRICKLE, time.monotonic(), "labels",
        live=True,
    )  # fmt: skip  # where, what, when
    generator = started(load)
    try:
        yield
    finally:
        generator.terminate()
        generator.join()
