"""Aggregates in two stages: each partition folds its rows into parts, and whoever owns a key adds parts up.

A part says all that its source has folded so far, so the newest of a source replaces those before, and parts of
different sources add up: members may come and go, and a part that comes twice changes nothing.

What is aggregated is a kind: `Mergeable` where parts are only read, `PartKind` where they are told apart by keys,
`AggregateKind` where rows are folded as well. Stage one is `TumblingWindows`, stage two `GlobalAggregate`, the service
around both `TwoStageService`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Ints = npt.NDArray[np.int64]
Key = TypeVar("Key", bound=tuple[str, ...])
Told = TypeVar("Told")
Held = TypeVar("Held")


class Source(NamedTuple):
    """Who told a part: a topic's partition, and which of its parts on the same key, where it makes several."""

    topic: str
    partition: int
    generation: int


class ToldSums(NamedTuple):
    """What it told last: `next_offset` orders what the same source tells; `rows` is how many that is about."""

    next_offset: int
    payload: bytes
    rows: int = 0


class Mergeable(Protocol[Told]):
    """A kind of aggregate: parts merge in any order and any grouping to the same."""

    def merged(self, parts: Iterable[Told]) -> Told:
        """All parts as one; of none, the empty aggregate."""
        ...

    def pack(self, aggregate: Told) -> bytes:
        """As bytes."""
        ...

    def unpack(self, data: bytes) -> Told:
        """What `pack` took; ContractError for other bytes."""
        ...


class PartKind(Mergeable[Told], Protocol[Key, Told]):
    """A kind whose parts are told on a topic, each of one key and window.

    Attributes:
        names: what a key's strings are called in snapshots.
    """

    names: tuple[str, ...]

    def key(self, values: Iterable[str]) -> Key:
        """The key of these strings."""
        ...

    def keys(self, columns: pa.RecordBatch) -> tuple[Ints, list[Key]]:
        """A number for each row's key, int64, and the keys by number: of rows as of parts, by the same columns."""
        ...

    def record(self, key: Key) -> Mapping[str, Any]:
        """The columns of a part that hold its key."""
        ...

    def text(self, key: Key) -> str:
        """A name that no other key has; the partition of all its parts follows from it."""
        ...

    def rows(self, payload: bytes) -> int:
        """How many rows a packed aggregate is of."""
        ...


class AggregateKind(PartKind[Key, Told], Protocol[Key, Held, Told]):
    """A kind that rows are folded into. What is held of a window while rows come may be more than is told of it.

    Attributes:
        state: names of what is saved of a window, beside what all windows have.
    """

    state: tuple[str, ...]

    def empty(self) -> Held:
        """Of no rows."""
        ...

    def add(self, held: Held, columns: pa.RecordBatch, offsets: Ints, generation: int) -> Held:
        """With some more rows, and their offsets, int64; may change what it is given.

        Batches are cut anywhere, which must not show in what is told. `generation`: 0 for the first part of a window,
        more for what comes after one was given up.
        """
        ...

    def told(self, held: Held) -> Told:
        """What is told of it."""
        ...

    def save(self, held: Held) -> tuple[bytes, ...]:
        """All of it as bytes, in the order of `state`."""
        ...

    def load(self, saved: tuple[bytes, ...]) -> Held:
        """What `save` took."""
        ...


def take(told: dict[Source, ToldSums], source: Source, part: ToldSums) -> int | None:
    """Keep what a source told last, unless it is older than what is kept; rows added by it, None where it is older."""
    before = told.get(source)
    if before is not None and part.next_offset < before.next_offset:
        return None
    told[source] = part
    return part.rows - (before.rows if before is not None else 0)


def total(told: Mapping[Source, ToldSums], kind: Mergeable[Told]) -> Told:
    """What all sources tell, as one aggregate."""
    return kind.merged(kind.unpack(part.payload) for part in told.values())
