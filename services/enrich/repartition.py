"""Events on their way to the partitions of views that other entities key, and to where their labels come by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa

from headrace.domain.features.entities import entities_in_view
from headrace.domain.features.event_gate import Passed, entities_of, text_of
from headrace.domain.features.value_columns import values_of
from headrace.domain.features.window_pool import Ints
from headrace.domain.pipeline.spec import VIEW, Pipeline, View
from headrace.domain.records.exchange import Labelled, exchanges
from headrace.domain.records.view_changelog import Entries, updates
from headrace.streaming.records.batch import Emit
from headrace.streaming.watermarks.event_time import EARLIEST, NEVER
from headrace.streaming.watermarks.idleness import IdleNotices, Quiet
from headrace.streaming.watermarks.marks import Mark
from services.enrich.lookup_join import needed
from services.enrich.state import PartitionState

LEAST_REPEAT = 250
"""Milliseconds: idle marks are not repeated more often, however little a view may be behind."""


class ViewRepartition:
    """Tells views and the exchange of events, and how far each partition of the events is."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._events = pipeline.events
        self._foreign, self._labelled = pipeline.foreign_views, label_exchanges(pipeline)
        self._shared = {*pipeline.topics_of(VIEW), *self._labelled} - set(prepared(pipeline))
        self._partitions: Mapping[str, int] = {}
        lateness = pipeline.events.allowed_lateness
        self._notices = {v.topic: IdleNotices(v.idle_after / 1000, _repeats_s(v, lateness)) for v in self._foreign}
        for topic, views in self._labelled.items():
            idle_after_s = min(view.idle_after for view in views) / 1000
            self._notices[topic] = IdleNotices(idle_after_s, idle_after_s / 2)

    def start(self, partitions: Mapping[str, int]) -> None:
        """Told once: the number of partitions of every topic, by logical name."""
        self._partitions = partitions

    def told(
        self, states: Mapping[int, PartitionState], written: Mapping[int, int], times: Ints, passed: Passed
    ) -> tuple[Emit, ...]:
        """What rows that passed mean to the views and to the exchange.

        Args:
            states: of their partitions, with the rows admitted.
            written: by partition, when the newest of its records was written, ms; also where no row is good.
            times: of the rows, ms.
            passed: the rows.
        """
        good, untold = passed.batch, passed.late | passed.behind
        places = {partition: at for at, partition in enumerate(written)}
        mark = np.zeros(len(good), np.int64)
        for partition, rows in good.runs():
            mark[rows] = places[partition]
        emits, named = [], {}
        for view in self._foreign:
            marks = [self._mark(view, partition, states[partition], time) for partition, time in written.items()]
            entities = named[view.name] = text_of(entities_in_view(good.columns, view))
            entries = Entries(entities, times, good.offset, values_of(view, good.columns, times), mark)
            known = ~untold & entities.is_valid().to_numpy(zero_copy_only=False)
            if view.folds_labels:
                known &= ~passed.again
            if not known.all():
                entries = entries.take(known)
            emits.append(updates(view, self._partitions[view.topic], marks, entries))
        for topic, views in self._labelled.items():
            ids = entities_of(good.columns, self._events.id)
            events = Labelled(ids, times, {view.name: named[view.name] for view in views}, mark)
            if (left := untold | passed.again).any():
                events = events.take(~left)
            marks = [self._mark(views[0], partition, states[partition], time) for partition, time in written.items()]
            emits.append(exchanges(topic, self._partitions[topic], marks, events))
        return tuple(emits)

    def idle(self, states: Mapping[int, PartitionState], at_end: Mapping[int, Quiet]) -> tuple[Emit, ...]:
        """Marks of partitions that stand at their ends for so long that nobody should wait for them.

        It is said again while they do, so that readers know until when nothing came; not of those whose rows wait. Of
        partitions that another group answers it is said where that group says nothing.
        """
        emits = []
        at_end = {partition: quiet for partition, quiet in at_end.items() if states[partition].asked_from() is None}
        for view in self._foreign:
            if marks := self._idle_marks(view, view.topic, states, at_end):
                emits.append(updates(view, self._partitions[view.topic], marks))
        for topic, views in self._labelled.items():
            hasty = min(views, key=lambda view: view.idle_after)
            if marks := self._idle_marks(hasty, topic, states, at_end):
                emits.append(exchanges(topic, self._partitions[topic], marks, _nothing(views)))
        return tuple(emits)

    def forget(self, partition: int) -> None:
        """A partition is not at its end any more, or is no longer ours."""
        for notices in self._notices.values():
            notices.forget(partition)

    def _idle_marks(
        self, view: View, listener: str, states: Mapping[int, PartitionState], at_end: Mapping[int, Quiet]
    ) -> list[Mark]:
        """Marks of partitions that are idle, as the listener has not been told for a while."""
        if listener in self._shared:
            at_end = {partition: quiet for partition, quiet in at_end.items() if not quiet.followed}
        due = [(partition, at_end[partition].until) for partition in self._notices[listener].due(at_end)]
        return [self._mark(view, each, states[each], int(until * 1000), idle=True) for each, until in due]

    def _mark(self, view: View, partition: int, state: PartitionState, time: int, idle: bool = False) -> Mark:
        """Where a partition is. Its floor is as low as rows may still ask: any that may come, those that wait, and
        those whose answers are not durable, for they come again after a crash.
        """
        progress, firm = state.clock.credible, state.clock.firm
        if progress == NEVER:
            return Mark(partition, state.next_offset, EARLIEST, time, idle)
        lateness = self._events.allowed_lateness
        if firm == NEVER:  # As long as nothing is firm nothing is late, however old.
            return Mark(partition, state.next_offset, progress, time, idle)
        least = firm - lateness
        asked_from = state.asked_from()
        if asked_from is not None:
            least = min(least, asked_from)
        return Mark(partition, state.next_offset, progress, time, idle, least - view.span - lateness)


def label_exchanges(pipeline: Pipeline) -> dict[str, list[View]]:
    """By exchange topic, the views whose labels are found there."""
    found: dict[str, list[View]] = {}
    for view in pipeline.label_views:
        found.setdefault(view.exchange, []).append(view)
    return found


def prepared(pipeline: Pipeline) -> tuple[str, ...]:
    """The topics on which this revision of a pipeline tells events, and none before it does."""
    new = [view for view in pipeline.foreign_views if view.revision == pipeline.revision > 1]
    return tuple(topic for view in new for topic in (view.topic, *((view.exchange,) if view.folds_labels else ())))


def _nothing(views: Sequence[View]) -> Labelled:
    """No events."""
    nobody = pa.array([], pa.string())
    return Labelled(nobody, np.zeros(0, np.int64), {view.name: nobody for view in views}, np.zeros(0, np.int64))


def _repeats_s(view: View, lateness: int) -> float:
    """Seconds between idle marks of a source: often enough that live rows find one as young as they need."""
    slack = int(-needed(view, np.zeros(1, np.int64), lateness)[0]) + view.max_age
    return max(min(view.idle_after, slack) / 2, LEAST_REPEAT) / 1000
