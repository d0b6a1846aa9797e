"""Messages on their way to a channel: of one event, or of several that came often."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from headrace.domain.notification.texts import folded_body, folded_title, worst


@dataclass(frozen=True, slots=True)
class LetterEvent:
    """An event as a channel is told of it; `body` is empty where only its title is kept."""

    event_id: str
    happened: int
    severity: str
    title: str
    body: str = ""


@dataclass(slots=True)
class Letter:
    """A message.

    Attributes:
        kind: of its events; empty for several kinds.
        due: from when on it may be sent, milliseconds.
        folded: whether it tells of all its events in short; else it has one.
        events: in the order in which they came.
    """

    kind: str
    due: int
    folded: bool
    events: list[LetterEvent] = field(default_factory=list)

    def identity(self, channel: str) -> str:
        """The same for the same events, whoever sends it."""
        return f"{channel}/{self.events[0].event_id}" + ("/folded" if self.folded else "")

    def told(self, channel: str, pipeline: str) -> dict[str, Any]:
        """What a channel is told, as records have it, but for what comes of it."""
        first, last = self.events[0], self.events[-1]
        title, body = first.title, first.body
        if self.folded:
            titles = [event.title for event in self.events]
            title = folded_title(pipeline, self.kind, len(titles))
            body = folded_body(pipeline, self.kind, titles, first.event_id, last.event_id)
        return {
            "channel": channel,
            "message_id": self.identity(channel),
            "event_id": first.event_id,
            "kind": self.kind,
            "happened": first.happened,
            "severity": worst([event.severity for event in self.events]),
            "title": title,
            "body": body,
            "count": len(self.events),
        }

    def plain(self) -> dict[str, Any]:
        """As JSON has it."""
        events = [[e.event_id, e.happened, e.severity, e.title, e.body] for e in self.events]
        return {"kind": self.kind, "due": self.due, "folded": self.folded, "events": events}


def letter_of(said: Mapping[str, Any]) -> Letter:
    """The inverse of `plain`."""
    return Letter(said["kind"], said["due"], said["folded"], [LetterEvent(*each) for each in said["events"]])
