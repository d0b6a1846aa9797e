"""A network between clients and a broker that can be cut: what is sent then is lost with its connections, or waits."""

from __future__ import annotations

import contextlib
import socket
import threading

from services.parts.kafka import Kafka
from services.parts.process import free_ports


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
    """

    def __init__(self, target: int) -> None:
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
            for one, other in ((client, broker), (broker, client)):
                threading.Thread(target=self._forward, args=(one, other), daemon=True).start()

    def _forward(self, one: socket.socket, other: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while sent := one.recv(65_536):
                self._whole.wait()
                other.sendall(sent)
        for end in (one, other):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
        with self._lock:
            self._open -= {one, other}
