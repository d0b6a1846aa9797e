"""Members and the ports that they listen on."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from headrace.operations.local.fleet import Fleet, ask
from headrace.operations.local.members import Member

PROGRAM = """
import os
from http.server import BaseHTTPRequestHandler, HTTPServer

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(204)
        self.end_headers()

HTTPServer(("127.0.0.1", int(os.environ["HEADRACE_PORT"])), Handler).serve_forever()
"""


def waited(condition: Callable[[], bool]) -> None:
    """Wait, within a bound, until something holds."""
    pause, deadline = threading.Event(), time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        pause.wait(0.05)


def taken(port: int) -> socket.socket:
    """Somebody else on a port."""
    other = socket.socket()
    other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    other.bind(("127.0.0.1", port))
    other.listen()
    return other


def test_a_port_that_somebody_took(tmp_path: Path) -> None:
    """A member whose port was taken, before its start or between two lives, listens elsewhere and says so."""
    fleet = Fleet([Member("one", "one", (sys.executable, "-c", PROGRAM))], tmp_path, {}, time.monotonic)
    (first,) = fleet.states()
    with taken(first.port):
        fleet.start()
        try:
            (second,) = fleet.states()
            assert second.port != first.port
            waited(lambda: ask(second.port, "/")[0] == 204)
            assert second.pid is not None
            os.kill(second.pid, signal.SIGKILL)
            waited(lambda: ask(second.port, "/")[0] == 0)
            with taken(second.port):
                waited(lambda: bool(fleet.step()))
                (third,) = fleet.states()
                assert third.port not in (first.port, second.port)
                waited(lambda: ask(third.port, "/")[0] == 204)
        finally:
            fleet.stop(10)


def test_a_port_is_kept(tmp_path: Path) -> None:
    """A member that is started again listens where it did."""
    fleet = Fleet([Member("one", "one", (sys.executable, "-c", PROGRAM))], tmp_path, {}, time.monotonic)
    fleet.start()
    try:
        (first,) = fleet.states()
        waited(lambda: ask(first.port, "/")[0] == 204)
        assert first.pid is not None
        os.kill(first.pid, signal.SIGKILL)
        waited(lambda: bool(fleet.step()))
        waited(lambda: ask(first.port, "/")[0] == 204)
        assert fleet.states()[0].port == first.port
    finally:
        fleet.stop(10)


GAUGE = """
import os
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        value = Path(os.environ["IDLE"]).read_text()
        self.send_response(200)
        self.end_headers()
        self.wfile.write(f"# TYPE headrace_idle_seconds gauge\\nheadrace_idle_seconds {value}\\n".encode())

HTTPServer(("127.0.0.1", int(os.environ["HEADRACE_PORT"])), Handler).serve_forever()
"""


def test_a_member_that_stands_still_is_busy(tmp_path: Path) -> None:
    """Whoever says the same twice is in the middle of something, however long it was idle before: no end is told."""
    files = [tmp_path / "one", tmp_path / "two"]
    for file in files:
        file.write_text("0")
    program = (sys.executable, "-c", GAUGE)
    fleet = Fleet([Member(f.name, f.name, program, {"IDLE": str(f)}) for f in files], tmp_path, {}, time.monotonic)

    def idle(one: float, two: float) -> float:
        for file, value in zip(files, (one, two), strict=True):
            file.write_text(str(value))
        return fleet.idle_s()

    fleet.start()
    try:
        waited(lambda: all(ask(state.port, "/")[0] for state in fleet.states()))
        assert idle(5, 7) == 5
        assert idle(6, 7) == 0
        assert idle(7, 8) == 7
        assert idle(8, 0) == 0
    finally:
        fleet.stop(10)
