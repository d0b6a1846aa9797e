"""The parts of one home directory together: bring them up, take them down, say what runs."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from headrace.devparts.kafka import Kafka
from headrace.devparts.lock import exclusive
from headrace.devparts.maven import Report, silent
from headrace.devparts.part import Part
from headrace.devparts.redis import Redis
from headrace.devparts.registry import Registry

_PARTS: tuple[type[Part], ...] = (Redis, Kafka, Registry)  # in the order of starting


@dataclass(frozen=True, slots=True)
class Running:
    """Where the parts answer."""

    bootstrap: str
    """Kafka's `bootstrap.servers`."""
    redis: str
    """URL of the online store."""
    registry: str | None
    """URL of the schema registry's Confluent API; None where it was not asked for."""


@dataclass(frozen=True, slots=True)
class PartStatus:
    """One part of a home directory, as it is now."""

    name: str
    """`kafka`, `redis` or `registry`."""
    address: str
    """Where it answers, or will after the next `up`."""
    pids: tuple[int, ...]
    """Its running processes; fewer than its nodes when some died."""
    running: bool
    """Whether all its processes run."""


def up(
    home: Path, registry: bool = False, *, nodes: int = 1, with_parent: bool = False, report: Report = silent
) -> Running:
    """Start what does not run yet and return when all of it answers; a repeat changes nothing and is quick.

    Addresses and data stay the same over `down` and `up`. Two callers at once start the parts once.

    Args:
        home: takes the parts' directories, created where missing.
        registry: with a schema registry (5-10 s and 115 MB more).
        nodes: of Kafka; fixed by the first `up` of a home.
        with_parent: the kernel kills the parts when the process that started them ends.
        report: told the progress of downloads and starts.

    Raises:
        ConfigurationError: a JDK, Maven or Redis is missing; names the package to install and the Docker way.
        ProcessDied: a part did not come up; with the end of its log. What did come up stays up.
    """
    with exclusive(home / "parts.lock"):
        store = Redis(home / Redis.name, with_parent=with_parent)
        store.start(report=report)
        broker = Kafka(home / Kafka.name, nodes, with_parent=with_parent)
        broker.start(report=report)
        if not registry:
            return Running(broker.address, store.address, None)
        schemas = Registry(home / Registry.name, with_parent=with_parent)
        schemas.start(report=report)
        return Running(broker.address, store.address, schemas.address)


def down(home: Path, *, forget: bool = False) -> None:
    """Stop whatever runs; nothing happens on a repeat.

    Args:
        home: as given to `up`.
        forget: delete the parts' data too, topics and all.
    """
    if not home.exists():
        return
    with exclusive(home / "parts.lock"):
        for part in reversed(_found(home)):
            part.stop()
            if forget:
                shutil.rmtree(part.directory)


def status(home: Path) -> tuple[PartStatus, ...]:
    """Every part that was ever up in this home, running or not; starts and changes nothing."""
    return tuple(
        PartStatus(part.name, part.address, tuple(process.pid for process in part.processes()), part.running())
        for part in _found(home)
    )


def _found(home: Path) -> list[Part]:
    noted = [(kind, home / kind.name, kind.noted(home / kind.name)) for kind in _PARTS]
    return [kind(directory, count) for kind, directory, count in noted if count is not None]
