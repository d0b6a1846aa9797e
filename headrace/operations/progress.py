"""How operations tell how far they are."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

Advance = Callable[[int], None]
"""Is told how many more are done."""
Say = Callable[[str], None]
"""Is told what is done next."""


class ProgressView(Protocol):
    """Where an operation says what it is doing; see `cli.render.progress` for a terminal."""

    def count(self, what: str, total: int | None) -> AbstractContextManager[Advance]:
        """Inside, things are done one by one: `total` of them, where that is known."""

    def stage(self, what: str) -> AbstractContextManager[Say]:
        """Inside, something takes a while."""


class Silent:
    """Progress that nobody looks at."""

    def count(self, what: str, total: int | None) -> AbstractContextManager[Advance]:
        """As `ProgressView.count`."""
        return nullcontext(lambda _: None)

    def stage(self, what: str) -> AbstractContextManager[Say]:
        """As `ProgressView.stage`."""
        return nullcontext(lambda _: None)
