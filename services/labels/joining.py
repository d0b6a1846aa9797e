"""The join of one partition of the exchange: predictions wait for labels, labels for predictions."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from services.kit import packing
from services.kit.errors import ContractError
from services.labels import layout
from services.labels.layout import (
    AGAIN,
    C_FIELDS,
    DONE,
    FATES,
    NEED_BLOCK,
    NEED_BUCKETS,
    NEED_ENTRIES,
    NEED_HEAP,
    NEED_OUTCOMES,
    NEED_TABLE,
    NEVER,
    O_AS_OF,
    O_FIELDS,
    O_PREDICTION,
    O_STATE,
    REGISTERS,
    S_SIZE,
    SLACK,
    SLOTS,
    START,
    V_FIELDS,
)  # fmt: skip  # one name a line would fill a page
from services.labels.names import LabelSources, Models
from services.labels.records import block_size, rebuild, rehash
from services.labels.told import Named, Told
from services.labels.walking import walk
from services.pipeline.spec import Labels

Ints = npt.NDArray[np.int64]

_OUTCOMES, _ENTRIES = 16_384, 4_096
_BUCKETS = 1_024
"""Spans of time that the wait for maturity is cut into, about."""
_LEAST_TABLE = 1_024
STATE = slice(layout.EVENTS // 8, len(REGISTERS))
"""Registers that are part of the state."""


@dataclass(frozen=True, slots=True)
class Question:
    """What a pipeline asks of labels.

    Attributes:
        matures_after, expires_after: milliseconds.
        unlabelled: the label of an event that none came for in time; None: not known.
        sources: label sources by rank.
        partitions: how many each source topic has, in the order of `told.KINDS`.
    """

    matures_after: int
    expires_after: int
    unlabelled: float | None
    sources: tuple[str, ...]
    partitions: tuple[int, ...]


def question_of(rule: Labels, partitions: Sequence[int]) -> Question:
    """What the rule of a pipeline asks, with so many partitions of each source."""
    return Question(rule.matures_after, rule.expires_after, rule.unlabelled_is, rule.sources, tuple(partitions))


@dataclass(frozen=True, slots=True)
class Found:
    """What a fold found: outcomes (rows, O_FIELDS) and labels for views (rows, V_FIELDS), int64, in order; and `again`
    (rows, 2), which of the predictions given were there before, and up to when labels had been read then.
    """

    outcomes: Ints
    entries: Ints
    again: Ints


class Join:
    """The state of one partition of the exchange, and its fold.

    It is a pure function of the records: how they are cut into batches does not show, nor does a snapshot taken and
    restored in between.

    Parameters:
        question: what is asked.

    Attributes:
        registers: int64, see `layout.REGISTERS`.
        labellers, models: names that records are told by number.
    """

    def __init__(self, question: Question) -> None:
        self.question = question
        self.registers = np.zeros(len(REGISTERS), np.int64)
        self.labellers = LabelSources(question.sources)
        self.models = Models()
        self._blocks: dict[int, npt.NDArray[np.uint8]] = {}
        self._addresses = np.zeros(SLOTS, np.int64)
        self._meta = np.full((4, SLOTS), NEVER, np.int64)
        """By slot: bytes used; newest event time, newest label time without an event, newest arrival."""
        self._table = np.zeros(_LEAST_TABLE, np.int64)
        self._buckets = np.zeros((64, 2), np.int64)
        self._heap = np.zeros((64, 2), np.int64)
        self._sources = np.full((sum(question.partitions), S_SIZE // 8), NEVER, np.int64)
        self._outcomes = np.empty((_OUTCOMES, O_FIELDS), np.int64)
        self._entries = np.empty((_ENTRIES, V_FIELDS), np.int64)
        for name in ("CLOCK", "MATURITY", "AS_OF", "LABELS_AT", "PREDICTIONS_AT"):
            self.put(name, NEVER)
        self.put("TAIL", -1)
        self.put("WIDTH", max(question.matures_after // _BUCKETS, 1_000))
        self._bind()

    # ---- what there is ------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        """Events, those of which only labels are known among them."""
        return self.get("EVENTS")

    def get(self, name: str) -> int:
        """The value of a register."""
        return int(self.registers[REGISTERS.index(name)])

    @property
    def fates(self) -> dict[str, int]:
        """What was counted since the state began, by name of the register."""
        return dict(zip(REGISTERS[FATES], self.registers[FATES].tolist(), strict=True))

    @property
    def sources(self) -> Ints:
        """Of every source partition the largest time seen, when it was idle, when it was heard of; NEVER for never."""
        return self._sources

    @property
    def nbytes(self) -> int:
        """Bytes of all that grows with what is kept."""
        arrays = (self._table, self._buckets, self._heap, self._sources, self._meta, self._addresses)
        return sum(block.nbytes for block in self._blocks.values()) + sum(array.nbytes for array in arrays)

    # ---- folding ------------------------------------------------------------------------------------------------

    def fold(self, told: Told, start: int, stop: int) -> Found:
        """Fold the records [start, stop) of a batch.

        Args:
            told: the batch.
            start, stop: the records.
        """
        firsts = told.items(start)
        self._number(told, firsts, told.items(stop))
        cursor = np.zeros(C_FIELDS, np.int64)
        cursor[0], cursor[1:4] = start, firsts
        outcomes, entries = [], []
        while True:
            need = walk(
                self.registers.ctypes.data, told.given.ctypes.data, cursor.ctypes.data, stop,
                self._outcomes.ctypes.data, self._entries.ctypes.data,
            )  # fmt: skip  # two kinds of addresses
            if need in (DONE, NEED_OUTCOMES):
                outcomes.append(self._outcomes[: self.get("OUTCOMES")].copy())
                self.put("OUTCOMES", 0)
            if need in (DONE, NEED_ENTRIES):
                entries.append(self._entries[: self.get("ENTRIES")].copy())
                self.put("ENTRIES", 0)
            if need == DONE:
                told_of = np.concatenate(outcomes)
                again = told_of[:, O_STATE] == AGAIN
                return Found(told_of[~again], np.concatenate(entries), told_of[again][:, [O_PREDICTION, O_AS_OF]])
            self.provide(need)

    def settle(self) -> None:
        """What was found has been read: let go of the blocks that were given up."""
        if self.get("TAIL") < 0:
            return
        first, tail = self.get("FIRST"), self.get("TAIL")
        for slot in list(self._blocks):
            if (slot - first) % SLOTS > (tail - first) % SLOTS:
                del self._blocks[slot]

    def _number(self, told: Told, firsts: Sequence[int], lasts: Sequence[int]) -> None:
        """Number the models and label sources of the records at hand, in the order in which they are met."""
        codes = _numbered(self.models, told.models, firsts[0], lasts[0])
        told.set("P_CODES", codes | told.decisions.astype(np.int64) << 31)
        told.set("L_SOURCES", _numbered(self.labellers, told.sources, firsts[1], lasts[1]))
        self.put("SUFFIXES", self.models.suffixes.ctypes.data)
        self.put("RANKS", self.labellers.ranks.ctypes.data)

    def provide(self, need: int) -> None:
        """Make the room that the walk asked for."""
        if need == NEED_BLOCK:
            self._new_block(block_size(self.get("NEED")))
        elif need == NEED_TABLE:
            old = self._table
            self._table = np.zeros(len(old) + len(old) // 4, np.int64)
            self._bind()
            rehash(self.registers.ctypes.data, old.ctypes.data, len(old))
        elif need == NEED_BUCKETS:
            kept = self._queue()
            self._buckets = np.concatenate([kept, np.zeros((len(kept) // 2 + 64, 2), np.int64)])
            self.put("BUCKET_FIRST", 0)
        elif need == NEED_HEAP:
            held = self.get("HEAP_COUNT")
            self._heap = np.concatenate([self._heap[:held], np.zeros((held // 4 + self.get("NEED"), 2), np.int64)])
        self._bind()

    def _queue(self) -> Ints:
        first = self.get("BUCKET_FIRST")
        return self._buckets[first : first + self.get("BUCKET_COUNT")]

    def _new_block(self, size: int) -> None:
        slot = (self.get("TAIL") + 1) % SLOTS
        if slot in self._blocks:
            raise ContractError(
                f"a partition of the exchange holds {SLOTS} blocks of open predictions: it needs more partitions"
            )
        self._blocks[slot] = np.zeros(size + SLACK, np.uint8)
        self._addresses[slot] = self._blocks[slot].ctypes.data
        self._meta[:, slot] = START, NEVER, NEVER, NEVER
        self.put("TAIL", slot)
        self.put("TAIL_ROOM", size)

    def put(self, name: str, value: int) -> None:
        """Set a register."""
        self.registers[REGISTERS.index(name)] = value

    def _bind(self) -> None:
        """Tell the walk where everything lies."""
        question = self.question
        unlabelled = np.float64(0.0 if question.unlabelled is None else question.unlabelled)
        labels, predictions = question.partitions[:2]
        for name, value in {
            "TABLE": self._table.ctypes.data,
            "BLOCKS": self._addresses.ctypes.data,
            "USED": self._meta[0].ctypes.data,
            "TIMES": self._meta[1].ctypes.data,
            "LABEL_TIMES": self._meta[2].ctypes.data,
            "ARRIVALS": self._meta[3].ctypes.data,
            "BUCKETS": self._buckets.ctypes.data,
            "HEAP": self._heap.ctypes.data,
            "SOURCES": self._sources.ctypes.data,
            "MATURES": question.matures_after,
            "EXPIRES": question.expires_after,
            "PRESUMES": question.unlabelled is not None,
            "UNLABELLED": int(unlabelled.view(np.int64)),
            "LABEL_SOURCES": labels,
            "PREDICTION_SOURCES": predictions,
            "TABLE_SIZE": len(self._table),
            "BUCKET_ROOM": len(self._buckets),
            "HEAP_ROOM": len(self._heap),
            "OUTCOME_ROOM": len(self._outcomes),
            "ENTRY_ROOM": len(self._entries),
        }.items():
            self.put(name, value)

    # ---- state comes and goes -----------------------------------------------------------------------------------

    def columns(self) -> dict[str, packing.Column]:
        """The state as columns, once `settle` was called."""
        slots = self._slots()
        parts = [self._blocks[slot][: self._meta[0, slot]] for slot in slots]
        registers = self.registers.copy()
        registers[REGISTERS.index("BUCKET_FIRST")] = 0  # The queue is told from its first bucket on.
        names = json.dumps([self.labellers.names, self.models.identities]).encode()
        return {
            "registers": registers[STATE],
            "names": np.frombuffer(names, np.uint8),
            "sources": self._sources.ravel(),
            "partitions": np.array(self.question.partitions, np.int64),
            "queue": self._queue().ravel(),
            "heap": self._heap[: self.get("HEAP_COUNT")].ravel(),
            "sizes": np.array([len(self._blocks[slot]) - SLACK for slot in slots], np.int64),
            "blocks": self._meta[:, slots].ravel(),
            "records": np.concatenate(parts) if parts else np.zeros(0, np.uint8),
        }

    def load(self, columns: dict[str, packing.Column]) -> None:
        """Take over what `columns` gave; of source partitions that were added since, nothing was heard.

        Raises ContractError when source topics have fewer now.
        """
        now = self.question.partitions
        then = tuple(columns["partitions"].tolist()) if "partitions" in columns else now
        fewer = len(then) != len(now) or any(before > count for before, count in zip(then, now, strict=False))
        alike = len(columns["registers"]) == len(self.registers[STATE])
        if fewer or not alike or columns["sources"].size != sum(then) * self._sources.shape[1]:
            raise ContractError(
                f"state snapshot: of source partitions {then}, now there are {now}: a topic was made anew, or the "
                "state is of another version"
            )
        self.registers[STATE] = columns["registers"]
        labellers, models = json.loads(columns["names"].tobytes())
        self.labellers = LabelSources(self.question.sources, labellers)
        self.models = Models(models)
        heard, at, place = columns["sources"].reshape(-1, self._sources.shape[1]), 0, 0
        for before, count in zip(then, now, strict=True):
            self._sources[place : place + before] = heard[at : at + before]
            at, place = at + before, place + count
        self._buckets = np.concatenate([columns["queue"].reshape(-1, 2), np.zeros((64, 2), np.int64)]).astype(np.int64)
        self._heap = np.concatenate([columns["heap"].reshape(-1, 2), np.zeros((64, 2), np.int64)]).astype(np.int64)
        sizes, meta = columns["sizes"].tolist(), columns["blocks"].reshape(4, -1)
        records, start = columns["records"], 0
        first = self.get("FIRST")
        for step, size in enumerate(sizes):
            slot, used = (first + step) % SLOTS, int(meta[0, step])
            block = np.zeros(int(size) + SLACK, np.uint8)
            block[:used] = records[start : start + used]
            start += used
            self._blocks[slot] = block
            self._addresses[slot] = block.ctypes.data
            self._meta[:, slot] = meta[:, step]
        self._table = np.zeros(max(_LEAST_TABLE, len(self) * 5 // 4), np.int64)
        self._bind()
        rebuild(self.registers.ctypes.data, first, len(sizes), SLOTS)

    def _slots(self) -> list[int]:
        """Slots of the blocks, oldest first."""
        if self.get("TAIL") < 0:
            return []
        first = self.get("FIRST")
        return [(first + step) % SLOTS for step in range((self.get("TAIL") - first) % SLOTS + 1)]

    def blocks(self) -> list[tuple[int, int]]:
        """(slot, when the newest of what is known up to it came) of the blocks, oldest first."""
        slots = self._slots()
        return list(zip(slots, np.maximum.accumulate(self._meta[3, slots]).tolist(), strict=True))


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
