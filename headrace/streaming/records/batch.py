"""Columns that travel between the runner and a service: what came in, what goes out, what is refused."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Ints = npt.NDArray[np.int64]
Partitions = npt.NDArray[np.int32]
PARTITION_BITS = 16


def slot(place: int, partition: int) -> int:
    """One number for a partition of a service's input: `place` is the topic's among its inputs.

    >>> slot(0, 3), slot(1, 3)
    (3, 65539)
    """
    return place << PARTITION_BITS | partition


def unslot(number: int) -> tuple[int, int]:
    """The inverse of `slot`: (place of the topic, partition)."""
    return number >> PARTITION_BITS, number & (1 << PARTITION_BITS) - 1


@dataclass(frozen=True, slots=True)
class Batch:
    """Decoded records of one topic.

    Rows of one partition stand together and in offset order; every array has one entry a row.

    Attributes:
        topic: logical topic name (`events`), as in `topics/`.
        columns: the decoded values, one row a record, in the schema of the topic.
        keys: Kafka record keys, nullable binary.
        partition: int32; the partition each row came from, as `slot` numbers it.
        offset: int64; the offset each row came from.
        timestamp: int64, milliseconds since the epoch, Kafka's own record timestamp.
        created: which of these were written by producers and not by the broker; None: no one's.
    """

    topic: str
    columns: pa.RecordBatch
    keys: pa.BinaryArray
    partition: Partitions
    offset: Ints
    timestamp: Ints
    created: npt.NDArray[np.bool_] | None = None

    def __len__(self) -> int:
        return int(self.columns.num_rows)

    def runs(self) -> Iterator[tuple[int, slice]]:
        """(partition, slice of its rows) for each partition present, in row order."""
        if not len(self):
            return
        starts = [0, *(np.flatnonzero(self.partition[1:] != self.partition[:-1]) + 1).tolist()]
        for start, stop in zip(starts, [*starts[1:], len(self)], strict=True):
            yield int(self.partition[start]), slice(start, stop)

    def take(self, rows: npt.NDArray[np.integer] | npt.NDArray[np.bool_]) -> Batch:
        """The named rows (ascending indices, or a boolean mask), in order."""
        if rows.dtype == np.bool_:
            rows = np.flatnonzero(rows)
        if len(rows) == len(self):
            return self
        index = pa.array(rows)
        return replace(
            self,
            columns=self.columns.take(index),
            keys=self.keys.take(index),
            partition=self.partition[rows],
            offset=self.offset[rows],
            timestamp=self.timestamp[rows],
            created=None if self.created is None else self.created[rows],
        )

    def slice(self, rows: slice) -> Batch:
        """A contiguous part, without copying."""
        start, stop, _ = rows.indices(len(self))
        return replace(
            self,
            columns=self.columns.slice(start, stop - start),
            keys=self.keys.slice(start, stop - start),
            partition=self.partition[start:stop],
            offset=self.offset[start:stop],
            timestamp=self.timestamp[start:stop],
            created=None if self.created is None else self.created[start:stop],
        )


def concat(batches: Sequence[Batch]) -> Batch:
    """Rows of one topic, some at least, in this order: those of one partition have to stand together in it."""
    first = batches[0]
    if len(batches) == 1:
        return first
    created = None
    if any(each.created is not None for each in batches):
        created = np.concatenate(
            [each.created if each.created is not None else np.zeros(len(each), bool) for each in batches]
        )
    return Batch(
        first.topic,
        pa.concat_batches([each.columns for each in batches]),
        pa.concat_arrays([each.keys for each in batches]),
        np.concatenate([each.partition for each in batches]),
        np.concatenate([each.offset for each in batches]),
        np.concatenate([each.timestamp for each in batches]),
        created,
    )


@dataclass(frozen=True, slots=True)
class Emit:
    """Records to write to one topic.

    Attributes:
        topic: logical topic name.
        columns: one row a record, in the schema of the topic (struct columns for nested records).
        key: Kafka keys, utf-8 strings or binary; None writes null keys.
        source: int32; the input partition (`Batch.partition`) that each record answers for. It decides whose
            transaction, redo and ownership the record follows; -1 is the member's own, which follows no partition.
        partition: int32; explicit output partitions, or None to let the key decide (murmur2, like Java's producer).
    """

    topic: str
    columns: pa.RecordBatch
    key: pa.StringArray | pa.BinaryArray | None
    source: Partitions
    partition: Partitions | None = None


@dataclass(frozen=True, slots=True)
class Fact:
    """A record for a fact topic that the service follows itself, decided on what it was told of that topic until then.

    It is written in the transaction of the rows that decided it, and only if nothing was written to its topic since:
    else the transaction is not made and the process begins anew, with state as before and told of the newer fact. So
    facts follow one another, whoever writes them. Until a service is told of its own fact, it cannot decide another.

    Attributes:
        emit: what to write. Its topic has one partition.
        after: offset of the newest record that `learn` told of the topic; -1 for none.
    """

    emit: Emit
    after: int


@dataclass(frozen=True, slots=True)
class Reject:
    """A row that can never be processed: it goes to the dead-letter topic, whole.

    Attributes:
        partition, offset: where the record came from, as in the batch.
        reason: short stable slug, counted in metrics (`out_of_range`).
        detail: a sentence for the person who reads the dead letter; never the payload itself.
    """

    partition: int
    offset: int
    reason: str
    detail: str


def set_apart(
    batch: Batch, faults: Iterable[tuple[str, str, npt.NDArray[np.bool_]]]
) -> tuple[Batch, tuple[Reject, ...]]:
    """The rows of a batch that have none of some faults, and the others, each with the first one that it has.

    `faults`: (reason, detail, which rows have it), one at least.
    """
    found = list(faults)
    bad = np.any([rows for _, _, rows in found], axis=0)
    if not bad.any():
        return batch, ()
    rejects = []
    for row in np.flatnonzero(bad).tolist():
        reason, detail = next((slug, why) for slug, why, rows in found if rows[row])
        rejects.append(Reject(int(batch.partition[row]), int(batch.offset[row]), reason, detail))
    return batch.take(~bad), tuple(rejects)


@dataclass(frozen=True, slots=True)
class Admission:
    """What `Service.admit` let through, with what it wrote and refused on the way.

    `remarks`: how many rows it left out without refusing them, or let through with a reservation, by what they are
    called in metrics.
    """

    batch: Batch
    emits: tuple[Emit, ...] = ()
    rejects: tuple[Reject, ...] = ()
    remarks: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Output:
    """What `Service.process` answers.

    `held` names input partitions whose rows were not touched because something they need has not arrived; the runner
    pauses these partitions and offers the same rows again. `rest` names others of which only the rows from an offset on
    were not touched, with it. `housekeeping` says that the rows were none of the user's (signs of life between
    services): they do not make a service busy. `unfinished`, of a tick: rows that were processed have something left to
    be told, which a later tick will tell. `facts`: what it decided (in `exactly_once` alone).
    """

    emits: tuple[Emit, ...] = ()
    rejects: tuple[Reject, ...] = ()
    held: frozenset[int] = field(default_factory=frozenset)
    rest: Mapping[int, int] = field(default_factory=dict)
    housekeeping: bool = False
    unfinished: bool = False
    facts: tuple[Fact, ...] = ()
