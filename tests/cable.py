"""A network between clients and a broker that can be cut: what is sent then is lost with its connections, or waits.

It can be slow as well, and knows one request of Kafka's protocol from another, so that a fault hits the one it is for.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable

from headrace.devparts.kafka import Kafka
from headrace.devparts.process import free_ports

TXN_OFFSET_COMMIT = 28
"""The request by which a producer adds a group's offsets to its transaction."""
GROUP_HEARTBEAT = 68
"""The request by which a member joins a group of KIP-848, and stays in it."""


def cable_to(kafka: Kafka) -> Cable:
    """A cable to a broker of one node that has not started yet: its clients find it at the cable's port alone."""
    port = free_ports(1)[0]
    cable = Cable(port)
    client, controller = kafka.ports
    kafka.overrides |= {
        "listeners": f"PLAINTEXT://127.0.0.1:{client},CABLE://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}",
        "advertised.listeners": f"PLAINTEXT://127.0.0.1:{client},CABLE://127.0.0.1:{cable.port}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CABLE:PLAINTEXT,CONTROLLER:PLAINTEXT",
    }
    return cable


class Cable:
    """Forwards connections to a port of this machine, until it is closed.

    Attributes:
        port: where clients connect to.
        met: given each request of clients before it is forwarded, by the number of its kind; what it returns is sent.
        rate: bytes a second that a connection takes towards the broker; None for as many as come.
    """

    def __init__(self, target: int) -> None:
        self.met: Callable[[int, bytes], bytes] | None = None
        self.rate: float | None = None
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._whole = threading.Event()
        self._whole.set()
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Every connection breaks, and new ones are refused."""
        self._whole.clear()
        with self._lock:
            for end in self._open:
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)

    def hold(self) -> None:
        """What is sent is kept back, as where packets are dropped; connections stay."""
        self._whole.clear()

    def mend(self) -> None:
        """Everything passes again."""
        self._whole.set()

    def close(self) -> None:
        """Break every connection for good."""
        self.cut()
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return  # Closed.
            if not self._whole.is_set():
                client.close()
                continue
            try:
                broker = socket.create_connection(("127.0.0.1", self._target))
            except OSError:
                client.close()  # Nobody is there, at this moment.
                continue
            with self._lock:
                self._open |= {client, broker}
            threading.Thread(target=self._forward, args=(client, broker, self._request), daemon=True).start()
            threading.Thread(target=self._forward, args=(broker, client, self._piece), daemon=True).start()

    def _piece(self, one: socket.socket) -> bytes:
        return one.recv(65_536)

    def _request(self, client: socket.socket) -> bytes:
        """The next whole request; nothing at the end of the connection."""
        length = _exactly(client, 4)
        request = length + _exactly(client, int.from_bytes(length, "big"))
        if self.met is not None and len(request) > 4:
            request = self.met(int.from_bytes(request[4:6], "big"), request)
        return request

    def _forward(self, one: socket.socket, other: socket.socket, following: Callable[[socket.socket], bytes]) -> None:
        with contextlib.suppress(OSError):
            while sent := following(one):
                self._whole.wait()
                if self.rate is None or following == self._piece:
                    other.sendall(sent)
                else:
                    self._crawl(sent, other)
        for end in (one, other):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
        with self._lock:
            self._open -= {one, other}

    def _crawl(self, sent: bytes, other: socket.socket) -> None:
        """Send so many bytes a second; back to full speed in the middle when `rate` is taken away."""
        begun, done = time.monotonic(), 0
        while done < len(sent):
            rate = self.rate
            if rate is not None:
                time.sleep(max(done / rate - (time.monotonic() - begun), 0))  # The fault itself.
            other.sendall(sent[done : done + 16_384])
            done += 16_384


def _exactly(one: socket.socket, size: int) -> bytes:
    """So many bytes, or none when the connection ends before."""
    parts = bytearray()
    while len(parts) < size:
        part = one.recv(min(size - len(parts), 1 << 20))
        if not part:
            return b""
        parts += part
    return bytes(parts)
