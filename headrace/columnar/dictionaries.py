"""Numbers for the names that recur in millions of rows: who labels, and which models predict."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
MOST_SOURCES = 4_096
OTHERS = "(others)"
"""Label sources beyond the first MOST_SOURCES are one: somebody writes something else than a source there."""


class LabelSources:
    """Label sources in the order in which they were met, and how they rank.

    Parameters:
        listed: those that the pipeline file ranks, first to last; all others come after them, by name.

    Attributes:
        ranks: int64, by number; less is better.
    """

    def __init__(self, listed: Sequence[str], names: Sequence[str] = ()) -> None:
        self._listed = {name: place for place, name in enumerate(listed)}
        self.names: list[str] = []
        self._numbers: dict[str, int] = {}
        self.ranks = np.zeros(0, np.int64)
        self.numbers(names)

    def numbers(self, names: Sequence[Any]) -> Ints:
        """The number of each name, new ones for names not met yet."""
        new = False
        found = np.zeros(len(names), np.int64)
        for place, name in enumerate(names):
            if name not in self._numbers and len(self.names) >= MOST_SOURCES and name not in self._listed:
                name = OTHERS
            if name not in self._numbers:
                self._numbers[name] = len(self.names)
                self.names.append(name)
                new = True
            found[place] = self._numbers[name]
        if new:
            order = sorted(self.names, key=lambda name: (self._listed.get(name, len(self._listed)), name))
            place_of = {name: place for place, name in enumerate(order)}
            self.ranks = np.array([place_of[name] for name in self.names], np.int64)
        return found


class Models:
    """What predictions say of their models, in the order in which it was met.

    Attributes:
        identities: tuples: the end of their predictions' ids, then what predictions say of them.
        suffixes: int64, by number: equal for those that give an event's prediction the same id.
    """

    def __init__(self, identities: Sequence[Sequence[Any]] = ()) -> None:
        self.identities: list[tuple[Any, ...]] = []
        self._numbers: dict[tuple[Any, ...], int] = {}
        self._suffixes: dict[str, int] = {}
        self.suffixes = np.zeros(0, np.int64)
        self.numbers([tuple(identity) for identity in identities])

    def numbers(self, names: Sequence[Any]) -> Ints:
        """The number of each identity, new ones for those not met yet."""
        before = len(self.identities)
        for identity in names:
            if identity not in self._numbers:
                self._numbers[identity] = len(self.identities)
                self._suffixes.setdefault(identity[0], len(self._suffixes))
                self.identities.append(identity)
        if len(self.identities) > before:
            self.suffixes = np.array([self._suffixes[identity[0]] for identity in self.identities], np.int64)
        return np.array([self._numbers[identity] for identity in names], np.int64)
