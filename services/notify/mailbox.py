"""What each channel has yet to be told: a fold of the topic of notifications.

Of a kind of event, a channel is told the first `DIRECT` within a window at once; those that follow are told in one
message at its end. So a storm is a few messages, and nothing in it is left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from headrace.domain.records.notifications import AGAIN, DUE
from services.notify.letters import Letter, LetterEvent, letter_of

DIRECT = 3
REMEMBERED = 10_000
"""Events of each channel by which a repeat is known."""
LARGEST = 1_000
"""Events in one message."""


@dataclass(slots=True)
class FoldWindow:
    """How often a kind came since a window began.

    Attributes:
        ends: milliseconds.
        direct: messages of single events in it.
        letter: those that are told at its end.
    """

    ends: int
    direct: int = 0
    letter: Letter | None = None


@dataclass(slots=True)
class ChannelQueue:
    """What one channel has yet to be told.

    Attributes:
        known: identities of the newest events that it was to be told of, the oldest first.
        waiting: messages that are complete.
        windows: by kind.
    """

    known: dict[str, None] = field(default_factory=dict)
    waiting: list[Letter] = field(default_factory=list)
    windows: dict[str, FoldWindow] = field(default_factory=dict)

    def take(self, event: LetterEvent, kind: str, at: int, fold: int, direct: int) -> None:
        """Take up an event that came at a time; one that is known changes nothing."""
        if event.event_id in self.known:
            return
        self.known[event.event_id] = None
        if len(self.known) > REMEMBERED:
            del self.known[next(iter(self.known))]
        window = self.windows.get(kind)
        if window is None or at >= window.ends:
            self._close(window)
            window = self.windows[kind] = FoldWindow(at + fold)
        if window.direct < direct:
            window.direct += 1
            self.waiting.append(Letter(kind, at, False, [event]))
            return
        if window.letter is not None and len(window.letter.events) >= LARGEST:
            self.waiting.append(window.letter)
            window.letter = None
        window.letter = window.letter or Letter(kind, window.ends, True)
        short = LetterEvent(event.event_id, event.happened, event.severity, event.title)
        window.letter.events.append(short)

    def again(self, event: LetterEvent, kind: str, at: int, channel: str) -> None:
        """Take up a message that a person wants sent once more; one that waits already does so once."""
        letter = Letter(kind, at, False, [event])
        if all(waiting.identity(channel) != letter.identity(channel) for waiting in self.waiting):
            self.waiting.append(letter)

    def _close(self, window: FoldWindow | None) -> None:
        if window is not None and window.letter is not None:
            self.waiting.append(window.letter)
            window.letter = None

    def offers(self, now: int) -> Iterator[Letter]:
        """What may be sent, in order."""
        yield from self.waiting
        yield from (w.letter for w in self.windows.values() if w.letter is not None and w.ends <= now)

    def end(self, channel: str, message_id: str, count: int, at: int, fold: int) -> None:
        """A message came to its end; of a folded one, events behind the first `count` are still to be told."""
        for place, waiting in enumerate(self.waiting):
            if waiting.identity(channel) == message_id:
                del waiting.events[:count]
                if not waiting.events:
                    del self.waiting[place]
                return
        for window in self.windows.values():
            letter = window.letter
            if letter is not None and letter.identity(channel) == message_id:
                del letter.events[:count]
                window.letter = letter if letter.events else None
                letter.due = window.ends = max(window.ends, at + fold) if letter.events else window.ends
                return


class Mailbox:
    """What all channels have yet to be told.

    Args:
        fold: length of windows, milliseconds.
        within: milliseconds; older events are told together.
    """

    def __init__(self, fold: int, within: int) -> None:
        self._fold = fold
        self._within = within
        self.queues: dict[str, ChannelQueue] = {}

    def take(self, row: Mapping[str, Any]) -> None:
        """Take up a record; one that came before changes nothing. Times are milliseconds."""
        queue = self.queues.setdefault(row["channel"], ChannelQueue())
        if row["step"] not in (DUE, AGAIN):
            queue.end(row["channel"], row["message_id"], row["count"], row["time"], self._fold)
            return
        event = LetterEvent(row["event_id"], row["happened"], row["severity"], row["title"], row["body"])
        if row["step"] == AGAIN:
            queue.again(event, row["kind"], row["time"], row["channel"])
            return
        old = row["time"] - row["happened"] > self._within
        queue.take(event, "" if old else row["kind"], row["time"], self._fold, 0 if old else DIRECT)

    def plain(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            name: {
                "known": [*queue.known],
                "waiting": [letter.plain() for letter in queue.waiting],
                "windows": {
                    kind: [window.ends, window.direct, window.letter and window.letter.plain()]
                    for kind, window in queue.windows.items()
                },
            }
            for name, queue in self.queues.items()
        }

    def restore(self, said: Mapping[str, Any]) -> None:
        """Become what `plain` said."""
        self.queues = {
            name: ChannelQueue(
                dict.fromkeys(queue["known"]),
                [letter_of(each) for each in queue["waiting"]],
                {
                    kind: FoldWindow(ends, direct, letter and letter_of(letter))
                    for kind, (ends, direct, letter) in queue["windows"].items()
                },
            )
            for name, queue in said.items()
        }
