"""How often each score was given, and what became of it: the summary that every figure of a classifier is read from.

A table is exact until it would hold more than `cap` distinct scores; then scores are put into cells by dropping low
bits. Which cells is decided by the scores alone: the least number of bits by which they fit. A coarser grid is made of
whole cells of a finer one and a part of the rows never needs more bits than all of them, so parts may be summarised,
merged and coarsened in any order and give the same table, bit for bit.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from headrace.columnar import packing
from headrace.errors import ContractError

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Keys = npt.NDArray[np.uint64]

CAP = 65_536
LEAST_CAP = 4_096  # every binade of both signs fits, so that dropping the 52 bits of the fraction always suffices
_FRACTION = 52
_SIGN = np.uint64(1 << 63)
_COUNTS = ("positives", "negatives", "unlabelled")


@dataclass(frozen=True, slots=True, eq=False)
class ScoreTable:
    """Counts of rows by score.

    Attributes:
        scores: float64, ascending and distinct; the middle of its cell where bits were dropped.
        positives, negatives, unlabelled: int64, rows of each score by their label.
        dropped: low bits of the float64 score that were dropped, 0 to 52.
    """

    scores: Floats
    positives: Ints
    negatives: Ints
    unlabelled: Ints
    dropped: int = 0

    def __len__(self) -> int:
        """How many distinct scores."""
        return len(self.scores)

    @property
    def exact(self) -> bool:
        """Whether scores are as they were given."""
        return self.dropped == 0

    @property
    def relative_error(self) -> float:
        """No score differs from the one given by more than this share of it (scores below 1e-307 apart)."""
        return 0.0 if self.exact else 2.0 ** (self.dropped - _FRACTION - 1)

    @property
    def rows(self) -> Ints:
        """int64, rows of each score, labelled or not."""
        return self.positives + self.negatives + self.unlabelled

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ScoreTable) and pack(self) == pack(other)

    __hash__ = None  # type: ignore[assignment]  # holds arrays


EMPTY = ScoreTable(np.zeros(0), np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.int64))


def tabulated(scores: npt.NDArray[np.floating], labels: npt.NDArray[np.generic], cap: int = CAP) -> ScoreTable:
    """The table of rows given as columns of the same length.

    Args:
        scores: float32 or float64, finite.
        labels: bool, integer or floating; above zero is positive, NaN is unlabelled.
        cap: most distinct scores to hold, at least 4,096.

    Raises ValueError for a score that is not finite.

    >>> table = tabulated(np.array([0.5, 0.2, 0.5]), np.array([1.0, np.nan, 0.0]))
    >>> table.scores.tolist(), table.positives.tolist(), table.unlabelled.tolist()
    ([0.2, 0.5], [0, 1], [1, 0])
    """
    given = np.asarray(labels)
    positive = given > 0
    unknown = np.isnan(given) if np.issubdtype(given.dtype, np.floating) else np.zeros(len(given), np.bool_)
    counts = np.stack([positive, ~positive & ~unknown, unknown]).astype(np.int64)
    return _folded(_keys(np.asarray(scores, np.float64)), counts, 0, cap)


def merged(tables: Iterable[ScoreTable], cap: int = CAP) -> ScoreTable:
    """The table of all rows of `tables`; neither their order nor how rows were split among them makes a difference.

    That holds when all were made with the same `cap`.
    """
    parts = [table for table in tables if len(table)]
    if not parts:
        return EMPTY
    counts = np.concatenate([[part.positives, part.negatives, part.unlabelled] for part in parts], axis=1)
    keys = np.concatenate([_keys(part.scores) for part in parts])
    return _folded(keys, counts, max(part.dropped for part in parts), cap)


def replaced(table: ScoreTable, old: ScoreTable, new: ScoreTable, cap: int = CAP) -> ScoreTable:
    """`table` with the rows of `old`, which it holds, corrected to those of `new`.

    Scores that no row is left with stay, with counts of zero, so that the cells do not depend on when a correction
    came; they change no figure, but for the rounding of sums.
    """
    gone = ScoreTable(old.scores, -old.positives, -old.negatives, -old.unlabelled, old.dropped)
    return merged([table, gone, new], cap)


def pack(table: ScoreTable) -> bytes:
    """The table as bytes, less than one a score when it is full."""
    if not len(table) and not table.dropped:
        return _PACKED_EMPTY
    return _pack(table)


def _pack(table: ScoreTable) -> bytes:
    columns = {name: np.asarray(count, np.int64) for name, count in zip(_COUNTS, _counts(table), strict=True)}
    cells = (_keys(table.scores) >> np.uint64(table.dropped)).view(np.int64)
    return packing.pack({"cells": cells, "dropped": np.array([table.dropped], np.int64), **columns})


def unpack(data: bytes) -> ScoreTable:
    """The table that `pack` took, bit for bit. Raises ContractError when the bytes are none of ours, or damaged."""
    if data == _PACKED_EMPTY:
        return EMPTY
    columns = packing.unpack(data)
    if set(columns) != {"cells", "dropped", *_COUNTS}:
        raise ContractError(f"score table: packed is something else, of {', '.join(columns)}")
    dropped = int(columns["dropped"][0])
    cells = columns["cells"].view(np.uint64) << np.uint64(dropped)
    positives, negatives, unlabelled = (columns[name].astype(np.int64, copy=False) for name in _COUNTS)
    return ScoreTable(_middle(cells, dropped), positives, negatives, unlabelled, dropped)


def _counts(table: ScoreTable) -> tuple[Ints, Ints, Ints]:
    return table.positives, table.negatives, table.unlabelled


def _keys(scores: Floats) -> Keys:
    """Unsigned integers in the order of the scores, the bits of positive ones kept as they are below the top bit."""
    if not np.all(np.isfinite(scores)):
        raise ValueError("a score is not finite")
    bits = (scores + 0.0).view(np.uint64)  # adding zero makes of -0.0 the 0.0 that it equals
    return np.where(bits & _SIGN, ~bits, bits | _SIGN)


def _floor(keys: Keys, dropped: int) -> Keys:
    return keys >> np.uint64(dropped) << np.uint64(dropped)


def _middle(cells: Keys, dropped: int) -> Floats:
    """The scores in the middle of cells, which are named by their least key."""
    keys = cells + np.uint64(1 << dropped >> 1)
    return np.where(keys & _SIGN, keys & ~_SIGN, ~keys).view(np.float64)


def _folded(keys: Keys, counts: Ints, dropped: int, cap: int) -> ScoreTable:
    """Rows of the same cell together, on the finest grid from `dropped` on that has at most `cap` cells."""
    if cap < LEAST_CAP:
        raise ValueError(f"a score table holds at least {LEAST_CAP} scores, not {cap}")
    order = np.argsort(keys, kind="stable")  # linear on what is sorted in parts already
    keys, counts = keys[order], counts[:, order]
    dropped = max(dropped, _needed(keys, cap))
    cells = _floor(keys, dropped)
    starts = np.flatnonzero(np.append(True, cells[1:] != cells[:-1])) if len(cells) else np.zeros(0, np.int64)
    summed = np.add.reduceat(counts, starts, axis=1) if len(cells) else counts
    return ScoreTable(_middle(cells[starts], dropped), summed[0], summed[1], summed[2], dropped)


def _needed(keys: Keys, cap: int) -> int:
    """The least bits to drop so that sorted keys fall into at most `cap` cells.

    Neighbours stay apart until the highest bit in which they differ is dropped.
    """
    differing = keys[1:] ^ keys[:-1]
    differing = differing[differing > 0]
    if len(differing) < cap:
        return 0
    highest = np.frexp(differing.astype(np.float64))[1]  # 1 for the lowest bit; rounding up may tell one too many
    highest -= (differing >> (highest - 1).astype(np.uint64)) == 0
    apart = np.bincount(highest, minlength=65)[::-1].cumsum()[::-1]  # [h]: pairs that differ in bit h or above
    return int(np.flatnonzero(apart[1:] < cap)[0])


_PACKED_EMPTY = _pack(EMPTY)
"""Of the tables of most groups, one of two is empty."""
