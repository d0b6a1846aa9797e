"""What is committed of a partition: an offset, and what travels in its metadata."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from operator import index
from typing import Any

from headrace.errors import ContractError

Lie = tuple[int, int]
"""(partition, offset) of a record in the checkpoints topic."""


@dataclass(frozen=True, slots=True)
class CheckpointPlace:
    """Where a checkpoint lies.

    Attributes:
        at: the checkpoint is the fold of all records below this offset.
        chunks: its records, in order; of one that is indexed its index alone, which names them.
        half: which of a partition's two sets of keys they have (see `checkpoints`).
        indexed: whether `chunks` is the place of an index.
        since: the records below it were written for another number of partitions: no state can be built from them.
    """

    at: int
    chunks: tuple[Lie, ...]
    half: int = 0
    indexed: bool = False
    since: int = 0


@dataclass(frozen=True, slots=True)
class Commitment:
    """A committed offset with what rides in its metadata, so that all of it changes in one transaction.

    Attributes:
        offset: every record below it was answered.
        admitted: every record below it was admitted (its early outputs and dead letters are out); >= offset.
        place: the newest checkpoint, at or below `offset`.
        begun: where its log began when its state did; said until there is a checkpoint.
        silent: records below `offset` were folded alone: another group answers them, which this one follows.
        ended: the group that answers from `offset` on; empty while this one does.
        told: below it records were admitted by this group itself, which had outputs of its own to write then; None:
            all that were admitted. Those above were admitted by the group before.
    """

    offset: int
    admitted: int
    place: CheckpointPlace | None = None
    begun: int | None = None
    silent: bool = False
    ended: str = ""
    told: int | None = None

    def metadata(self) -> str:
        """JSON for the committed offset's metadata; empty when the offset says it all."""
        spoken: dict[str, Any] = {}
        if self.admitted > self.offset:
            spoken["admitted"] = self.admitted
        if self.place:
            spoken["checkpoint"] = self.place.at
            spoken["index" if self.place.indexed else "chunks"] = runs_of(self.place.chunks)
            if self.place.half:
                spoken["half"] = self.place.half
            if self.place.since:
                spoken["since"] = self.place.since
        elif self.begun is not None:
            spoken["begun"] = self.begun
        if self.silent:
            spoken["silent"] = True
        if self.ended:
            spoken["ended"] = self.ended
        if self.told is not None:
            spoken["told"] = self.told
        return json.dumps(spoken, separators=(",", ":")) if spoken else ""

    @classmethod
    def read(cls, offset: int, metadata: str | None) -> Commitment:
        """The inverse of `metadata`; ContractError for what we did not write."""
        if not metadata:
            return cls(offset, offset)
        try:
            spoken: dict[str, Any] = dict(json.loads(metadata))
            place = None
            if "checkpoint" in spoken:
                indexed = "index" in spoken
                chunks = tuple(chunks_of(spoken["index" if indexed else "chunks"]))
                half, since = (index(spoken.get(name, 0)) for name in ("half", "since"))
                place = CheckpointPlace(index(spoken["checkpoint"]), chunks, half, indexed, since)
            begun = index(spoken["begun"]) if place is None and "begun" in spoken else None
            silent, ended = bool(spoken.get("silent", False)), str(spoken.get("ended", ""))
            told = index(spoken["told"]) if "told" in spoken else None
            return cls(offset, max(offset, index(spoken.get("admitted", offset))), place, begun, silent, ended, told)
        except (ValueError, KeyError, TypeError) as raised:
            raise ContractError(f"the committed offset's metadata is not ours: {metadata[:80]!r}") from raised


def runs_of(chunks: Sequence[Lie]) -> list[list[int]]:
    """[partition, first offset, how many] for chunks in a row, as those written in one go are."""
    runs: list[list[int]] = []
    for partition, offset in chunks:
        if runs and [partition, offset] == [runs[-1][0], runs[-1][1] + runs[-1][2]]:
            runs[-1][2] += 1
        else:
            runs.append([partition, offset, 1])
    return runs


def chunks_of(runs: Iterable[Sequence[Any]]) -> Iterator[Lie]:
    """The inverse of `runs_of`; ValueError, TypeError for what it did not write."""
    for partition, first, count in runs:
        yield from ((index(partition), index(first) + step) for step in range(index(count)))
