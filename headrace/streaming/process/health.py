"""/livez, /readyz and /metrics over HTTP, on a thread of their own."""

from __future__ import annotations

import threading
from collections.abc import Callable

from headrace.errors import Transient
from headrace.streaming.process.http_server import Listener
from headrace.streaming.process.metrics import CONTENT_TYPE, Metrics


class PortTaken(Transient):
    """Somebody else listens where the health server should."""


class Health:
    """What the loop last said of itself.

    `/livez` answers 200 while the loop has beaten within `silence_s`; `/readyz` answers 200 when `missing` is None,
    else 503 with what is missing. `clock` gives seconds.
    """

    def __init__(self, metrics: Metrics, clock: Callable[[], float], silence_s: float = 60.0) -> None:
        self.metrics = metrics
        self.clock = clock
        self.silence_s = silence_s
        self.missing: str | None = "starting"
        self.last_beat = clock()
        self._listener: Listener | None = None
        self._closed = threading.Event()

    def beat(self) -> None:
        """The loop goes round."""
        self.last_beat = self.clock()

    def silent_for(self) -> float:
        """Seconds since the last beat."""
        return self.clock() - self.last_beat

    def watch(self, on_silence: Callable[[], None]) -> None:
        """Call `on_silence`, on a thread of its own, once the loop has been silent for longer than `silence_s`.

        librdkafka has calls that can outlast their time-outs for ever (send_offsets_to_transaction, when the group's
        coordinator dies: librdkafka issues 5456 and 5511); only the end of the process ends them.
        """

        def watching() -> None:
            while self.silent_for() <= self.silence_s:
                self._closed.wait(self.silence_s / 20)
                if self._closed.is_set():
                    return
            on_silence()

        threading.Thread(target=watching, name="watchdog", daemon=True).start()

    def answer(self, path: str) -> tuple[int, str, bytes]:
        """(status, content type, body) for a path."""
        text = "text/plain; charset=utf-8"
        if path == "/metrics":
            return 200, CONTENT_TYPE, self.metrics.text()
        if path == "/livez":
            if self.silent_for() > self.silence_s:
                return 503, text, f"the loop has been silent for {self.silent_for():.0f} s\n".encode()
            return 200, text, b"alive\n"
        if path == "/readyz":
            if self.missing is not None:
                return 503, text, f"not ready: {self.missing}\n".encode()
            return 200, text, b"ready\n"
        return 404, text, b"try /livez, /readyz or /metrics\n"

    def serve(self, host: str, port: int) -> int:
        """Start answering; returns the port. PortTaken when nobody can listen there."""
        try:
            self._listener = Listener(host, port, self.answer)
        except OSError as error:
            raise PortTaken(
                f"cannot listen on {host} port {port}: {error.strerror or error}; set HEADRACE_PORT to a free one"
            ) from error
        return self._listener.port

    def close(self) -> None:
        """Stop answering and watching."""
        self._closed.set()
        if self._listener is not None:
            self._listener.close()
            self._listener = None
