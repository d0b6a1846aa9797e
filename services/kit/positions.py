"""How far a partition has come, and what of it travels in the committed offset's metadata."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from operator import index
from typing import Any

from services.kit.batch import Batch
from services.kit.errors import ContractError
from services.kit.kafka import Message


@dataclass(frozen=True, slots=True)
class Place:
    """Where a checkpoint lies: `chunks` are (partition, offset) in the checkpoints topic, in order.

    `at`: the checkpoint is the fold of all records below this offset.
    """

    at: int
    chunks: tuple[tuple[int, int], ...]


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
            spoken["chunks"] = _runs(self.place.chunks)
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
                place = Place(index(spoken["checkpoint"]), tuple(_chunks(spoken["chunks"])))
            return cls(offset, max(offset, index(spoken.get("admitted", offset))), place)
        except (ValueError, KeyError, TypeError) as raised:
            raise ContractError(f"the committed offset's metadata is not ours: {metadata[:80]!r}") from raised


def _runs(chunks: Sequence[tuple[int, int]]) -> list[list[int]]:
    """[partition, first offset, how many] for chunks in a row: they are written in one go, and brokers take 4 KiB."""
    runs: list[list[int]] = []
    for partition, offset in chunks:
        if runs and [partition, offset] == [runs[-1][0], runs[-1][1] + runs[-1][2]]:
            runs[-1][2] += 1
        else:
            runs.append([partition, offset, 1])
    return runs


def _chunks(runs: Iterable[Sequence[Any]]) -> Iterator[tuple[int, int]]:
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

    Offsets: `read` (next to come from the consumer) >= `admitted` >= `processed` (below it everything is answered).
    Records below `replay_until` were answered in an earlier life; those below `readmit_until` were admitted in it.

    `still_since` is when `read` moved last; `end_told_at` when that was told to be the end of the log. It is None while
    there is more, and from a pause on: only what is told again after it says that nothing came meanwhile.
    """

    partition: int
    stateful: bool
    read: int
    processed: int
    admitted: int
    replay_until: int
    readmit_until: int
    place: Place | None = None
    held: list[Pending] = field(default_factory=list)
    stuck_since: float | None = None
    still_since: float | None = None
    end_told_at: float | None = None
    committed: Commitment | None = None
    rows_since_checkpoint: int = 0
    last_checkpoint: float = 0.0
    newest_timestamp: int = 0

    def commitment(self) -> Commitment:
        """What a commit now would say."""
        return Commitment(self.processed, max(self.admitted, self.processed), self.place)

    def note_checkpoint(self, place: Place, now: float) -> None:
        """A checkpoint was committed."""
        self.place = place
        self.rows_since_checkpoint = 0
        self.last_checkpoint = now

    def restoring(self) -> bool:
        """Whether records are folded that were answered in an earlier life."""
        return self.read < self.replay_until
