"""Aggregates in two stages: each partition folds its rows into a part, and whoever owns a key adds parts up.

A part says all that its source has folded so far, so the newest of a source replaces those before, and parts of
different sources add up: members may come and go, and a part that comes twice changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple, Protocol, TypeVar

Aggregate = TypeVar("Aggregate")


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


class Mergeable(Protocol[Aggregate]):
    """A kind of aggregate: parts merge in any order and any grouping to the same."""

    def merged(self, parts: Iterable[Aggregate]) -> Aggregate:
        """All parts as one; of none, the empty aggregate."""
        ...

    def pack(self, aggregate: Aggregate) -> bytes:
        """As bytes."""
        ...

    def unpack(self, data: bytes) -> Aggregate:
        """What `pack` took; ContractError for other bytes."""
        ...


def take(told: dict[Source, ToldSums], source: Source, part: ToldSums) -> int | None:
    """Keep what a source told last, unless it is older than what is kept; rows added by it, None where it is older."""
    before = told.get(source)
    if before is not None and part.next_offset < before.next_offset:
        return None
    told[source] = part
    return part.rows - (before.rows if before is not None else 0)


def total(told: dict[Source, ToldSums], kind: Mergeable[Aggregate]) -> Aggregate:
    """What all sources tell, as one aggregate."""
    return kind.merged(kind.unpack(part.payload) for part in told.values())
