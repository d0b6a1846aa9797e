"""The demo's live part on a screen: what members say of themselves, and the picture that is drawn of it."""

from __future__ import annotations

import time

from rich.console import Console
from rich.live import Live

from headrace.cli.render.demo.dashboard import line_of, panel_of
from headrace.operations.demo.picture import Picture

LINE_EVERY_S = 5.0


class Screen:
    """A panel that redraws itself on a terminal; elsewhere a line every few seconds."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.live = Live(console=console, auto_refresh=False) if console.is_terminal else None
        self.last = time.monotonic()

    def __enter__(self) -> Screen:
        if self.live is not None:
            self.live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.live is not None:
            self.live.stop()

    def show(self, picture: Picture) -> None:
        """Draw it, or say it when it is time for a line."""
        if self.live is not None:
            self.live.update(panel_of(picture), refresh=True)
        elif time.monotonic() - self.last >= LINE_EVERY_S:
            self.last = time.monotonic()
            self.console.print(line_of(picture), soft_wrap=True, highlight=False, markup=False)
