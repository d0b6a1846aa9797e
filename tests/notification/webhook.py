"""A receiver of messages on this machine, that does what it is told."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Webhook:
    """A receiver at 127.0.0.1.

    Attributes:
        received: bodies, in the order in which they came.
        answer: gives the status of each; may block.
    """

    def __init__(self) -> None:
        self.received: list[dict[str, Any]] = []
        self.answer: Callable[[], int] = lambda: 200

    @contextmanager
    def at(self, port: int = 0) -> Iterator[int]:
        """Listen; gives the port."""
        webhook = self

        class Handler(BaseHTTPRequestHandler):
            """Takes messages."""

            def do_POST(self) -> None:
                """Take one."""
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                webhook.received.append(body)
                status = webhook.answer()
                with suppress(OSError):  # Whoever waited may have left.
                    self.send_response(status)
                    self.send_header("Content-Length", "0")
                    self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                """Say nothing."""

        server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()
            server.server_close()
