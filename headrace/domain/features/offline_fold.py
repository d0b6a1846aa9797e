"""Features made anew from the log of events alone, by the parts that `enrich` and `views` make them of.

Which events count is decided by the same gate, row by row in the order of each partition; windows of the events' own
key are folded in that order, those of other entities from all entries, as they stand in the online store.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from headrace.columnar.partitioner import keys_of
from headrace.domain.features import values as timelines
from headrace.domain.features.duplicates import Ids
from headrace.domain.features.entities import entities_in_view
from headrace.domain.features.event_gate import DAY, FIRM, Gate, Passed, text_of, times_of
from headrace.domain.features.keyed_windows import EntityWindows, Features, question_of
from headrace.domain.features.label_aggregates import label_question_of
from headrace.domain.features.sliding_windows import Windows
from headrace.domain.features.value_columns import names_of, values_of
from headrace.domain.features.window_pool import Flags, Floats, Ints
from headrace.domain.pipeline.spec import Pipeline, View
from headrace.streaming.records.batch import Batch
from headrace.streaming.watermarks.event_time import NEVER, Clock

FeatureColumns = dict[str, npt.NDArray[np.generic]]


class OfflineGate:
    """The gate of `enrich` over a log, from where it is begun to be read: of what was before it knows nothing.

    Parameters:
        pipeline: whose events these are.
        ahead_ms: see `Gate`.
    """

    def __init__(self, pipeline: Pipeline, ahead_ms: int = DAY) -> None:
        self._gate = Gate(pipeline, ahead_ms)
        self._events = pipeline.events
        self._remembers = pipeline.events.repeats == "drop" or bool(pipeline.label_views)
        self._ids: dict[int, Ids] = {}
        self.clocks: dict[int, Clock] = {}

    def passed(self, batch: Batch) -> Passed:
        """The next rows of some partitions."""
        return self._gate.check(batch, self.clocks, self._ids_of if self._remembers else None)

    @property
    def credible(self) -> int:
        """How far event time has credibly come in the partition that is furthest, ms; NEVER before there is any."""
        return max((clock.credible for clock in self.clocks.values()), default=NEVER)

    def _ids_of(self, partition: int) -> Ids:
        events = self._events
        return self._ids.setdefault(partition, Ids(events.repeats_within, keeps=events.repeats == "keep"))


class OwnViewFold:
    """A view whose entities the events' own key names, folded in the order of the log."""

    def __init__(self, pipeline: Pipeline, view: View) -> None:
        self.view = view
        self._question = question_of(view, pipeline.events.allowed_lateness)
        self._features = Features(view)
        self._windows: dict[int, EntityWindows] = {}

    def answers(self, passed: Passed, times: Ints) -> FeatureColumns:
        """Fold rows that passed and answer each, as `enrich` did; `times` are theirs, ms."""
        batch, parts = passed.batch, []
        for partition, rows in batch.runs():
            if partition not in self._windows:
                self._windows[partition] = EntityWindows(self._question, names_of(self.view))
            columns, at = batch.columns.slice(rows.start, rows.stop - rows.start), times[rows]
            found = self._windows[partition].fold_and_answer(
                entities_in_view(columns, self.view),
                at,
                values_of(self.view, columns, at),
                ~passed.late[rows],
                columns.column(FIRM).to_numpy(),
            )
            parts.append(self._features.of(found))
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]} if parts else {}

    def at(self, columns: pa.RecordBatch, times: Ints, folded: Flags, time: int) -> FeatureColumns:
        """What one entity's windows hold at a time: one value a feature.

        Args:
            columns, times: its events up to that time, in the order of the log.
            folded: which of these count.
        """
        values = np.vstack([values_of(self.view, columns, times), np.full((1, len(self.view.values)), np.nan)])
        entity = pa.array(["the one"] * (len(times) + 1))
        answers = EntityWindows(self._question, names_of(self.view)).fold_and_answer(
            entity, np.append(times, time), values, np.append(folded, False)
        )
        return {name: numbers[-1:] for name, numbers in self._features.of(answers).items()}


class ForeignViewFold:
    """A view of another entity: all entries that its events and their labels made, and answers of any time."""

    def __init__(self, pipeline: Pipeline, view: View) -> None:
        self.view = view
        self._question = question_of(view, pipeline.events.allowed_lateness)
        self._label_question = label_question_of(pipeline, view)
        self._features = Features(view)
        self._entities = EntityWindows(self._question, names_of(view))
        asked = self._label_question
        self._labels = None if asked is None else Windows(asked.kept(pipeline.events.allowed_lateness))

    def told(self, passed: Passed) -> Flags:
        """Which rows that passed the view is told of."""
        rows: Flags = ~(passed.late | passed.behind)
        if self.view.folds_labels:
            rows &= ~passed.again
        named: Flags = entities_in_view(passed.batch.columns, self.view).is_valid().to_numpy(zero_copy_only=False)
        return rows & named

    def fold(self, columns: pa.RecordBatch, times: Ints) -> None:
        """Take up events that the view is told of, in any order."""
        slots = self._slots(text_of(entities_in_view(columns, self.view)))
        self._entities.windows.fold(slots, times, values_of(self.view, columns, times), np.full(len(times), NEVER))

    def fold_labels(self, entities: pa.StringArray, times: Ints, known: Ints, labelled: Floats, label: Floats) -> None:
        """Take up changes of the labels of entries, see `LabelQuestion.changes`; entities are not null."""
        if self._label_question is None or self._labels is None:
            return
        kept, values = self._label_question.changes(times, known, labelled, label)
        slots = self._slots(entities.filter(pa.array(kept)))
        self._labels.fold(slots, times[kept], values, np.full(len(slots), NEVER))

    def answers(self, entities: pa.StringArray, times: Ints) -> FeatureColumns:
        """Features of an entity (null: of nobody) at a time each, once all is folded."""
        coded = entities.dictionary_encode()
        slots = self._slots(coded.dictionary)
        labels = None if self._labels is None else self._labels.columns(slots)
        packed = [*timelines.pack(self._entities.windows.columns(slots), labels), None]
        which = coded.indices.fill_null(len(packed) - 1).to_numpy(zero_copy_only=False).astype(np.int64)
        asked = self._label_question
        found = timelines.Timelines(packed, len(self.view.values), 0 if asked is None else asked.columns)
        answers = found.answer(which, times, self._question)
        if asked is None:
            return self._features.of(answers)
        return self._features.of(answers, found.labels(which, times, asked, answers.count))

    def _slots(self, entities: pa.StringArray) -> Ints:
        slots: Ints = self._entities.index.slots(keys_of(entities))
        self._entities.windows.reach(slots)
        if self._labels is not None:
            self._labels.reach(slots)
        return slots


def moment_features(
    pipeline: Pipeline, columns: pa.RecordBatch, times: Ints, found: Mapping[str, FeatureColumns]
) -> dict[str, FeatureColumns]:
    """Features of views without a key, which read those of the others and of those before them."""
    known = {f"{view}.{name}": values for view, own in found.items() for name, values in own.items()}
    made: dict[str, FeatureColumns] = {}
    for view in pipeline.calendar_views:
        made[view.name] = {name: e.evaluate(columns, times, known) for name, e in view.expressions.items()}
        known |= {f"{view.name}.{name}": values for name, values in made[view.name].items()}
    return made


def event_times(pipeline: Pipeline, passed: Passed) -> Ints:
    """Of rows that passed, int64 ms."""
    return times_of(passed.batch.columns, pipeline.events.time)
