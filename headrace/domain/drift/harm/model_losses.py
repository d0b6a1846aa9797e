"""What one model loses in one stream: by the reference in its package, or by its first outcomes where it has none."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from headrace.columnar.packing import Column, beneath, json_column, json_of
from headrace.domain.drift.first_values import LEARNT
from headrace.domain.drift.harm.loss_bets import LossBets, loss_bets
from headrace.domain.drift.harm.loss_course import LossCourse
from headrace.domain.drift.harm.loss_reference import LossReference, chance_losses, value_losses
from headrace.domain.drift.reference_bins import Bytes, Flags, Floats, Ints

BEFORE_TIME = -(2**61)
"""Below this nobody knows how far event time had come."""


class ModelLosses:
    """A fold of rows in the order of how far event time had come, wherever batches are cut.

    Args:
        reference: of the package; None: the first `LEARNT` rows with score and label are it.
        labelled: whether rows have labels; without, what they lose is what their scores let expect, and a reference
            is needed.
        chance: whether scores are chances.
        tolerance: see `loss_bets`.
        groups: names of sets of rows that are summed over apart.
        waits: event time after the first row, milliseconds, in which rows do not count: as long as events become mature
            one after the other, those with early labels are a choice of them.

    Attributes:
        bets: None while the reference is being learnt.
        course: the same.
    """

    def __init__(
        self,
        reference: LossReference | None,
        labelled: bool,
        chance: bool,
        tolerance: float,
        groups: tuple[str, ...] = (),
        waits: int = 0,
    ) -> None:
        self.groups = groups
        self.given = reference is not None
        self.reference = reference
        self.bets: LossBets | None = None
        self.course: LossCourse | None = None
        self._labelled, self._chance = labelled, chance
        self._tolerance, self._waits = tolerance, waits
        self._first: Floats = np.empty((0, 2))
        self._begun: int | None = None
        self._begin()

    def _begin(self) -> None:
        if self.reference is not None:
            self.bets = loss_bets(self.reference, self._tolerance)
            table = self.bets.outcomes if self._labelled else self.bets.answers
            self.course = LossCourse(table, len(self.groups))

    @property
    def learnt(self) -> int | None:
        """Of how many rows its reference is made so far; None once it has one."""
        return len(self._first) if self.reference is None else None

    @property
    def counts_from(self) -> int | None:
        """Event time from which on rows count, milliseconds; None before the first row."""
        return None if self._begun is None else self._begun + self._waits

    def take(self, places: Bytes, values: Floats, reached: Ints, members: Flags) -> None:
        """Take rows in.

        Args:
            places: uint8, rows x 1: by the reference that was given; rows x 0 without one.
            values: float64, rows x (score, truth), NaN where not known; rows x 0 where a reference was given.
            reached: int64, event time in milliseconds with each row; never falls.
            members: rows x groups.
        """
        low = self.early(reached)
        if self.reference is None and low < len(reached):
            low += self._learn(values[low:])
        if self.reference is not None and self.course is not None and low < len(reached):
            if self.given:
                found = places[low:, 0].astype(np.int64)
            else:
                found = self.reference.places(values[low:, 0], values[low:, 1])
            self.course.take(found, reached[low:], members[low:])

    def early(self, reached: Ints) -> int:
        """How many of these rows, the next ones, come too soon to count."""
        timeless = int(np.searchsorted(reached, BEFORE_TIME))
        if self._begun is None and timeless < len(reached):
            self._begun = int(reached[timeless])
        if not self._waits:
            return 0
        return timeless if self.counts_from is None else int(np.searchsorted(reached, self.counts_from))

    def _learn(self, values: Floats) -> int:
        """Gather rows until there are enough; how many were taken."""
        known = np.flatnonzero(~np.isnan(values).any(axis=1))
        missing = LEARNT - len(self._first)
        upto = int(known[missing - 1]) + 1 if len(known) >= missing else len(values)
        self._first = np.concatenate([self._first, values[known[known < upto]]])
        if len(self._first) == LEARNT:
            make = chance_losses if self._chance else value_losses
            self.reference = make(*np.ascontiguousarray(self._first.T))
            self._first = np.empty((0, 2))
            self._begin()
        return upto

    def save(self) -> dict[str, Column]:
        """As columns."""
        said = {
            "tolerance": self._tolerance,
            "groups": self.groups,
            "begun": self._begun,
            "learnt": None if self.given or self.reference is None else self.reference.dump(),
        }
        course = {} if self.course is None else self.course.save()
        return {
            "said": json_column(said),
            "first": self._first.T.ravel(),
            **{f"course.{name}": column for name, column in course.items()},
        }

    def load(self, columns: Mapping[str, Column]) -> bool:
        """Take over what `save` gave.

        False where sums were of another tolerance, other groups or another reference: they begin anew.
        """
        said = json_of(columns["said"])
        self._begun = said["begun"]
        if said["learnt"] is not None and not self.given:
            self.reference = LossReference.of(said["learnt"])
            self._begin()
        self._first = np.ascontiguousarray(columns["first"].astype(np.float64).reshape(2, -1).T)
        if self.given:
            self._first = np.empty((0, 2))
        same = said["tolerance"] == self._tolerance and tuple(said["groups"]) == self.groups
        course = beneath(columns, "course.")
        if self.course is None or not course:
            return self.course is None and not course
        if same and self.course.load(course):
            return True
        self.course.complete = False
        return False
