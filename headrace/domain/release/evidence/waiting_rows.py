"""Rows of outcomes that wait until no partition can tell an earlier one."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from headrace.columnar.jit import frozen
from headrace.columnar.structs import dtype_of
from headrace.domain.release.evidence.outcome_rows import NAMES, Ints, OutcomeRows
from headrace.domain.release.evidence.pair_layout import PART, ROW
from headrace.domain.release.evidence.row_kernels import collect

Structs = npt.NDArray[Any]
_PART = _, _LENGTH, _, _AT, _SOURCE, _, _, _ = range(8)
"""Numbers of a part: its rows' place, how many they are, the bytes of one, the first that was not taken, and whose;
where chances of classes lie, how many they are, and the bytes of one.
"""
Floats = npt.NDArray[np.float64]
NO_CHANCES = np.empty((0, 0))


class WaitingRows:
    """Rows of models that are asked about, in parts as they were told.

    Args:
        classes: of the models; 0 where scores are single numbers.

    Attributes:
        parts: of them, records `pair_layout.RowPart`, those of a partition in the order of their offsets; `walk` says
            there what it took.
    """

    def __init__(self, classes: int = 0) -> None:
        self._classes = classes
        self._rows: list[Structs] = []
        self._chances: list[Floats] = []
        self._parts = np.empty((0, len(_PART)), np.int64)  # plain numbers, which NumPy joins sooner than records

    def __len__(self) -> int:
        return int((self._parts[:, _LENGTH] - self._parts[:, _AT]).sum())

    @property
    def parts(self) -> Structs:
        """See the class."""
        return self._parts.view(dtype_of(PART)).reshape(-1)

    def add(self, rows: OutcomeRows, numbers: Ints, known: int) -> None:
        """Let rows of a partition wait that were told behind all that there are of it.

        Args:
            rows: in the order of their offsets, at least one.
            numbers: int64, of each model that rows name our number; below 0 of one that is not asked about.
            known: rows below this offset are left out.
        """
        found, chances = np.empty(len(rows), dtype_of(ROW)), NO_CHANCES
        score = rows.score
        if self._classes:
            kept = (numbers[rows.model] >= 0) & (rows.offset >= known)
            score, chances = np.ascontiguousarray(score[:, 0]), np.ascontiguousarray(score[kept])
        count = collect(
            frozen(rows.progress), frozen(rows.source), frozen(rows.offset), frozen(rows.model), frozen(rows.key),
            frozen(rows.time), frozen(score), frozen(rows.label), frozen(numbers), known, found,
        )  # fmt: skip  # the rows, the question, the answer
        if count:
            self._add(found if 2 * count > len(found) else found[:count].copy(), count, chances)

    def _add(self, rows: Structs, count: int, chances: Floats) -> None:
        source = int(rows["source"][0])
        at = int(np.searchsorted(self._parts[:, _SOURCE], source, side="right"))
        told = chances.ctypes.data, chances.size, chances.itemsize
        part = np.array([[rows.ctypes.data, count, rows.itemsize, 0, source, *told]], np.int64)
        self._rows.insert(at, rows)
        self._chances.insert(at, chances)
        self._parts = np.concatenate([self._parts[:at], part, self._parts[at:]])

    def settle(self) -> None:
        """Let go of parts that were taken whole."""
        left = self._parts[:, _AT] < self._parts[:, _LENGTH]
        if not left.all():
            self._rows = [rows for rows, some in zip(self._rows, left.tolist(), strict=True) if some]
            self._chances = [each for each, some in zip(self._chances, left.tolist(), strict=True) if some]
            self._parts = self._parts[left]

    def forget(self, model: int) -> None:
        """Leave out the rows of a model."""
        left = self._left()
        self._rows, self._chances, self._parts = [], [], self._parts[:0]
        for rows, chances in left:
            kept = rows["model"] != model
            if kept.any():
                some = np.ascontiguousarray(chances[kept]) if self._classes else NO_CHANCES
                self._add(rows[kept], int(kept.sum()), some)

    def _left(self) -> list[tuple[Structs, Floats]]:
        """Rows of each part that were not taken, and their chances."""
        spans = self._parts[:, [_AT, _LENGTH]].tolist()
        return [
            (rows[at:length], chances[at:length])
            for rows, chances, (at, length) in zip(self._rows, self._chances, spans, strict=True)
        ]

    # ---- state ---------------------------------------------------------------------------------------------------

    def rows(self) -> OutcomeRows:
        """All, by offset and partition."""
        left = self._left()
        found = np.concatenate([np.empty(0, dtype_of(ROW)), *(rows for rows, _ in left)])
        order = np.lexsort((found["offset"], found["source"]))
        columns = {name: found[name][order] for name in NAMES}
        if self._classes:
            chances = np.concatenate([np.empty((0, self._classes)), *(each for _, each in left)])
            columns["score"] = chances[order].ravel()
        return OutcomeRows.of(columns, self._classes)

    def load(self, rows: OutcomeRows) -> None:
        """Take over what `rows` gave, where nothing waits yet."""
        same = np.arange(int(rows.model.max(initial=-1)) + 1)
        for source in np.unique(rows.source):
            self.add(rows.take(rows.source == source), same, 0)
