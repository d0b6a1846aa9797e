"""The health server under strangers: many, slow, silent or odd, they cost nobody else an answer."""

from __future__ import annotations

import http.client
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from headrace.streaming.process.http_server import LONGEST, MOST, Listener


def answer(path: str) -> tuple[int, str, bytes]:
    """What is asked for, a page that is there, or nothing."""
    return (200, "text/plain", b"here\n" * 1000) if path == "/page" else (404, "text/plain", b"nowhere\n")


@pytest.fixture
def listener() -> Iterator[Listener]:
    """A server on a port of its own."""
    made = Listener("127.0.0.1", 0, answer)
    yield made
    made.close()


def connected(listener: Listener, stack: ExitStack, said: bytes = b"") -> socket.socket:
    """A connection that has said something."""
    made = stack.enter_context(socket.create_connection(("127.0.0.1", listener.port), timeout=30))
    made.sendall(said)
    return made


def asked(listener: Listener, method: str = "GET", path: str = "/page") -> tuple[int, bytes, http.client.HTTPMessage]:
    """(status, body, headers) as Python's own client reads them."""
    client = http.client.HTTPConnection("127.0.0.1", listener.port, timeout=30)
    try:
        client.request(method, path)
        found = client.getresponse()
        return found.status, found.read(), found.headers
    finally:
        client.close()


def received(connection: socket.socket) -> bytes:
    """All that comes until the other side ends; nothing of a connection that was dropped."""
    found = b""
    try:
        while part := connection.recv(65_536):
            found += part
    except ConnectionResetError:
        pass
    return found


def test_get_and_head(listener: Listener) -> None:
    """HEAD has the headers of GET and no body; other methods are told which there are."""
    status, body, headers = asked(listener)
    assert (status, body) == (200, b"here\n" * 1000)
    status, nothing, of_head = asked(listener, "HEAD")
    assert (status, nothing, of_head["Content-Length"]) == (200, b"", headers["Content-Length"])
    assert asked(listener, path="/page?x=1")[0] == 200
    assert asked(listener, path="/other")[0] == 404
    status, _, headers = asked(listener, "POST")
    assert (status, headers["Allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize(
    ("said", "status"),
    [
        (b"\r\n\r\n", b"400"),
        (b"GET /page\r\n\r\n", b"400"),
        (b"\xff\xfe\x00\r\n\r\n", b"400"),
        (b"GET /page SPDY/9\r\n\r\n", b"400"),
        (b"GET /page HTTP/1.1\r\nX: " + b"x" * LONGEST + b"\r\n\r\n", b"431"),
    ],
)
def test_what_is_no_request(listener: Listener, said: bytes, status: bytes) -> None:
    """Odd bytes get an answer that says so, and the next one who asks gets theirs."""
    with ExitStack() as stack:
        told = received(connected(listener, stack, said))
        assert told.split(b" ")[1:2] in ([status], [])  # a long one may be dropped while it is still being said
        assert status == b"431" or told
    assert asked(listener)[0] == 200


def test_many_half_said_requests(listener: Listener) -> None:
    """Whoever stands half way in a request, however many, takes neither threads nor the place of those who ask."""
    before = threading.active_count()
    with ExitStack() as stack:
        strangers = [connected(listener, stack, b"GET /page HTTP/1.1\r\nHost:") for _ in range(400)]
        for _ in range(5):
            assert asked(listener)[0] == 200
        assert len(listener._open) <= MOST
        assert threading.active_count() == before
        assert sum(received(each) == b"" for each in strangers[: 400 - MOST]) == 400 - MOST


def test_the_slow_are_not_waited_for() -> None:
    """A byte now and then does not keep a connection: the deadline is for all of it, reading and being read to."""
    listener = Listener("127.0.0.1", 0, lambda path: (200, "text/plain", b"x" * 50_000_000), deadline_s=0.5)
    with ExitStack() as stack:
        silent, deaf = connected(listener, stack), connected(listener, stack, b"GET / HTTP/1.1\r\n\r\n")
        begun = time.monotonic()
        assert received(silent) == b""
        assert time.monotonic() - begun < 20
        waited(lambda: not listener._open)
        assert len(received(deaf)) < 50_000_000
    listener.close()


def waited(condition: Callable[[], bool]) -> None:
    """Wait, within a bound, until something holds."""
    pause, deadline = threading.Event(), time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        pause.wait(0.02)


def test_closing_with_company(listener: Listener) -> None:
    """Who is connected when it closes is dropped, and nobody can connect any more."""
    other = Listener("127.0.0.1", 0, answer)
    with ExitStack() as stack:
        stranger = connected(other, stack, b"GET ")
        waited(lambda: bool(other._open))
        other.close()
        assert received(stranger) == b""
        with pytest.raises(ConnectionRefusedError):
            connected(other, stack)


def test_a_port_that_is_taken(listener: Listener) -> None:
    """Whoever comes second is told, and leaves no thread behind."""
    before = threading.active_count()
    with pytest.raises(OSError, match="in use"):
        Listener("127.0.0.1", listener.port, answer)
    assert threading.active_count() == before
