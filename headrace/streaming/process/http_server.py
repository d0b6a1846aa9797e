"""A small HTTP server for probes and scrapers: one thread, few connections, none for long.

It reads no bodies, keeps no connection and answers GET and HEAD (RFC 9110, 9112). Whoever is slow, or many, costs
nobody else anything: a request has to be there within `DEADLINE_S`, and beyond `MOST` connections the one that has
waited longest makes room.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from http import HTTPStatus
from typing import Any

MOST = 64
"""Connections at a time."""
DEADLINE_S = 5.0
"""From the first byte to the last of an answer."""
LONGEST = 16_384
"""Bytes of a request: its line and its headers."""

Answer = tuple[int, str, bytes]
_TEXT = "text/plain; charset=utf-8"


class Listener:
    """Answers on a thread of its own, from when it is made until it is closed.

    Args:
        host, port: where to listen; port 0 lets the system choose.
        answer: (status, content type, body) for a path.
        deadline_s: seconds that a connection may last.

    Attributes:
        port: where it listens.

    Raises:
        OSError: nobody can listen there.
    """

    def __init__(self, host: str, port: int, answer: Callable[[str], Answer], deadline_s: float = DEADLINE_S) -> None:
        self._answer = answer
        self._deadline_s = deadline_s
        self._open: dict[asyncio.Task[None], None] = {}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="health", daemon=True)
        self._thread.start()
        try:
            self._server = self._do(asyncio.start_server(self._connected, host, port, limit=LONGEST))
        except BaseException:
            self._end()
            raise
        self.port = int(self._server.sockets[0].getsockname()[1])

    def close(self) -> None:
        """Stop listening, and drop whoever is connected."""
        self._do(self._shut())
        self._end()

    def _do(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def _end(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _shut(self) -> None:
        self._server.close()
        for task in list(self._open):
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        if len(self._open) >= MOST:
            oldest = next(iter(self._open))
            oldest.cancel()
            self._open.pop(oldest)
        self._open[task] = None
        try:
            # Who is gone, slow, or had to make room gets no answer.
            with suppress(OSError, TimeoutError, asyncio.CancelledError):
                async with asyncio.timeout(self._deadline_s):
                    await self._serve(reader, writer)
        finally:
            self._open.pop(task, None)
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            request = await reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError:
            return
        except asyncio.LimitOverrunError:
            status, kind, body, head = 431, _TEXT, b"the request is too long\n", False
        else:
            (status, kind, body), head = self._answered(request)
        lines = [
            f"HTTP/1.1 {status} {HTTPStatus(status).phrase}",
            f"Content-Type: {kind}",
            f"Content-Length: {len(body)}",
            "Connection: close",
            *(["Allow: GET, HEAD"] if status == HTTPStatus.METHOD_NOT_ALLOWED else []),
        ]
        writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + (b"" if head else body))
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    def _answered(self, request: bytes) -> tuple[Answer, bool]:
        """The answer, and whether its body is left out."""
        parts = request.partition(b"\r\n")[0].decode("latin-1").split(" ")
        if len(parts) != 3 or not parts[2].startswith("HTTP/1."):
            return (400, _TEXT, b"this is no HTTP/1.1 request\n"), False
        method, target, _ = parts
        if method not in ("GET", "HEAD"):
            return (405, _TEXT, b"only GET and HEAD are answered\n"), False
        return self._answer(target.partition("?")[0]), method == "HEAD"
