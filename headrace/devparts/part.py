"""What the real parts have in common: a directory that remembers their ports and processes."""

from __future__ import annotations

import json
import uuid
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, ClassVar

from headrace.devparts import process
from headrace.devparts.maven import Report, silent
from headrace.devparts.process import Process
from headrace.errors import ConfigurationError

_NOTE = "part.json"


class Part(ABC):
    """A server of one process or more that lives in a directory: the next invocation finds it there again.

    Its address is chosen when the directory is first used and stays the same over restarts.

    Args:
        directory: takes the note of the ports, the processes' state and log files, and the data.
        count: how many processes.
        with_parent: the kernel kills them when the process that started them ends, however it ends (Linux only).

    Raises:
        ConfigurationError: the directory holds another number of processes.
    """

    name: ClassVar[str]
    """What a person calls it: `kafka`."""
    ports_each: ClassVar[int] = 1
    """Ports that one process listens on."""

    def __init__(self, directory: Path, count: int = 1, *, with_parent: bool = False) -> None:
        self.directory = directory.absolute()
        self.with_parent = with_parent
        self.count = count
        noted = _noted(self.directory)
        if noted is None:
            noted = {"id": uuid.uuid4().hex, "ports": process.free_ports(count * self.ports_each)}
            process.write(self.directory / _NOTE, json.dumps(noted))
        self.identity = uuid.UUID(hex=str(noted["id"]))
        self.ports: list[int] = noted["ports"]
        if len(self.ports) != count * self.ports_each:
            raise ConfigurationError(
                f"{self.directory} holds {len(self.ports) // self.ports_each} processes of {self.name}, not {count}; "
                "use another directory, or delete this one"
            )

    @property
    @abstractmethod
    def address(self) -> str:
        """Where clients reach it, in the form that its own clients take."""

    @abstractmethod
    def start(self, within: float = 90.0, report: Report = silent) -> None:
        """Start what does not run and return when it answers; nothing happens on a repeat.

        Raises:
            ConfigurationError: a program that it needs is missing; names the package and the Docker way.
            ProcessDied: a process ended, or did not answer within `within` seconds; with the end of its log.
        """

    def stop(self, grace: float = 30.0) -> None:
        """SIGTERM to all its processes, then wait for them; SIGKILL after `grace` seconds. Repeats do nothing."""
        running = self.processes()
        for each in running:
            each.terminate()
        for each in running:
            each.stop(grace)

    def kill(self, number: int = 1) -> None:
        """SIGKILL one of its processes, counted from 1; `start` brings it back."""
        if running := self.process(number):
            running.kill()

    def process(self, number: int = 1) -> Process | None:
        """One of its processes, counted from 1, if it runs."""
        return process.find(f"{self.name}-{number}", self.directory)

    def processes(self) -> list[Process]:
        """All its running processes."""
        return [each for number in range(1, self.count + 1) if (each := self.process(number)) is not None]

    def running(self) -> bool:
        """Whether all its processes run."""
        return len(self.processes()) == self.count

    @classmethod
    def noted(cls, directory: Path) -> int | None:
        """How many processes the part in this directory has, running or not; None where there is no part."""
        note = _noted(directory)
        return None if note is None else len(note["ports"]) // cls.ports_each


def _noted(directory: Path) -> dict[str, Any] | None:
    note = directory / _NOTE
    try:
        noted: dict[str, Any] = json.loads(note.read_bytes())
        uuid.UUID(hex=noted["id"])
        ports = noted["ports"]
        whole = bool(ports) and all(type(port) is int and 0 < port < 65_536 for port in ports)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigurationError(
            f"{note} cannot be read: {error.strerror}; name another directory in HEADRACE_HOME"
        ) from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        whole = False
    if not whole:
        raise ConfigurationError(
            f"{note} is damaged: it holds the ports of what keeps its data beside it. Restore it, or delete "
            f"{directory} with that data and start anew"
        )
    return noted
