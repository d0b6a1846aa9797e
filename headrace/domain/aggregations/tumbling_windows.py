"""Stage one of an aggregate in two stages: one partition's rows as parts, by tumbling window and key."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple

import numpy as np
import pyarrow as pa

from headrace.columnar.arrow_stream import stream, streamed
from headrace.domain.aggregations.two_stage import AggregateKind, Held, Ints, Key, Told
from headrace.streaming.watermarks.event_time import NEVER, Clock


class PartPlace(NamedTuple, Generic[Key]):
    """What a part is about: a window (its start, ms), its key, and when it was begun (see `TumblingWindows`)."""

    window: int
    key: Key
    generation: int


@dataclass(frozen=True, slots=True)
class WindowSpan:
    """How long windows are and for how long they are waited for, milliseconds.

    Attributes:
        length: of a window; windows begin at its multiples.
        keep: a window is given up once event time has passed its end by so much.
    """

    length: int
    keep: int

    def given_up(self, reached: int, window: int, generation: int) -> bool:
        """Whether no row can come any more for what is about a window: the next one would be of another generation."""
        return (reached - window - self.length) // self.keep > generation


@dataclass(slots=True)
class _Open(Generic[Held]):
    """What is held of one place, and whether that changed since it was told."""

    held: Held
    dirty: bool = True


class TumblingWindows(Generic[Key, Held, Told]):
    """State of one source partition. A pure fold of its rows, wherever batches are cut.

    A window is given up once event time has passed its end by `keep`; event time is what most of the newest rows agree
    on (`event_time`), so no event dated ahead gives up windows. What comes for it later (a label corrected after weeks)
    begins a part of a next generation, which adds to those before. So memory is bounded by the windows within `keep`,
    and nothing that comes is left out.

    Parameters:
        kind: what rows are folded into.
        span: of the windows.
    """

    def __init__(self, kind: AggregateKind[Key, Held, Told], span: WindowSpan) -> None:
        self._kind = kind
        self._span = span
        self._parts: dict[PartPlace[Key], _Open[Held]] = {}
        self._clock = Clock()
        self.next_offset = 0

    def __len__(self) -> int:
        """How many parts are held."""
        return len(self._parts)

    def fold(self, columns: pa.RecordBatch, offsets: Ints) -> None:
        """Fold rows in their order: columns with an `event_time` among them, and each row's offset, int64."""
        times = columns.column("event_time").cast(pa.int64()).to_numpy()
        windows = times // self._span.length * self._span.length
        generations = np.maximum((self._reached(times, offsets) - windows - self._span.length) // self._span.keep, 0)
        self.next_offset = int(offsets[-1]) + 1
        codes, known = self._kind.keys(columns)
        found, which = np.unique(np.stack([windows, codes, generations], axis=1), axis=0, return_inverse=True)
        for number, (window, code, generation) in enumerate(found.tolist()):
            rows = np.flatnonzero(which.ravel() == number)
            part = columns if len(rows) == len(offsets) else columns.take(pa.array(rows))
            place = PartPlace(window, known[code], generation)
            held = self._parts[place].held if place in self._parts else self._kind.empty()
            self._parts[place] = _Open(self._kind.add(held, part, offsets[rows], generation))
        for place in [place for place, part in self._parts.items() if self._over(place) and not part.dirty]:
            del self._parts[place]

    def published(self) -> Iterator[tuple[PartPlace[Key], bytes]]:
        """Every part that changed since it was last given, packed; those that are given up are forgotten with it."""
        for place, part in list(self._parts.items()):
            if part.dirty:
                part.dirty = False
                yield place, self._kind.pack(self._kind.told(part.held))
            if self._over(place):
                del self._parts[place]

    def changed(self) -> bool:
        """Whether `published` would give any part."""
        return any(part.dirty for part in self._parts.values())

    def _reached(self, times: Ints, offsets: Ints) -> Ints:
        """How far event time had come before each row."""
        return self._clock.before_each(times, offsets, self._span.keep)[0]

    def _over(self, place: PartPlace[Key]) -> bool:
        return self._span.given_up(self._clock.firm, place.window, place.generation)

    def snapshot(self) -> bytes:
        """The state as bytes."""
        kind = self._kind
        rows: list[dict[str, Any]] = [
            {
                "window": place.window,
                **dict(zip(kind.names, place.key, strict=True)),
                "generation": place.generation,
                **dict(zip(kind.state, kind.save(part.held), strict=True)),
                "next_offset": self.next_offset,
            }
            for place, part in self._parts.items()
        ]
        if not rows:  # what is remembered of a partition without parts
            rows = [{"window": None, "next_offset": self.next_offset}]
        rows[0]["clock"] = self._clock.state.tobytes()
        return stream(pa.Table.from_pylist(rows, schema=snapshot_schema(kind.names, kind.state)))

    def load(self, data: bytes) -> None:
        """Take over what `snapshot` gave. What was published before is not known, so all is published again."""
        kind = self._kind
        for row in streamed(data).to_pylist():
            self.next_offset = row["next_offset"]
            if row.get("clock"):
                self._clock = Clock(np.frombuffer(row["clock"], np.int64))
            elif row.get("progress", NEVER) > self._clock.firm:  # an earlier version took the largest time
                self._clock = Clock.at(row["progress"])
            if row["window"] is not None:
                key = kind.key(row[name] for name in kind.names)
                held = kind.load(tuple(row[name] for name in kind.state))
                self._parts[PartPlace(row["window"], key, row["generation"])] = _Open(held)


def snapshot_schema(names: Iterable[str], state: Iterable[str]) -> pa.Schema:
    """Of the table that a snapshot is: a row a part, or one without a window where there is none."""
    return pa.schema(
        {
            "window": pa.int64(),
            **{name: pa.string() for name in names},
            "generation": pa.int64(),
            **{name: pa.binary() for name in state},
            "next_offset": pa.int64(),
            "clock": pa.binary(),
        }
    )
