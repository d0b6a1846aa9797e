"""What one partition of a view holds of its entities: their entries, and the labels of these."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from headrace.columnar import packing
from headrace.columnar.key_index import strings_of
from headrace.columnar.partitioner import keys_of
from headrace.domain.features import values as timelines
from headrace.domain.features.keyed_windows import EntityWindows
from headrace.domain.features.label_aggregates import LabelQuestion
from headrace.domain.features.sliding_windows import Question, Windows
from headrace.domain.features.window_pool import Floats, Ints
from headrace.errors import ContractError

_LABELS = "labels."


class Ledger:
    """Windows of entries, and beside them windows of the labels of entries, of the same entities by the same slots.

    An entry and its label need not come in any order, and both go when the horizon has passed the entry's time.

    Parameters:
        question: what is asked of entries.
        labels: what is asked of their labels, None for nothing.
        values: names of the value columns of entries.
    """

    def __init__(self, question: Question, labels: LabelQuestion | None = None, values: Sequence[str] = ()) -> None:
        self._entities = EntityWindows(question, values)
        self._question = labels
        self._labels = None if labels is None else Windows(labels.kept(question.lateness))

    def __len__(self) -> int:
        return len(self._entities.index)

    def fold(self, entities: pa.Array, times: Ints, values: Floats, horizons: Ints) -> Ints:
        """Take up entries, each at the horizon that held then; the slots of their entities.

        See `Windows.fold` for horizons that fall.
        """
        slots = self._entities.index.slots(keys_of(entities))
        self._entities.windows.fold(slots, times, values, horizons)
        if self._labels is not None:
            self._labels.reach(slots)
        return slots

    def fold_labels(
        self, entities: pa.Array, times: Ints, known: Ints, labelled: Floats, label: Floats, horizons: Ints
    ) -> Ints:
        """Take up changes of labels, see `LabelQuestion.changes`; the slots of the entities that changed.

        Changes of entries at or before the horizon that held then come too late to matter.
        """
        if self._labels is None or self._question is None:
            return np.zeros(0, np.int64)
        kept, values = self._question.changes(times, known, labelled, label)
        in_time = times[kept] > horizons[kept]
        at = np.flatnonzero(kept)[in_time]
        slots = self._entities.index.slots(keys_of(entities.take(pa.array(at))))
        self._labels.fold(slots, times[at], values[in_time], horizons[at])
        self._entities.windows.reach(slots)
        return slots

    def sweep(self, horizon: int) -> Ints:
        """Forget what is at or before `horizon`; the slots of entities that hold nothing now."""
        empty = self._entities.windows.sweep(horizon)
        if self._labels is not None:
            empty = np.intersect1d(empty, self._labels.sweep(horizon), assume_unique=True)
        return np.intersect1d(empty, self.live(), assume_unique=True)

    def release(self, slots: Ints) -> None:
        """Forget entities that hold nothing."""
        self._entities.index.release(slots)

    def live(self) -> Ints:
        """Slots of all entities."""
        return self._entities.index.live()

    def names(self, slots: Ints) -> pa.StringArray:
        """The entities of these slots."""
        return strings_of(self._entities.index.keys(slots))

    def timelines(self, slots: Ints) -> list[bytes]:
        """What the online store is to hold of these slots' entities."""
        labels = None if self._labels is None else self._labels.columns(slots)
        return timelines.pack(self._entities.windows.columns(slots), labels)

    def columns(self, horizon: int) -> dict[str, packing.Column]:
        """The state as columns, for `packing.pack`, without what is at or before `horizon`."""
        columns = self._entities.columns(horizon)
        if self._labels is None:
            return columns
        self._labels.sweep(horizon)
        live = self.live()
        length, times, values = self._labels.columns(live)
        named = {"length": length, "rank": self._labels.ranks(live), "times": times}
        named |= {f"value{at}": np.ascontiguousarray(values[:, at]) for at in range(values.shape[1])}
        return columns | {f"{_LABELS}{name}": column for name, column in named.items()}

    def load(self, columns: dict[str, packing.Column]) -> None:
        """Take over what `columns` gave; nothing may be held yet. Raises ContractError when the parts do not fit."""
        told = packing.beneath(columns, _LABELS)
        self._entities.load({name: c for name, c in columns.items() if not name.startswith(_LABELS)})
        count = 0 if self._question is None else self._question.columns
        wanted = {"length", "rank", "times", *(f"value{at}" for at in range(count))} if count else set()
        if wanted != told.keys():
            raise ContractError(f"state snapshot: holds {sorted(told)} of labels, this view needs {sorted(wanted)}")
        if self._labels is None:
            return
        length, rank, times = (told[name].astype(np.int64) for name in ("length", "rank", "times"))
        values = np.column_stack([told[f"value{at}"] for at in range(count)]).astype(np.float64)
        if len(length) != len(self) or length.sum() != len(times):
            raise ContractError("state snapshot: keys and labels do not fit together")
        self._labels.load(length, rank, times, values, int(times.max(initial=0)))
