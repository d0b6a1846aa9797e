"""What librdkafka logs, as our log: each fact once. By itself it writes to stderr, a line for every retry."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable

import structlog

from headrace.streaming.process.logs import logger

QUIET_S = 600.0
"""A fact that was not heard for so long is news again."""
_WORDS = r"(?:[^()]|\(s\))*"
_VARYING = re.compile(rf"\s*\({_WORDS}(?:\d+ ?ms|identical error){_WORDS}\)|^\[thrd:[^\]]*\]: ")
"""What differs from one retry to the next: for how long, how often, and who says it."""
_log = logger("librdkafka")


class LibraryLog:
    """What `logger` of a client wants: an object with `log`. Shared by the clients of a process, it says a fact once.

    Args:
        clock: seconds, monotonic.
        tell: takes (kind, text) of what is news.

    >>> log = LibraryLog(lambda: 0.0, lambda kind, text: print(f"{kind}: {text}"))
    >>> suppressed = "h:1: refused (after 50ms in state CONNECT, 1 identical error(s) suppressed)"
    >>> for text in ("h:1: refused (after 0ms in state CONNECT)", suppressed):
    ...     log.log(40, "%s [%s] %s", "FAIL", "rdkafka#consumer-1", f"[thrd:h:1/bootstrap]: {text}")
    FAIL: h:1: refused
    """

    def __init__(self, clock: Callable[[], float], tell: Callable[[str, str], None]) -> None:
        self._clock = clock
        self._tell = tell
        self._heard: dict[tuple[str, str], float] = {}

    def log(self, level: int, form: str, kind: str, client: str, text: str) -> None:
        """A line of the library's, as it calls a logger of Python's."""
        fact, now = (kind, _VARYING.sub("", text)), self._clock()
        before = self._heard.get(fact)
        self._heard[fact] = now
        if before is None or now - before > QUIET_S:
            self._tell(*fact)


def tell(kind: str, text: str) -> None:
    """In the structured log of a service; a command, which has none, says it in a line on stderr."""
    if structlog.is_configured():
        _log.warning("librdkafka", kind=kind, says=text)
    else:
        sys.stderr.write(f"Kafka: {text} ({kind})\n")
