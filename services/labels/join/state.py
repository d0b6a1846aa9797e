"""The join of one partition of the exchange: predictions wait for labels, labels for predictions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from headrace.columnar import packing
from headrace.columnar.dictionaries import LabelSources, Models
from headrace.columnar.structs import array_of, names_of, span_of
from headrace.errors import ContractError
from headrace.streaming.watermarks.proofs import PROOF
from services.labels.exchange_batch import ExchangeBatch, Named
from services.labels.join.arena import block_size, rebuild, rehash
from services.labels.join.fold import walk
from services.labels.join.layout import (
    ADDED,
    AGAIN,
    BLOCK,
    BUCKET,
    CHANGE,
    CURSOR,
    DONE,
    DUE,
    ENTRY,
    MEMORY,
    NEED_BLOCK,
    NEED_BUCKETS,
    NEED_CHANGES,
    NEED_HEAP,
    NEED_OUTCOMES,
    NEED_TABLE,
    NEVER,
    OUTCOME,
    SLOTS,
    SOURCE,
    START,
    STATE,
)  # fmt: skip  # one name a line would fill a page
from services.labels.join.question import JoinQuestion

Ints = npt.NDArray[np.int64]
Structs = npt.NDArray[np.void]

_OUTCOMES, _CHANGES = 16_384, 4_096
_BUCKETS = 1_024
"""Spans of time that the wait for maturity is cut into, about."""
_LEAST_TABLE = 1_024
WAITING = ("next_maturity", "next_as_of", "next_written")
"""What `watermarks` knows of times that idle sources are to prove, beside the proofs."""
CLOCKS = ("clock", "maturity", "as_of", "labels_at", "predictions_at")
NAMES = names_of(STATE)
"""Of the numbers that are part of the state."""
FATES = NAMES[NAMES.index("matched") :]
"""Of those that are counted since the state began."""
_OF_BLOCKS = ("used", "newest_event", "newest_label", "newest_arrival")
"""What a snapshot holds of each block."""


@dataclass(frozen=True, slots=True)
class Found:
    """What a fold found: outcomes (`layout.OUTCOME`) and labels for views (`layout.CHANGE`), in order; and `again`
    (int64 [rows, 2]), which of the predictions given were there before, and up to when labels had been read then.
    """

    outcomes: Structs
    changes: Structs
    again: Ints


class Join:
    """The state of one partition of the exchange, and its fold.

    It is a pure function of the records: how they are cut into batches does not show, nor does a snapshot taken and
    restored in between.

    Parameters:
        question: what is asked.

    Attributes:
        labellers, models: names that records are told by number.
    """

    def __init__(self, question: JoinQuestion) -> None:
        self.question = question
        self._memory = array_of(MEMORY, 1)
        self.labellers = LabelSources(question.sources)
        self.models = Models()
        self._parts: dict[int, npt.NDArray[np.uint8]] = {}
        """By slot, the bytes of a block."""
        self._blocks = array_of(BLOCK, SLOTS)
        self._table = array_of(ENTRY, _LEAST_TABLE)
        self._buckets = array_of(BUCKET, 64)
        self._heap = array_of(DUE, 64)
        self._sources = array_of(SOURCE, sum(question.partitions))
        self._proofs = array_of(PROOF, len(self._sources))
        self._outcomes = array_of(OUTCOME, _OUTCOMES)
        self._changes = array_of(CHANGE, _CHANGES)
        self.sources[:] = self.proofs[:] = NEVER
        for name in (*CLOCKS, *WAITING):
            self.put(name, NEVER)
        self.put("tail", -1)
        self.put("width", max(question.matures_after // _BUCKETS, 1_000))
        self._bind()

    # ---- what there is ------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        """Events, those of which only labels are known among them."""
        return self.get("events")

    def get(self, name: str) -> int:
        """A number of the state, see `layout.State`."""
        return int(self._memory[name][0])

    def put(self, name: str, value: int | float) -> None:
        """Set a number."""
        self._memory[name] = value

    @property
    def memory(self) -> Any:
        """What kernels take as `layout.Memory`."""
        return self._memory[0]

    @property
    def fates(self) -> dict[str, int]:
        """What was counted since the state began, by name."""
        return {name: self.get(name) for name in FATES}

    @property
    def sources(self) -> Ints:
        """Of every source partition the largest time seen, when it was idle, when it was heard of; NEVER for never."""
        return self._sources.view(np.int64).reshape(len(self._sources), -1)

    @property
    def proofs(self) -> Ints:
        """Of every source partition when a record was sent on, when it was at its end, up to when it is complete."""
        return self._proofs.view(np.int64).reshape(len(self._proofs), -1)

    @property
    def nbytes(self) -> int:
        """Bytes of all that grows with what is kept."""
        arrays = (self._table, self._buckets, self._heap, self._sources, self._blocks)
        return sum(part.nbytes for part in self._parts.values()) + sum(array.nbytes for array in arrays)

    # ---- folding ------------------------------------------------------------------------------------------------

    def fold(self, told: ExchangeBatch, start: int, stop: int) -> Found:
        """Fold the records [start, stop) of a batch.

        Args:
            told: the batch.
            start, stop: the records.
        """
        firsts = told.items(start)
        self._number(told, firsts, told.items(stop))
        cursor = array_of(CURSOR, 1)
        cursor["record"] = start
        cursor["prediction"], cursor["label"], cursor["event"] = firsts
        outcomes: list[npt.NDArray[np.uint8]] = []
        changes: list[npt.NDArray[np.uint8]] = []
        while True:
            need = walk(self.memory, told.given[0], cursor[0], stop)
            if need in (DONE, NEED_OUTCOMES):
                outcomes.append(_taken(self._outcomes, self.get("told_outcomes")))
                self.put("told_outcomes", 0)
            if need in (DONE, NEED_CHANGES):
                changes.append(_taken(self._changes, self.get("told_changes")))
                self.put("told_changes", 0)
            if need == DONE:
                return _found(_joined(outcomes, self._outcomes), _joined(changes, self._changes))
            self.provide(need)

    def settle(self) -> None:
        """What was found has been read: let go of the blocks that were given up."""
        if self.get("tail") < 0:
            return
        first, tail = self.get("first"), self.get("tail")
        for slot in list(self._parts):
            if (slot - first) % SLOTS > (tail - first) % SLOTS:
                del self._parts[slot]
                self._blocks[slot] = 0

    def _number(self, told: ExchangeBatch, firsts: Sequence[int], lasts: Sequence[int]) -> None:
        """Number the models and label sources of the records at hand, in the order in which they are met."""
        codes = _numbered(self.models, told.models, firsts[0], lasts[0])
        told.set("codes", codes | told.decisions.astype(np.int64) << 31, "predictions")
        told.set("sources", _numbered(self.labellers, told.sources, firsts[1], lasts[1]), "labels")
        self._memory["suffixes"] = span_of(self.models.suffixes)
        self._memory["ranks"] = span_of(self.labellers.ranks)

    def provide(self, need: int) -> None:
        """Make the room that the fold asked for."""
        if need == NEED_BLOCK:
            self._new_block(block_size(self.get("need")))
        elif need == NEED_TABLE:
            old = self._table
            self._table = array_of(ENTRY, len(old) + len(old) // 4)
            self._bind()
            rehash(self.memory, old)
        elif need == NEED_BUCKETS:
            kept = self._queue()
            self._buckets = np.concatenate([kept, array_of(BUCKET, len(kept) // 2 + 64)])
            self.put("bucket_first", 0)
        elif need == NEED_HEAP:
            held = self.get("heap_count")
            self._heap = np.concatenate([self._heap[:held], array_of(DUE, held // 4 + self.get("need"))])
        self._bind()

    def _queue(self) -> Structs:
        first = self.get("bucket_first")
        return self._buckets[first : first + self.get("bucket_count")]

    def _new_block(self, size: int) -> None:
        slot = (self.get("tail") + 1) % SLOTS
        if slot in self._parts:
            raise ContractError(
                f"a partition of the exchange holds {SLOTS} blocks of open predictions: it needs more partitions"
            )
        part = self._parts[slot] = np.zeros(size, np.uint8)
        self._blocks[slot] = part.ctypes.data, START, NEVER, NEVER, NEVER
        self.put("tail", slot)
        self.put("tail_room", size)

    def _bind(self) -> None:
        """Tell the kernels where everything lies, and what is asked."""
        question = self.question
        for name, array in {
            "blocks": self._blocks,
            "table": self._table,
            "buckets": self._buckets,
            "heap": self._heap,
            "sources": self._sources,
            "proofs": self._proofs,
            "outcomes": self._outcomes,
            "changes": self._changes,
        }.items():
            self._memory[name] = span_of(array)
        self.put("matures", question.matures_after)
        self.put("expires", question.expires_after)
        self.put("presumes", question.unlabelled is not None)
        self.put("unlabelled", 0.0 if question.unlabelled is None else question.unlabelled)
        self.put("answer", 8 * question.answer)
        self.put("label_sources", question.partitions[0])
        self.put("prediction_sources", question.partitions[1])

    # ---- state comes and goes -----------------------------------------------------------------------------------

    def columns(self) -> dict[str, packing.Column]:
        """The state as columns, once `settle` was called."""
        slots = self._slots()
        parts = [self._parts[slot][: self._blocks["used"][slot]] for slot in slots]
        classes = {"classes": packing.json_column(self.question.classes)} if self.question.classes else {}
        # The queue is told from its first bucket on.
        state = [0 if name == "bucket_first" else self.get(name) for name in NAMES]
        return {
            "registers": np.array(state, np.int64),
            "names": packing.json_column([self.labellers.names, self.models.identities]),
            "sources": self.sources.ravel(),
            "partitions": np.array(self.question.partitions, np.int64),
            "queue": self._queue().view(np.int64),
            "heap": self._heap[: self.get("heap_count")].view(np.int64),
            "sizes": np.array([len(self._parts[slot]) for slot in slots], np.int64),
            "blocks": np.concatenate([self._blocks[name][slots] for name in _OF_BLOCKS]),
            "records": np.concatenate(parts) if parts else np.zeros(0, np.uint8),
            "waiting": np.concatenate([np.array([self.get(name) for name in WAITING], np.int64), self.proofs.ravel()]),
            **classes,
        }

    def load(self, columns: dict[str, packing.Column]) -> None:
        """Take over what `columns` gave. Source partitions that were added since count from when they are heard of:
        what is folded again must lead to what it led to when nobody knew of them.

        Raises ContractError when source topics have fewer now, or the model other classes.
        """
        self.question.check_classes(tuple(packing.json_of(columns["classes"])) if "classes" in columns else ())
        now = self.question.partitions
        then = tuple(columns["partitions"].tolist()) if "partitions" in columns else now
        fewer = len(then) != len(now) or any(before > count for before, count in zip(then, now, strict=False))
        alike = len(columns["registers"]) == len(NAMES)
        if fewer or not alike or columns["sources"].size != sum(then) * self.sources.shape[1]:
            raise ContractError(
                f"state snapshot: of source partitions {then}, now there are {now}: a topic was made anew, or the "
                "state is of another version"
            )
        for name, value in zip(NAMES, columns["registers"].tolist(), strict=True):
            self.put(name, value)
        labellers, models = packing.json_of(columns["names"])
        self.labellers = LabelSources(self.question.sources, labellers)
        self.models = Models(models)
        heard, at, place = columns["sources"].reshape(-1, self.sources.shape[1]), 0, 0
        waiting, proven = self._waiting(columns, len(heard))
        for name, value in zip(WAITING, waiting.tolist(), strict=True):
            self.put(name, value)
        for before, count in zip(then, now, strict=True):
            self.sources[place : place + before] = heard[at : at + before]
            self.proofs[place : place + before] = proven[at : at + before]
            self.sources[place + before : place + count, -1] = ADDED
            at, place = at + before, place + count
        self._buckets = np.concatenate([_structs(columns["queue"], self._buckets), array_of(BUCKET, 64)])
        self._heap = np.concatenate([_structs(columns["heap"], self._heap), array_of(DUE, 64)])
        self._load_blocks(columns)
        self._table = array_of(ENTRY, max(_LEAST_TABLE, len(self) * 5 // 4))
        self._bind()
        rebuild(self.memory, self.get("first"), len(columns["sizes"]), SLOTS)

    def _waiting(self, columns: dict[str, packing.Column], sources: int) -> tuple[Ints, Ints]:
        """The times that are to be proven, and proofs; of a former version: sources had records when heard of."""
        if "waiting" in columns:
            found = columns["waiting"].astype(np.int64)
            return found[: len(WAITING)], found[len(WAITING) :].reshape(sources, -1)
        proven = np.full((sources, self.proofs.shape[1]), NEVER)
        heard = columns["sources"].reshape(sources, -1)[:, -1]
        proven[:, 0] = np.where(heard == ADDED, NEVER, heard)
        return np.full(len(WAITING), NEVER), proven

    def _load_blocks(self, columns: dict[str, packing.Column]) -> None:
        noted: Ints = columns["blocks"].reshape(len(_OF_BLOCKS), -1).astype(np.int64)
        start = 0
        for step, (size, block) in enumerate(zip(columns["sizes"].tolist(), noted.T.tolist(), strict=True)):
            slot, used = (self.get("first") + step) % SLOTS, block[0]
            part = self._parts[slot] = np.zeros(size, np.uint8)
            part[:used] = columns["records"][start : start + used]
            start += used
            self._blocks[slot] = part.ctypes.data, *block

    def _slots(self) -> list[int]:
        """Slots of the blocks, oldest first."""
        if self.get("tail") < 0:
            return []
        first = self.get("first")
        return [(first + step) % SLOTS for step in range((self.get("tail") - first) % SLOTS + 1)]

    def blocks(self) -> list[tuple[int, int]]:
        """(slot, when the newest of what is known up to it came) of the blocks, oldest first."""
        slots = self._slots()
        arrivals = np.maximum.accumulate(self._blocks["newest_arrival"][slots]).tolist()
        return list(zip(slots, arrivals, strict=True))


def _found(told: Structs, changes: Structs) -> Found:
    again = told["state"] == AGAIN
    if not again.any():
        return Found(told, changes, np.zeros((0, 3), np.int64))
    return Found(
        told[~again], changes, np.column_stack([told[name][again] for name in ("prediction", "as_of", "before")])
    )


def _taken(room: Structs, rows: int) -> npt.NDArray[np.uint8]:
    """The bytes of the first rows; NumPy copies bytes at once, and records one by one."""
    return room[:rows].view(np.uint8).copy()


def _joined(parts: Sequence[npt.NDArray[np.uint8]], like: Structs) -> Structs:
    found: Structs = (parts[0] if len(parts) == 1 else np.concatenate(parts)).view(like.dtype)
    return found


def _structs(column: packing.Column, like: Structs) -> Structs:
    """A column of int64 as the records that it holds."""
    found: Structs = np.ascontiguousarray(column, np.int64).view(like.dtype)
    return found


def _numbered(numbers: Models | LabelSources, named: Named, first: int, last: int) -> Ints:
    """The number of each row's name; rows outside [first, last) are nobody's and get 0."""
    found = np.zeros(len(named.which), np.int64)
    part = named.which[first:last]
    if len(part):
        places, at = np.unique(part, return_index=True) if len(named.names) > 1 else (part[:1], np.zeros(1, np.int64))
        met = places[np.argsort(at)]
        number = np.zeros(len(named.names), np.int64)
        number[met] = numbers.numbers([named.names[place] for place in met.tolist()])
        found[first:last] = number[part]
    return found
