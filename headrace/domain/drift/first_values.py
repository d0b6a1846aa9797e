"""References that are made of what comes: of columns without one, and of those that a person lets begin anew."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from headrace.columnar.packing import Column, beneath
from headrace.domain.drift.e_detector import NOTHING
from headrace.domain.drift.reference_bins import Bytes, Floats, Ints
from headrace.domain.drift.reference_profile import ColumnProfile, category_profile, numeric_profile

NO_CATEGORIES: Mapping[str, Callable[[int], str]] = {}
LEARNT = 5_000
"""Values that such a reference is made of."""


class FirstValues:
    """Gathers values until there are enough: as they are where there are no bins, else by the bins that there are.

    Args:
        columns: names of all columns.
        unknown: those that come as values, for nobody has bins for them.
        categories: of those whose values stand for categories, how people read one.

    Attributes:
        values: of unknown columns without a reference, float64, in parts.
        counts: of columns that begin anew, int64, 2 x bins: every other value, and the others.
    """

    def __init__(
        self,
        columns: Sequence[str],
        unknown: Sequence[str],
        categories: Mapping[str, Callable[[int], str]] = NO_CATEGORIES,
    ) -> None:
        self._columns, self._unknown, self._categories = tuple(columns), tuple(unknown), categories
        self.values: dict[str, list[Floats]] = {name: [] for name in unknown}
        self.counts: dict[str, Ints] = {}

    def held(self, name: str) -> int | None:
        """How many values a column has so far; None of one that has a reference."""
        if name in self.counts:
            return int(self.counts[name].sum())
        return sum(map(len, self.values[name])) if name in self.values else None

    def begin(self, name: str, bins: int) -> None:
        """Let a column that has bins begin anew."""
        self.counts[name] = np.zeros((2, bins), np.int64)

    def until_enough(self, places: Bytes, values: Floats) -> int:
        """Rows until the next column has enough; all, where none will have.

        Args:
            places: uint8, rows x columns; values: float64, rows x unknown ones, infinite where a row says nothing.
        """
        found = len(places)
        for name, told in self._told(places, values):
            counted = np.cumsum(told)
            missing = LEARNT - (self.held(name) or 0)
            if len(counted) and counted[-1] >= missing:
                found = min(found, int(np.searchsorted(counted, missing)) + 1)
        return found

    def _told(self, places: Bytes, values: Floats) -> Iterator[tuple[str, np.ndarray[Any, np.dtype[np.bool_]]]]:
        for name in self.values:
            yield name, ~np.isinf(values[:, self._unknown.index(name)])
        for name in self.counts:
            yield name, places[:, self._columns.index(name)] != NOTHING

    def take(self, places: Bytes, values: Floats, profiles: Mapping[str, ColumnProfile]) -> dict[str, ColumnProfile]:
        """Take rows in; the references that are made with them, by column.

        Args:
            profiles: of columns that begin anew, those that they had.
        """
        made = {}
        for name in list(self.values):
            column = values[:, self._unknown.index(name)]
            self.values[name].append(column[~np.isinf(column)].copy())
            if (self.held(name) or 0) >= LEARNT:
                learnt, category = np.concatenate(self.values.pop(name)), self._categories.get(name)
                made[name] = numeric_profile(learnt) if category is None else category_profile(learnt, category)
        for name, counts in list(self.counts.items()):
            told, turn = places[:, self._columns.index(name)], int(counts.sum())
            told = told[told != NOTHING]
            for half in (0, 1):
                counts[half] += np.bincount(told[(turn + half) % 2 :: 2], minlength=counts.shape[1])
            if counts.sum() >= LEARNT:
                before = profiles[name]
                bins = replace(before.bins, counts=self.counts.pop(name).sum(axis=0))
                made[name] = replace(before, bins=bins, others=counts[1])
        return made

    def columns(self) -> dict[str, Column]:
        """The state as columns."""
        values = {f"values.{name}": np.concatenate([*parts, np.empty(0)]) for name, parts in self.values.items()}
        return {**values, **{f"halves.{name}": counts.ravel() for name, counts in self.counts.items()}}

    def load(self, columns: Mapping[str, Column]) -> None:
        """Take over what `columns` gave."""
        self.values = {name: [column.astype(np.float64)] for name, column in beneath(columns, "values.").items()}
        self.counts = {
            name: column.astype(np.int64).reshape(2, -1) for name, column in beneath(columns, "halves.").items()
        }
        # As it was when every value was counted in one.
        for name, column in beneath(columns, "counts.").items():
            self.counts[name] = np.stack([column, np.zeros_like(column)]).astype(np.int64)
