"""How far a partition has come, and what of it travels in the committed offset's metadata."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from operator import index
from typing import Any

from headrace.errors import ContractError
from headrace.streaming.kafka.client import Message
from headrace.streaming.records.batch import Batch

Lie = tuple[int, int]
"""(partition, offset) of a record in the checkpoints topic."""


@dataclass(frozen=True, slots=True)
class Place:
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
    """

    offset: int
    admitted: int
    place: Place | None = None

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
                place = Place(index(spoken["checkpoint"]), chunks, half, indexed, since)
            return cls(offset, max(offset, index(spoken.get("admitted", offset))), place)
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


@dataclass(frozen=True, slots=True)
class Pending:
    """Admitted rows of one partition that wait, with the records they came from."""

    batch: Batch
    records: list[Message]


@dataclass(slots=True)
class Owned:
    """A partition that this member owns, by the number that the service knows it by.

    Offsets: below `read` everything came from the consumer, below `admitted` it was admitted, in this or an earlier
    life. Records below `replay_until` were answered in an earlier life, those below `readmit_until` admitted in it.

    `still_since` is when `read` moved last; `end_told_at` when that was told to be the end of the log. It is None while
    there is more, and from a pause on: only what is told again after it says that nothing came meanwhile.

    Attributes:
        worked: whether records were taken or answered since the last commit; control records alone are no work.
        rows_since_checkpoint: records taken since the one at `place`.
        checkpoint_bytes: size of the newest one, committed or on its way.
    """

    partition: int
    stateful: bool
    read: int
    admitted: int
    replay_until: int
    readmit_until: int
    place: Place | None = None
    held: list[Pending] = field(default_factory=list)
    stuck_since: float | None = None
    still_since: float | None = None
    end_told_at: float | None = None
    committed: Commitment | None = None
    worked: bool = False
    rows_since_checkpoint: int = 0
    last_checkpoint: float = 0.0
    checkpoint_bytes: int = 0
    newest_timestamp: int = 0

    @property
    def processed(self) -> int:
        """The offset below which everything was answered: that of the first record that waits, if any does.

        It follows from what waits and from nothing else, so no way through admission and release can leave it behind
        (records would be answered again) or carry it ahead (records would be skipped).
        """
        if self.held:
            return int(self.held[0].batch.offset[0])
        return max(self.read, self.replay_until)

    def commitment(self) -> Commitment:
        """What a commit now would say."""
        place = self.place
        if place is not None and not self.rows_since_checkpoint and not self.held and not self.restoring():
            # Only control records came since: the same state stands for them, however much of the log retention takes.
            place = replace(place, at=self.processed)
        return Commitment(self.processed, max(self.admitted, self.processed), place)

    def note_checkpoint(self, rows: int, now: float) -> None:
        """A checkpoint was committed; `rows` were taken since its snapshot."""
        self.rows_since_checkpoint = rows
        self.last_checkpoint = now

    def restoring(self) -> bool:
        """Whether records are folded that were answered in an earlier life."""
        return self.read < self.replay_until
