"""One partition as a broker keeps it: records and markers by offset, and what of them a reader may see."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from confluent_kafka import Message

Headers = list[tuple[str, bytes | None]]


@dataclass(eq=False, slots=True)
class Transaction:
    """One transaction of a producer.

    Attributes:
        name: its transactional id.
        started: when its first partition was added, seconds.
        logs: partitions that it wrote to.
        offsets: what it commits, by (group, topic, partition): (offset, metadata).
        taken: when the broker took each of them, by a count of what it took.
        outcome: True committed, False aborted, None while it is open.
        unmarked: where its end is decided and not told yet.
    """

    name: str
    producer: int
    epoch: int
    started: float
    logs: dict[Log, None] = field(default_factory=dict)
    offsets: dict[tuple[str, str, int], tuple[int, str]] = field(default_factory=dict)
    taken: dict[tuple[str, str, int], int] = field(default_factory=dict)
    outcome: bool | None = None
    unmarked: list[Log | None] = field(default_factory=list)


@dataclass(eq=False, slots=True)
class Entry:
    """A record; or, with `control`, the marker that ends a transaction."""

    key: bytes | None
    value: bytes | None
    headers: Headers
    timestamp: int
    transaction: Transaction | None
    control: bool = False


class Log:
    """A partition. Offsets are places in `entries`; None is left where compaction took a record.

    Attributes:
        start: the first offset that retention left.
        open: transactions with records here and no marker yet, with the offset of their first.
    """

    def __init__(self, topic: str, partition: int) -> None:
        self.topic = topic
        self.partition = partition
        self.entries: list[Entry | None] = []
        self.start = 0
        self.open: dict[Transaction, int] = {}

    @property
    def end(self) -> int:
        """The offset of the next record: the high watermark."""
        return len(self.entries)

    @property
    def stable(self) -> int:
        """The last stable offset: below it no transaction is open."""
        return min(self.open.values()) if self.open else len(self.entries)

    def append(
        self,
        key: bytes | None,
        value: bytes | None,
        headers: Headers,
        timestamp: int,
        transaction: Transaction | None = None,
    ) -> int:
        """Write a record; returns its offset."""
        offset = len(self.entries)
        self.entries.append(Entry(key, value, headers, timestamp, transaction))
        if transaction is not None and transaction not in self.open:
            self.open[transaction] = offset
        return offset

    def mark(self, transaction: Transaction, timestamp: int) -> None:
        """Write the marker that ends a transaction here."""
        self.entries.append(Entry(None, None, [], timestamp, transaction, control=True))
        self.open.pop(transaction, None)

    def read(self, position: int, most: int, committed: bool) -> tuple[list[tuple[int, Entry]], int]:
        """Up to `most` visible records from a position on, and the position behind them and what is not visible."""
        found: list[tuple[int, Entry]] = []
        end = self.stable if committed else len(self.entries)
        while position < end and len(found) < most:
            entry = self.entries[position]
            if entry is not None and not entry.control and self._counts(entry, committed):
                found.append((position, entry))
            position += 1
        while position < end:
            entry = self.entries[position]
            if entry is not None and not entry.control and self._counts(entry, committed):
                break
            position += 1
        return found, position

    def visible(self, committed: bool = True) -> Iterator[tuple[int, Entry]]:
        """All records that a reader may see, with their offsets."""
        yield from self.read(self.start, len(self.entries), committed)[0]

    def last(self) -> int | None:
        """The offset of the last record that can be read; None where there is none."""
        for offset in range(self.stable - 1, self.start - 1, -1):
            entry = self.entries[offset]
            if entry is not None and not entry.control and self._counts(entry, committed=True):
                return offset
        return None

    def history(self) -> list[tuple[int, Entry]]:
        """All records that could ever be read, with their offsets; also those that retention took."""
        return self.read(0, len(self.entries), committed=True)[0]

    def compact(self) -> None:
        """Keep the newest committed record of each key, and none of aborted transactions; never touch what is open."""
        newest: dict[bytes | None, int] = {}
        for offset in range(self.start, self.stable):
            entry = self.entries[offset]
            if entry is None or entry.control:
                continue
            if not self._counts(entry, committed=True):
                self.entries[offset] = None
                continue
            if entry.key in newest:
                self.entries[newest[entry.key]] = None
            newest[entry.key] = offset

    def cut(self, start: int) -> None:
        """Retention: forget all below an offset."""
        self.start = max(self.start, min(start, self.stable))

    @staticmethod
    def _counts(entry: Entry, committed: bool) -> bool:
        return not committed or entry.transaction is None or entry.transaction.outcome is True

    def message(self, offset: int, entry: Entry) -> Message:
        """As a consumer is given it."""
        return Message(
            topic=self.topic,
            partition=self.partition,
            offset=offset,
            key=entry.key,
            value=entry.value,
            headers=list(entry.headers),
            timestamp=(1, entry.timestamp),
        )
