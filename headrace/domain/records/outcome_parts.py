"""What a partition of outcomes tells whoever pairs them: the content of a release part whose source is `outcomes`."""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from headrace.columnar import packing
from headrace.columnar.hashes import codes_of
from headrace.columnar.jit import frozen, kernel
from headrace.columnar.partitioner import partitions_of
from headrace.domain.pipeline.classes.columns import SCORES, chances_of
from headrace.domain.release.evidence.outcome_rows import Ints, OutcomeRows
from headrace.errors import ContractError
from headrace.streaming.records.batch import Batch, Reject, set_apart
from headrace.streaming.watermarks.event_time import EARLIEST, LATEST, NEVER

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.uint8]
Partitions = npt.NDArray[np.int32]


def sound(batch: Batch) -> tuple[Batch, tuple[Reject, ...]]:
    """The outcomes of a batch that can be told, and the others."""
    columns = batch.columns
    times = columns["event_time"].cast(pa.int64()).to_numpy(zero_copy_only=False)
    scores, labels = (columns[name].fill_null(0.0).to_numpy(zero_copy_only=False) for name in ("score", "label"))
    if SCORES in columns.schema.names:
        chances = chances_of(columns)
        scores = chances.sum(axis=1)  # finite where all of them are
        labels = np.where(places(labels, chances.shape[1]), labels, np.nan)
    faults = [("event_time", "an event happened between the years 1 and 9999", (times < EARLIEST) | (times > LATEST))]
    faults += [(name, f"{name} is no number", ~np.isfinite(n)) for name, n in (("score", scores), ("label", labels))]
    return set_apart(batch, faults)


@dataclass(frozen=True, slots=True, eq=False)
class OutcomePart:
    """What a batch of a partition tells.

    Attributes:
        digests: of the models that rows name by number.
        rows: first outcomes, of any model and arm.
        corrected, repeated: int64 by model: corrections of outcomes, and predictions that came again.
    """

    digests: tuple[str, ...]
    rows: OutcomeRows
    corrected: Ints
    repeated: Ints


def places(labels: Floats, classes: int) -> npt.NDArray[np.bool_]:
    """Which labels are places of so many classes."""
    return np.isin(labels, np.arange(classes))


class OutcomePartition:
    """How far truth is whole in a partition of outcomes: a fold of its records.

    Each partition of the exchange, that is each join, tells outcomes in its own order, beside them before which event
    time it has told all (`mature_before`). Its rows reach all partitions of outcomes, so a partition is as far as the
    join is from which it heard least. Of a join that it never heard of it waits, until it is idle.

    Args:
        joins: partitions of the exchange: the join of an event follows from its id.

    Attributes:
        next_offset: after the newest record.
    """

    def __init__(self, joins: int) -> None:
        self._reached = np.full(joins, NEVER, np.int64)
        self.next_offset = 0

    def progress(self, idle: bool) -> int:
        """Before which event time all outcomes are told, milliseconds; of an idle partition what the furthest join
        said: nothing waits for the others then. The year 1 while that is not known.
        """
        return max(int(self._reached.max() if idle else self._reached.min()), EARLIEST)

    def advance(self, batch: Batch, number: int) -> OutcomePart:
        """Take records in, of the partition `number`; what they tell."""
        columns = batch.columns
        self.next_offset = int(batch.offset[-1]) + 1
        ids = columns["event_id"]
        before = columns["mature_before"].cast(pa.int64()).fill_null(NEVER).to_numpy(zero_copy_only=False)
        progress = np.empty(len(batch), np.int64)
        _reach(self._reached, partitions_of(ids, len(self._reached)), frozen(before), progress)
        revision = columns["revision"].to_numpy(zero_copy_only=False)
        models = columns["model"].field("digest").cast(pa.string()).dictionary_encode()
        model = models.indices.to_numpy(zero_copy_only=False).astype(np.int64)
        count, first = len(models.dictionary), revision == 0
        at = slice(None) if first.all() else np.flatnonzero(first)
        rows = OutcomeRows(
            progress,
            np.full(len(batch), number, np.int64),
            batch.offset.astype(np.int64, copy=False),
            model,
            codes_of(ids).view(np.int64),
            columns["event_time"].cast(pa.int64()).to_numpy(zero_copy_only=False),
            chances_of(columns) if SCORES in columns.schema.names else columns["score"].to_numpy(zero_copy_only=False),
            columns["label"].fill_null(np.nan).to_numpy(zero_copy_only=False),
        ).take(at)
        corrected, repeated = (np.bincount(model[some], minlength=count) for some in (revision > 0, revision < 0))
        return OutcomePart(tuple(models.dictionary.to_pylist()), rows, corrected, repeated)

    def dump(self) -> bytes:
        """As JSON."""
        return json.dumps({"reached": self._reached.tolist(), "next_offset": self.next_offset}).encode()

    def load(self, snapshot: bytes) -> None:
        """Take over what `dump` wrote. Joins that were added since were never heard of. Raises ContractError where
        there are fewer than then.
        """
        said = json.loads(snapshot)
        known, now = len(said["reached"]), len(self._reached)
        if known > now:
            raise ContractError(f"state snapshot: of {known} partitions of the exchange, now there are {now}")
        self._reached[:known], self.next_offset = said["reached"], said["next_offset"]


