"""What members log and how they end, line by line with their names."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from headrace.operations.local.fleet import Fleet, MemberState
from headrace.operations.local.log_tail import Tail
from headrace.operations.local.supervisor import DRAINED, ended, outcome

COLOURS = ("cyan", "green", "magenta", "yellow", "blue", "bright_cyan", "bright_green", "bright_magenta")


class MemberLines:
    """Lines of members on a console.

    Args:
        names: of all members.
        to_files: they log elsewhere, so that only their ends are told here.
    """

    def __init__(self, console: Console, names: Sequence[str], to_files: bool) -> None:
        self.console = console
        self.to_files = to_files
        self.width = max(map(len, names))
        self.colours = {name: COLOURS[number % len(COLOURS)] for number, name in enumerate(names)}
        self.tails: dict[str, Tail] = {}

    def tell(self, fleet: Fleet, gone: Sequence[MemberState], last: bool) -> None:
        """What members logged since, and which ended."""
        for name in () if self.to_files else self.colours:
            tail = self.tails.setdefault(name, Tail(fleet.directory / f"{name}.log"))
            for line in tail.lines(last):
                self.say(name, line)
        for state in gone:
            self.say(state.name, f"ended: {ended(state.fate, fleet.clock())}")

    def conclude(self, states: Sequence[MemberState]) -> None:
        """Say how each member ended; in a line where all drained, as they should."""
        if all(state.fate.code == DRAINED and not state.fate.restarts for state in states):
            self.console.print(f"all {len(states)} drained" if len(states) > 1 else "drained", style="dim")
            return
        for state in states:
            self.say(state.name, outcome(state.fate))

    def say(self, name: str, line: str) -> None:
        """A line of one member."""
        text = Text(f"{name:<{self.width}} | ", style=self.colours[name])
        self.console.print(text + Text.from_ansi(line), highlight=False)
