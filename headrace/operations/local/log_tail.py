"""What was added to a growing file, by whole lines."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path


class Tail:
    """The lines of a file that nobody has asked for yet; a file that does not exist has none."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._at = 0
        self._rest = b""

    def lines(self, last: bool = False) -> Iterator[str]:
        """New lines; with `last`, also one that has no end yet."""
        if not self.path.exists():
            return
        with self.path.open("rb") as file:
            file.seek(self._at)
            more = file.read()
        self._at += len(more)
        *whole, self._rest = (self._rest + more).split(b"\n")
        if last and self._rest:
            whole, self._rest = [*whole, self._rest], b""
        for line in whole:
            yield line.decode(errors="replace")