@kernel("i8[::1] i4[::1] ~i8[::1] i8[::1]")
def _reach(reached: Ints, join: Partitions, before: Ints, progress: Ints) -> None:
    """How far all joins were before each record; `reached`, by join, goes on."""
    least = reached.min()
    for row in range(len(join)):
        progress[row] = least
        former = reached[join[row]]
        if before[row] > former:
            reached[join[row]] = before[row]
            if former == least:
                least = reached.min()


_BEGINS, _KNOWN = 1, 2
"""Flags of a row: it is of another event than the one before, and has a label."""
_EVENTS = ("key", "time")
_ROWS = ("progress", "offset", "model", "score", "label")


def pack(part: OutcomePart) -> bytes:
    """A part as bytes. What rows of one event share is told once where they follow one another: some 10 bytes a row."""
    rows, count = part.rows, len(part.rows)
    flags, label = np.empty(count, np.uint8), np.empty(count)
    key, time = np.empty(count, np.int64), np.empty(count, np.int64)
    events = _gather(frozen(rows.key), frozen(rows.time), frozen(rows.label), flags, key, time, label)
    said = {
        "digests": part.digests,
        "source": int(rows.source[0]) if len(rows) else 0,
        "corrected": part.corrected.tolist(),
        "repeated": part.repeated.tolist(),
        **({"classes": rows.score.shape[1]} if rows.score.ndim > 1 else {}),
    }
    told = {name: getattr(rows, name).ravel() for name in _ROWS} | {"label": label}
    whole = {"said": packing.json_column(said), "flags": flags, "key": key[:events], "time": time[:events]}
    columns: dict[str, packing.Column] = whole | told
    return packing.pack(columns, level=1)


@kernel("~i8[::1] ~i8[::1] ~f8[::1] u1[::1] i8[::1] i8[::1] f8[::1]")
def _gather(keys: Ints, times: Ints, labels: Floats, flags: Flags, key: Ints, time: Ints, label: Floats) -> int:
    """Tell the key and the time of each event once; how many they are."""
    events = 0
    for row in range(len(keys)):
        flags[row] = label[row] = 0
        if row == 0 or keys[row] != keys[row - 1] or times[row] != times[row - 1]:
            flags[row] = _BEGINS
            key[events], time[events] = keys[row], times[row]
            events += 1
        if not np.isnan(labels[row]):
            flags[row] |= _KNOWN
            label[row] = labels[row]
    return events


def unpack(payload: bytes) -> OutcomePart:
    """What `pack` took. Raises ContractError for bytes that are damaged, or hold something else."""
    columns = packing.unpack(payload)
    try:
        said, flags = packing.json_of(columns["said"]), columns["flags"].astype(np.uint8, copy=False)
        whole = {name: columns[name] for name in _ROWS} | {name: np.empty(len(flags), np.int64) for name in _EVENTS}
        classes = int(said.get("classes", 0))
        rows = OutcomeRows.of(whole | {"source": np.full(len(flags), said["source"], np.int64)}, classes)
        digests = tuple(str(digest) for digest in said["digests"])
        counts = (np.array(said[name], np.int64) for name in ("corrected", "repeated"))
        part = OutcomePart(digests, rows, *counts)
        key, time = (frozen(columns[name].astype(np.int64, copy=False)) for name in _EVENTS)
    except (KeyError, ValueError, IndexError, TypeError) as error:
        raise ContractError(f"a part of outcomes is damaged: {error}") from None
    if len(part.corrected) != len(digests) or len(part.repeated) != len(digests):
        raise ContractError("a part of outcomes is damaged: models and counts differ in number")
    fault = "rows are of other events than are told"
    if len(key) == len(time):
        first = np.ascontiguousarray(rows.score[:, 0]) if classes else rows.score
        fault = _FAULTS[_spread(flags, key, time, rows.model, first, len(digests), rows.key, rows.time, rows.label)]
        known = rows.label[~np.isnan(rows.label)]
        if classes and not fault and not (np.isfinite(rows.score).all() and places(known, classes).all()):
            fault = _FAULTS[3]
    if fault:
        raise ContractError(f"a part of outcomes is damaged: {fault}")
    return part


_FAULTS = (
    "", "rows are of other events than are told", "a row is of a model that is not named",
    "a score or a label is not finite",
)  # fmt: skip  # by what `_spread` answers


@kernel("~u1[::1] ~i8[::1] ~i8[::1] i8[::1] f8[::1] i8 i8[::1] i8[::1] f8[::1]")
def _spread(
    flags: Flags, key: Ints, time: Ints, model: Ints, score: Floats, models: int,
    keys: Ints, times: Ints, labels: Floats,
) -> int:  # fmt: skip  # what is told, the answer
    """Give each row the key and the time of its event, and no label where it has none; which fault there is, or 0."""
    event = -1
    for row in range(len(flags)):
        if flags[row] & _BEGINS:
            event += 1
        if event < 0 or event == len(key):
            return 1
        if model[row] < 0 or model[row] >= models:
            return 2
        if not (np.isfinite(score[row]) and np.isfinite(labels[row])):
            return 3
        keys[row], times[row] = key[event], time[event]
        if flags[row] & _KNOWN == 0:
            labels[row] = np.nan
    return 0 if event + 1 == len(key) else 1
