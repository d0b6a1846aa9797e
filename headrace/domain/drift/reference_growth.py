"""Small references take in what came long ago and raised no alarm, so that more of the evidence is left to changes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from headrace.columnar.packing import Column
from headrace.domain.drift.recent_events import RecentEvents
from headrace.domain.drift.reference_bins import Flags, Ints
from headrace.domain.drift.reference_profile import MOST_BINS, ColumnProfile

SMALL = 50_000
"""Rows of a reference from which on it grows no more."""
OLD = 5_120
"""Events after which one may be taken in: a change that is found at all is nearly always found sooner."""
SELDOM = 1 / 8
"""The share of events that tell of a column below which it takes nothing in: `OLD` of them are too few to see a change.
"""
STEP = 0.25
"""By which share a reference grows at once: what its bets pay is made anew then."""


class ReferenceGrowth:
    """Counts old events of columns with a small reference until they are enough for a step.

    Args:
        columns: names of all columns.
        piece: events between two looks, of which each takes in as many.

    Attributes:
        since: int64, by column the event of the model from which on its events may be taken in.
        counts: int64, columns x bins: taken in, and not in the reference yet.
    """

    def __init__(self, columns: Sequence[str], piece: int) -> None:
        self._columns = tuple(columns)
        self._piece = piece
        self.since: Ints = np.zeros(len(columns), np.int64)
        self.counts: Ints = np.zeros((len(columns), MOST_BINS), np.int64)

    def begin(self, columns: Flags | Ints, event: int) -> None:
        """Columns have a part in an alarm, or a new reference: only what comes after `event` may be taken in."""
        self.since[columns] = event
        self.counts[columns] = 0

    def take(
        self, event: int, silent: Flags, recent: RecentEvents, profiles: Mapping[str, ColumnProfile]
    ) -> dict[str, ColumnProfile]:
        """Take in the piece of events that has become old enough with `event`; the references that grew with it.

        Args:
            silent: columns with part in an alarm.
            recent: the newest events, that one the last.
            profiles: by name; columns without one take nothing in.
        """
        self.begin(silent, event)
        high = event - OLD
        low = high - self._piece
        grown = {}
        for at, name in enumerate(self._columns):
            profile = profiles.get(name)
            if low < self.since[at] or profile is None or profile.bins.rows >= SMALL:
                continue
            width = len(profile.bins.counts)
            old = recent.counts(at, event - low, width, newer=event - high)
            if old.sum() < SELDOM * self._piece:
                continue
            self.counts[at, :width] += old
            if self.counts[at].sum() >= STEP * profile.bins.rows:
                bins = replace(profile.bins, counts=profile.bins.counts + self.counts[at, :width])
                grown[name] = replace(profile, bins=bins)
                self.counts[at] = 0
        return grown

    def columns(self) -> dict[str, Column]:
        """The state as columns."""
        return {"since": self.since, "counts": self.counts.ravel()}

    def load(self, columns: Mapping[str, Column]) -> None:
        """Take over what `columns` gave; nothing, where references did not grow when that was."""
        if not columns:
            return
        self.since[:] = columns["since"]
        self.counts[:] = columns["counts"].reshape(self.counts.shape)
