"""Stage two of an aggregate in two stages: what every source tells of the keys that one partition of parts is about."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Generic

import pyarrow as pa

from headrace.columnar.arrow_stream import stream, streamed
from headrace.domain.aggregations.two_stage import Key, Mergeable, PartKind, Source, Told, ToldSums, take, total

LEAST, SHARE = 8, 100
"""Windows that stand apart at the end count as time that has come once they hold so many rows, and so large a part of
what a window holds on average, one in SHARE."""


@dataclass(slots=True)
class GlobalWindow(Generic[Told]):
    """All that was told of one key in one window.

    Attributes:
        told: by source; parts of different sources add up.
        dirty: whether that changed since somebody followed from it what there is to follow.
        rows: that all parts are of.
        known: what `total` gave, while somebody keeps it here.
        complete: whether nothing more is awaited, in the eyes of who looked; None: nobody did since it changed.
        past: whether a later window had begun when somebody followed from it; None: nobody did.
        owed: whether what takes longer is still to follow.
        memo: what that was, in bytes that say what they follow from: they outlive a process, and are no state.
    """

    told: dict[Source, ToldSums] = field(default_factory=dict)
    dirty: bool = True
    rows: int = 0
    known: Told | None = None
    complete: bool | None = None
    past: bool | None = None
    owed: bool = False
    memo: bytes = b""

    def take(self, source: Source, part: ToldSums) -> None:
        """Keep what a source told last."""
        rows = take(self.told, source, part)
        if rows is not None:
            self.rows += rows
            self.dirty, self.known, self.complete = True, None, None

    def total(self, kind: Mergeable[Told]) -> Told:
        """What all sources tell, as one aggregate."""
        return total(self.told, kind)


def reached(rows: Mapping[int, int], apart: int) -> int | None:
    """The start of the newest window of a key, as far as many rows say so; None while too few do.

    A few events dated ahead make windows of their own, apart from the others: they are windows like all, but no
    time that has come.

    Args:
        rows: of each window, by its start in milliseconds.
        apart: milliseconds between two starts beyond which they stand apart.

    >>> reached({0: 100, 10: 100, 90: 3}, apart=10), reached({0: 5}, apart=10)
    (10, None)
    """
    starts = sorted(rows, reverse=True)
    enough = max(LEAST, sum(rows.values()) // max(SHARE * len(rows), 1))
    head, there = 0, 0
    for place, start in enumerate(starts):
        if place and starts[place - 1] - start > apart:
            head, there = place, 0
        there += rows[start]
        if there >= enough:
            return starts[head]
    return None


class GlobalAggregate(Generic[Key, Told]):
    """State of one partition of the parts: by key, by window.

    Parameters:
        kind: what parts are of.
        keep: milliseconds; windows that are older than a key's newest by more are forgotten, and what comes for them
            is left out. None: all are kept. A few events dated ahead make no newest window (`reached`).
        apart: see `reached`.

    Attributes:
        windows: by key, by start in milliseconds.
    """

    def __init__(self, kind: PartKind[Key, Told], keep: int | None = None, apart: int = 86_400_000) -> None:
        self._kind = kind
        self._keep, self._apart = keep, apart
        self.windows: dict[Key, dict[int, GlobalWindow[Told]]] = {}

    def fold(self, columns: pa.RecordBatch) -> int:
        """Take parts up in their order; how many came too late to be."""
        late = 0
        starts = columns.column("window_start").cast(pa.int64()).to_pylist()
        codes, known = self._kind.keys(columns)
        rest = columns.select(["source", "source_partition", "generation", "next_offset", "payload"])
        for start, code, row in zip(starts, codes.tolist(), rest.to_pylist(), strict=True):  # each is of many rows
            late += not self._take(known[code], start, row)
        return late

    def _take(self, key: Key, start: int, row: Mapping[str, Any]) -> bool:
        windows = self.windows.setdefault(key, {})
        before = None if self._keep is None else self.newest(key)
        if self._keep is not None and before is not None and start < before - self._keep:
            return False
        source = Source(row["source"], row["source_partition"], row["generation"])
        self._put(windows, start, source, row)
        if self._keep is not None:
            newest = self.newest(key)
            if newest is not None and newest != before:
                for old in [old for old in windows if old < newest - self._keep]:
                    del windows[old]
        return True

    def _put(self, windows: dict[int, GlobalWindow[Told]], start: int, source: Source, row: Mapping[str, Any]) -> None:
        payload = row["payload"]
        part = ToldSums(row["next_offset"], payload, self._kind.rows(payload))
        windows.setdefault(start, GlobalWindow()).take(source, part)

    def newest(self, key: Key) -> int | None:
        """The start of a key's newest window, as far as many rows say so."""
        return reached({start: window.rows for start, window in self.windows.get(key, {}).items()}, self._apart)

    def changed(self) -> bool:
        """Whether any window changed from which something follows, or something is owed."""
        return any(window.dirty or window.owed for windows in self.windows.values() for window in windows.values())

    def owes(self) -> bool:
        """Whether anything is owed."""
        return any(window.owed for windows in self.windows.values() for window in windows.values())

    def snapshot(self) -> bytes:
        """The state as bytes."""
        memos = any(window.memo for windows in self.windows.values() for window in windows.values())
        rows = [
            {
                **dict(zip(self._kind.names, key, strict=True)),
                "window": start,
                "topic": source.topic,
                "partition": source.partition,
                "generation": source.generation,
                "next_offset": told.next_offset,
                "payload": told.payload,
                **({"memo": window.memo} if memos else {}),
            }
            for key, windows in self.windows.items()
            for start, window in windows.items()
            for source, told in window.told.items()
        ]
        schema = pa.schema(
            {
                **{name: pa.string() for name in self._kind.names},
                "window": pa.int64(),
                "topic": pa.string(),
                "partition": pa.int32(),
                "generation": pa.int64(),
                "next_offset": pa.int64(),
                "payload": pa.binary(),
                **({"memo": pa.binary()} if memos else {}),
            }
        )
        return stream(pa.Table.from_pylist(rows, schema=schema))

    def load(self, data: bytes) -> None:
        """Take over what `snapshot` gave; all of it counts as changed."""
        for row in streamed(data).to_pylist():
            key = self._kind.key(row[name] for name in self._kind.names)
            source = Source(row["topic"], row["partition"], row["generation"])
            self._put(self.windows.setdefault(key, {}), row["window"], source, row)
            self.windows[key][row["window"]].memo = row.get("memo") or b""
