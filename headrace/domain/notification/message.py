"""What a person is told."""

from __future__ import annotations

from dataclasses import dataclass

LONGEST = 600
"""Characters of what happened: a message is read on a telephone."""


@dataclass(frozen=True, slots=True)
class Message:
    """A message.

    Attributes:
        severity: one of `SEVERITIES`.
        title: what happened, in a line.
        happened: the same with figures, in a sentence or two.
        command: what to type next; empty where there is nothing to do.
    """

    severity: str
    title: str
    happened: str
    command: str = ""

    def body(self, event_id: str) -> str:
        """All below the title; its last line says which event it tells of, so that a repeat is known."""
        what = self.happened if len(self.happened) <= LONGEST else self.happened[: LONGEST - 4] + " ..."
        return "\n".join(line for line in (what, self.command and f"> {self.command}", f"event {event_id}") if line)
