"""The windows of one view in one partition, by entity key; and what a view of the pipeline file asks of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from headrace.columnar import packing
from headrace.columnar.key_index import EntityIndex
from headrace.columnar.partitioner import Keys, keys_of
from headrace.domain.aggregations.registry import function_named
from headrace.domain.features.label_aggregates import LabelAnswers
from headrace.domain.features.sliding_windows import Answers, Question, Windows
from headrace.domain.features.value_columns import NAMES, check_names, packed_names
from headrace.domain.features.window_pool import Flags, Floats, Ints
from headrace.domain.pipeline.language.aggregation import Aggregation
from headrace.domain.pipeline.spec import View
from headrace.errors import ContractError
from headrace.streaming.watermarks.event_time import NEVER

SWEEPS = 8
"""Times that everything is swept while the watermark moves on by as much as is kept."""


def question_of(view: View, lateness: int) -> Question:
    """What a view asks of its windows."""
    asked = {(a.function, _place(view, a), a.parameter) for a in view.features.values() if not a.of_label}
    extremes = any(function_named(name).extremes for name, _, _ in asked)
    scans = tuple(sorted(each for each in asked if function_named(each[0]).scan is not None))
    return Question(view.windows, view.delay, lateness, len(view.values), extremes, scans, view.limits)


def _place(view: View, aggregation: Aggregation) -> int:
    """The value column that an aggregation reads, -1 for none."""
    value = aggregation.value
    return -1 if value is None else [each.name for each in view.values].index(value.name)


class Features:
    """The feature columns of a view, read from the answers of its windows.

    Parameters:
        view: whose features; laid out once, for views work their columns out anew each time they are asked.
    """

    def __init__(self, view: View) -> None:
        self._missing = None if np.isnan(view.missing) else view.missing
        places = {name: _place(view, aggregation) for name, aggregation in view.features.items()}
        self._columns = [(c.name, view.features[c.feature], c.place, places[c.feature]) for c in view.columns]

    def of(self, answers: Answers, labels: LabelAnswers | None = None) -> dict[str, npt.NDArray[np.generic]]:
        """Columns by name, in the view's order; where a window holds no value, what the view says is `missing`."""
        found: dict[str, npt.NDArray[np.generic]] = {}
        for name, aggregation, window, place in self._columns:
            if aggregation.of_label:
                assert labels is not None, "the view folds labels"
                numbers = labels.of(aggregation.function, window)
            else:
                numbers = answers.of(aggregation.function, window, place, aggregation.parameter)
            if self._missing is not None and function_named(aggregation.function).type == "number":
                numbers = np.where(np.isnan(numbers), self._missing, numbers)
            found[name] = numbers
        return found


class EntityWindows:
    """Windows of the entities that a column names.

    Parameters:
        question: which windows.
        values: names of the value columns, by which a snapshot is held against what is asked (`value_columns`).
    """

    def __init__(self, question: Question, values: Sequence[str] = ()) -> None:
        self.index = EntityIndex()
        self.values = tuple(values)
        self.windows = Windows(question)
        self._swept = NEVER

    def fold_and_answer(
        self, entities: pa.Array, times: Ints, values: Floats, folded: Flags, watermarks: Ints | None = None
    ) -> Answers:
        """See `Windows.fold_and_answer`; `entities` has no nulls."""
        answers = self.windows.fold_and_answer(self.index.slots(keys_of(entities)), times, values, folded, watermarks)
        watermark, slack = self.windows.watermark, self.windows.question.slack
        if watermark - self._swept > slack // SWEEPS:
            self._swept = watermark
            self.index.release(self.windows.sweep())
        return answers

    def columns(self, horizon: int | None = None) -> dict[str, packing.Column]:
        """The state as columns, for `packing.pack`.

        Entries out of reach are left out, and entities without entries. With a `horizon`, entries at or before it are
        left out, and all entities stay: whoever says the horizon also says when an entity is gone.
        """
        self.windows.sweep(horizon)
        live = self.index.live()
        lengths = self.windows.lengths()
        live = live[live < len(lengths)]
        if horizon is None:
            live = live[lengths[live] > 0]
        keys = self.index.keys(live)
        length, times, values = self.windows.columns(live)
        columns: dict[str, packing.Column] = {
            "keys": keys.data,
            "sizes": np.diff(keys.ends),
            "length": length,
            "rank": self.windows.ranks(live),
            "times": times,
            "watermark": np.array([self.windows.watermark]),
            NAMES: packed_names(self.values),
        }
        return columns | {f"value{at}": np.ascontiguousarray(values[:, at]) for at in range(values.shape[1])}

    def load(self, columns: dict[str, packing.Column]) -> None:
        """Take over what `columns` gave; nothing may be held yet. Raises ContractError when the parts do not fit."""
        fields = self.windows.question.columns
        columns = dict(columns)
        check_names(columns.pop(NAMES, None), self.values)
        wanted = {"keys", "sizes", "length", "rank", "times", "watermark", *(f"value{at}" for at in range(fields))}
        if wanted != set(columns):
            raise ContractError(f"state snapshot: holds {sorted(columns)}, this view needs {sorted(wanted)}")
        sizes, length = columns["sizes"].astype(np.int64), columns["length"].astype(np.int64)
        ends = np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes)])
        times = columns["times"].astype(np.int64)
        values = np.empty((len(times), fields))
        for at in range(fields):
            values[:, at] = columns[f"value{at}"]
        slots = self.index.slots(Keys(columns["keys"].astype(np.uint8), ends))
        if not np.array_equal(slots, np.arange(len(sizes))) or len(length) != len(sizes) or length.sum() != len(times):
            raise ContractError("state snapshot: keys and entries do not fit together")
        rank, watermark = columns["rank"].astype(np.int64), int(columns["watermark"][0])
        self.windows.load(length, rank, times, values, watermark)
        self._swept = watermark
