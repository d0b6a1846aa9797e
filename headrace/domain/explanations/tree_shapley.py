"""Shapley values of sums of trees, exact, for a row against up to 64 background rows at once.

The game of a row x and a background row z: a set of inputs is taken from x, all others from z, and the trees say what
that is worth. An input's contribution is its Shapley value, the mean over background rows (interventional: Janzing,
Minorics and Blöbaum 2020): contributions sum to what x is worth above the background's mean.

A leaf is reached by such a mixture if each input that its path tests is taken from a row that passes these tests. Where
both rows pass it makes no difference; a inputs must come from x (z fails there) and b from z. A leaf of value v gives
v (a - 1)! b! / (a + b)! to each of the first and takes v a! (b - 1)! / (a + b)! from each of the others (Laberge and
Pequignot 2022, arXiv 2209.15123, after Lundberg and others 2020: interventional TreeSHAP).

All tests of an input on a path come to one interval. The background is fixed, so for each leaf and input a bit for each
background row says whether it passes, and a leaf that no row can mix with x into is known by a few operations. For the
others b is the same for all rows that can, and a is counted for all of them at once, by masks: the cost hardly depends
on how many rows there are. What a leaf gives follows from which of its conditions x meets: for paths of few inputs all
of that is made at the beginning, and looked up (as in WOODELF: Nadel and Wettenstein 2025, arXiv 2511.09376).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import comb

import numpy as np
import numpy.typing as npt

from headrace.columnar.jit import kernel
from headrace.columnar.memory import ones, trailing_zeros
from headrace.domain.models.forest import LeafTree, SplitTest, TreeSum

Floats = npt.NDArray[np.float64]
Singles = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
Masks = npt.NDArray[np.uint64]
MOST_ROWS = 64
"""Of the background: a bit of a word each."""
MOST_TESTED = 64
"""Inputs that a path may test."""
BLOCK = 256
"""Rows that are treated together."""
MOST_TABLED = 1 << 19
"""Numbers of all tables together, of 8 bytes: four times as many made batches of 25 rows no quicker."""
NO_BOUND = float("nan")
"""Nothing compares with it."""


@dataclass(frozen=True, slots=True, eq=False)
class TreeShapley:
    """Leaves of all trees, with what their paths ask, and what a background says to it.

    Attributes:
        values: float64, of the leaves.
        ends: int64, leaves + 1: leaf i asks by the conditions ends[i] to ends[i + 1], each of another input.
        inputs: int64, of conditions: which.
        lowest, highest: float32: it lies above the one and not above the other; NaN where there is no bound.
        missing: bool: whether it may be missing.
        passes: uint64: a bit for each background row that passes.
        rows: of the background.
        shares: float64, 2 x a x b: what an input that comes from x is given of a leaf, and what is taken from others.
        base: beside the trees.
        starts: int64, by leaf: where its table begins; -1: it has none.
        tables: float64: for each set of conditions that a row may meet, a bit each, what the leaf gives to each input.
    """

    values: Floats
    ends: Ints
    inputs: Ints
    lowest: Singles
    highest: Singles
    missing: Flags
    passes: Masks
    rows: int
    shares: Floats
    base: float
    starts: Ints
    tables: Floats

    def contributions(self, matrix: npt.NDArray[np.floating]) -> tuple[Floats, Floats, int]:
        """Of each input to each row, float64 [n, inputs]; what rows are worth, float64 [n], of which contributions are
        the difference to the background's mean; and how many steps it took, the same wherever it is run.

        Args:
            matrix: [n, inputs], 32 bits count; NaN where missing. Rows stand alone: cuts make no difference.
        """
        columns = np.ascontiguousarray(np.asarray(matrix, np.float32).T)
        if not columns.flags.writeable:
            columns = columns.copy()
        found, worth = np.zeros(matrix.shape), np.full(len(matrix), self.base)
        steps = _contribute(
            columns, self.values, self.ends, self.inputs, self.lowest, self.highest, self.missing, self.passes,
            np.uint64((1 << self.rows) - 1), self.shares, self.starts, self.tables, found, worth,
        )  # fmt: skip  # the rows, the trees, the background, the answer
        return found / self.rows, worth, steps


def tree_shapley(summed: TreeSum, background: Singles, most_tabled: int = MOST_TABLED) -> TreeShapley:
    """Lay it out.

    Args:
        summed: the trees.
        background: float32 [rows, inputs], 1 to 64 rows, NaN where missing.
        most_tabled: numbers of all tables together; leaves of the shortest paths have one first.

    Raises:
        ValueError: there are more rows, or none, or more than 64 inputs on a path.
    """
    rows = len(background)
    if not 0 < rows <= MOST_ROWS:
        raise ValueError(f"{rows} background rows, 1 to {MOST_ROWS} are possible")
    paths = [path for tree in summed.trees for path in _paths(tree)]
    sizes = np.array([len(path) for path in paths], np.int64)
    if sizes.max() > MOST_TESTED:
        raise ValueError(f"a path that tests {sizes.max()} inputs, {MOST_TESTED} are possible")
    asked = [condition for path in paths for condition in path]
    inputs = np.array([each[0] for each in asked], np.int64)
    lowest, highest = (np.array([each[at] for each in asked], np.float32) for at in (1, 2))
    missing = np.array([each[3] for each in asked], np.bool_)
    given = background[:, inputs]
    pass_it = ~(given <= lowest) & ~(given > highest) & (~np.isnan(given) | missing)
    bits = np.uint64(1) << np.arange(rows, dtype=np.uint64)
    values = np.array([value for tree in summed.trees for value in tree.leaves])
    ends = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    passes = np.where(pass_it, bits[:, None], np.uint64(0)).sum(axis=0, dtype=np.uint64)
    shares, starts = _shares(int(sizes.max()) + 1), _starts(sizes, most_tabled)
    tables = np.zeros(sum(_table_size(size) for size, start in zip(sizes.tolist(), starts, strict=True) if start >= 0))
    _tabulate(values, ends, passes, np.uint64((1 << rows) - 1), shares, starts, tables)
    return TreeShapley(
        values, ends, inputs, lowest, highest, missing, passes, rows, shares, summed.base, starts, tables
    )  # fmt: skip  # one object


def _table_size(conditions: int) -> int:
    return conditions << conditions


def _starts(sizes: Ints, most: int) -> Ints:
    """Where the table of each leaf begins, whose path has so many conditions; -1 where all would be too many."""
    found, at = np.full(len(sizes), -1, np.int64), 0
    for leaf in np.argsort(sizes, kind="stable").tolist():
        size = _table_size(int(sizes[leaf]))
        if at + size > most:
            break
        found[leaf], at = at, at + size
    return found


def _shares(most: int) -> Floats:
    found = np.zeros((2, most, most))
    for a in range(most):
        for b in range(most - a):
            found[0, a, b] = 1 / (a * comb(a + b, a)) if a else 0.0
            found[1, a, b] = 1 / (b * comb(a + b, a)) if b else 0.0
    return found


Condition = tuple[int, float, float, bool]
"""What a path asks of an input: which, above, not above, whether it may be missing."""


def _paths(tree: LeafTree) -> Iterator[list[Condition]]:
    """The conditions of each leaf, from left to right."""
    pending: list[tuple[int, int, int, dict[int, Condition]]] = [(0, len(tree.leaves), 0, {})]
    while pending:
        low, high, number, asked = pending.pop()
        if high - low == 1:
            yield [*asked.values()]
            continue
        # Inner nodes come before those below them, the left ones first: one less than there are leaves.
        test = tree.tests[number]
        pending.append((test.right, high, number + test.right - low, asked | _narrowed(asked, test, left=False)))
        pending.append((low, test.right, number + 1, asked | _narrowed(asked, test, left=True)))


def _narrowed(asked: dict[int, Condition], test: SplitTest, *, left: bool) -> dict[int, Condition]:
    _, low, high, missing = asked.get(test.feature, (0, NO_BOUND, NO_BOUND, True))
    if left:
        high = test.threshold if np.isnan(high) else min(high, test.threshold)
    else:
        low = test.threshold if np.isnan(low) else max(low, test.threshold)
    return {test.feature: (test.feature, low, high, missing and test.missing_left == left)}


@kernel(
    "f4[:,::1] f8[::1] i8[::1] i8[::1] f4[::1] f4[::1] b1[::1] u8[::1] u8 f8[:,:,::1] i8[::1] f8[::1] f8[:,::1] f8[::1]"
)
def _contribute(
    columns: Singles, values: Floats, ends: Ints, inputs: Ints, lowest: Singles, highest: Singles, missing: Flags,
    passes: Masks, everyone: np.uint64, shares: Floats, starts: Ints, tables: Floats, found: Floats, worth: Floats,
) -> int:  # fmt: skip  # the rows, the trees, the background, the answer
    """For each leaf what some rows meet, one condition after the other; then what each of them is given for that."""
    most = shares.shape[1]
    masks, given = np.zeros(most + 1, np.uint64), np.zeros(most)
    one, met = np.uint64(1), np.empty(BLOCK, np.uint64)
    steps = 0
    for begin in range(0, columns.shape[1], BLOCK):
        rows = min(BLOCK, columns.shape[1] - begin)
        for leaf in range(len(values)):
            first, start, value = ends[leaf], starts[leaf], values[leaf]
            count = ends[leaf + 1] - first
            met[:rows] = 0
            for at in range(count):
                column, bit = columns[inputs[first + at], begin : begin + rows], one << np.uint64(at)
                low, high, unknown = lowest[first + at], highest[first + at], missing[first + at]
                for row in range(rows):
                    number = column[row]
                    meets = (not number <= low) & (not number > high) & ((number == number) | unknown)
                    met[row] |= bit if meets else np.uint64(0)
            every = ((one << np.uint64(count - 1)) - one) * np.uint64(2) + one if count else np.uint64(0)
            for row in range(rows):
                worth[begin + row] += value if met[row] == every else 0.0
                if start >= 0:
                    place = start + np.int64(met[row]) * count
                    for at in range(count):
                        found[begin + row, inputs[first + at]] += tables[place + at]
                    steps += 2 * count
                else:
                    asked = passes[first : first + count]
                    steps += count + _give(value, met[row], asked, everyone, shares, masks, given)
                    for at in range(count):
                        found[begin + row, inputs[first + at]] += given[at]
    return steps


@kernel("f8[::1] i8[::1] u8[::1] u8 f8[:,:,::1] i8[::1] f8[::1]")
def _tabulate(
    values: Floats, ends: Ints, passes: Masks, everyone: np.uint64, shares: Floats, starts: Ints, tables: Floats
) -> None:
    masks = np.zeros(shares.shape[1] + 1, np.uint64)
    for leaf in range(len(values)):
        first, end = ends[leaf], ends[leaf + 1]
        count = end - first
        if starts[leaf] >= 0:
            for own in range(np.int64(1) << count):
                place = starts[leaf] + own * count
                given = tables[place : place + count]
                _give(values[leaf], np.uint64(own), passes[first:end], everyone, shares, masks, given)


@kernel
def _give(
    value: float, own: np.uint64, passes: Masks, everyone: np.uint64, shares: Floats, masks: Masks, given: Floats
) -> int:
    """What a leaf of such a value gives to the input of each condition, to a row that meets `own`; steps that it took.

    masks[a] are the background rows that fail a of the conditions that the row meets, and meet the others.
    """
    one, nobody = np.uint64(1), np.uint64(0)
    alive = everyone
    for at in range(len(passes)):
        if (own >> np.uint64(at)) & one == nobody:
            alive &= passes[at]
    if alive == nobody:
        given[: len(passes)] = 0.0
        return len(passes)
    masks[0], most, left = alive, 0, own
    while left != nobody:
        fail = ~passes[np.int64(trailing_zeros(left))]
        left &= left - one
        most += 1
        masks[most] = nobody
        for a in range(most, 0, -1):
            masks[a] = (masks[a] & ~fail) | (masks[a - 1] & fail)
        masks[0] &= ~fail
    b = len(passes) - most
    taken = 0.0
    for a in range(most + 1):
        taken += shares[1, a, b] * np.float64(ones(masks[a]))
    for at in range(len(passes)):
        gained = 0.0
        if (own >> np.uint64(at)) & one != nobody:
            for a in range(1, most + 1):
                gained += shares[0, a, b] * np.float64(ones(masks[a] & ~passes[at]))
        else:
            gained = -taken
        given[at] = value * gained
    return len(passes) + 2 + most * most
