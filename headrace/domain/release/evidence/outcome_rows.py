"""Outcomes as columns, as stage two pairs them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from headrace.columnar import packing

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class OutcomeRows:
    """First outcomes of predictions.

    Attributes:
        progress: int64, before which event time all outcomes of their partition were told before each, milliseconds;
            never falls within a partition.
        source: int64, the partition of outcomes.
        offset: int64.
        model: int64, number of the model among those that stand beside.
        key: int64, 64 bits of a hash of the event's id.
        time: int64, of the event, milliseconds.
        score: float64, finite; of several classes the chance of each, [rows, classes].
        label: float64; of several classes the place of one; NaN of an event that matured without one.
    """

    progress: Ints
    source: Ints
    offset: Ints
    model: Ints
    key: Ints
    time: Ints
    score: Floats
    label: Floats

    def __len__(self) -> int:
        return len(self.offset)

    def take(self, rows: Ints | Flags | slice) -> OutcomeRows:
        """Some of them, in this order."""
        return OutcomeRows(  # by name: this is called for every piece of every part
            self.progress[rows], self.source[rows], self.offset[rows], self.model[rows], self.key[rows],
            self.time[rows], self.score[rows], self.label[rows],
        )  # fmt: skip  # in the order of the fields

    def columns(self) -> dict[str, packing.Column]:
        """By name; chances of classes row by row."""
        return {name: getattr(self, name).ravel() for name in NAMES}

    @classmethod
    def of(cls, columns: Mapping[str, packing.Column], classes: int = 0) -> OutcomeRows:
        """What `columns` gave, of so many classes; 0: of none.

        Raises KeyError where one is missing, ValueError where they differ in length.
        """
        whole = [columns[name].astype(np.int64, copy=False) for name in NAMES[:6]]
        progress, source, offset, model, key, time = whole
        score, label = (columns[name].astype(np.float64, copy=False) for name in NAMES[6:])
        score = score.reshape(-1, classes) if classes else score
        if len({len(column) for column in (*whole, score, label)}) > 1:
            raise ValueError("columns of outcomes differ in length")
        return cls(progress, source, offset, model, key, time, score, label)


NAMES = tuple(field.name for field in fields(OutcomeRows))
NO_ROWS = OutcomeRows.of({name: np.empty(0, np.int64) for name in NAMES})
