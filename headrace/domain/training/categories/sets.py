"""Splits by sets of categories as splits of columns: each set is a column of a table, which the trees then test."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from headrace.domain.training.categories.lookup import CategoryTable
from headrace.domain.training.graphs import Tree

LEFT, BETWEEN, RIGHT = 1.0, 1.5, 2.0
"""What a table says of a category on either side, and the threshold of the test; none is 0, which may mean missing."""


class CategorySets:
    """The sets that a forest splits by, each once.

    Args:
        width: columns that there are before those of the tables.
        categories: of columns whose numbers are split by sets of, how many numbers there are.
    """

    def __init__(self, width: int, categories: Mapping[int, int]) -> None:
        self._width, self._counts = width, dict(categories)
        self._columns: dict[tuple[int, bytes], int] = {}

    def column(self, feature: int, numbers: Collection[int], *, left: bool) -> int:
        """Where a tree finds, for now, whether a feature's number is among some; see `settled`.

        Args:
            left: whether those go left, and all others right; else the other way about.
        """
        values = np.full(self._counts[feature], RIGHT if left else LEFT, np.float32)
        # A library may name numbers beyond those that there are: no row has them.
        values[[number for number in numbers if 0 <= number < len(values)]] = LEFT if left else RIGHT
        return self._columns.setdefault((feature, values.tobytes()), self._width + len(self._columns))

    def settled(self, trees: Sequence[Tree]) -> tuple[list[Tree], list[CategoryTable]]:
        """The trees with the columns of the tables, in their order behind all others, and the tables."""
        by_feature: dict[int, list[tuple[int, npt.NDArray[np.float32]]]] = {}
        for (feature, values), column in self._columns.items():
            by_feature.setdefault(feature, []).append((column, np.frombuffer(values, np.float32)))
        places = np.arange(self._width + len(self._columns))
        tables, at = [], self._width
        for feature, found in sorted(by_feature.items()):
            for column, _ in found:
                places[column] = at
                at += 1
            rows = np.column_stack([values for _, values in found])
            tables.append(CategoryTable(feature, rows, tuple(f"set {column}" for column, _ in found)))
        return [replace(tree, feature=places[tree.feature]) for tree in trees], tables

    @property
    def width(self) -> int:
        """Columns with those of the tables."""
        return self._width + len(self._columns)
