"""What a partition holds of a model's window while predictions or outcomes come, and how they are folded into it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from headrace.columnar.arrow_stream import stream, streamed
from headrace.domain.aggregations.tumbling_windows import WindowSpan, snapshot_schema
from headrace.domain.aggregations.two_stage import Ints
from headrace.domain.pipeline.segments import WHOLE, Segments
from headrace.domain.pipeline.spec import Pipeline
from headrace.domain.quality import top_k_entities as entities
from headrace.domain.quality.row_sample import RowSample
from headrace.domain.scorecards.grouped_tallies import OUTCOMES, GroupedTallies, Tallies
from headrace.domain.scorecards.partial_aggregate import Group, Tally, merged, pack, unpack
from headrace.domain.scorecards.row_sums import DAY, OutcomeSums, PredictionSums, RepeatSums
from headrace.domain.scorecards.shift_rows import FeatureBins

kernels: Any = pc  # its stubs know too few of the overloads
Measure = Callable[[pa.RecordBatch], npt.NDArray[np.int64]]
Bins = Callable[[pa.RecordBatch], FeatureBins | None]
"""By which bins predictions of one model are sampled; None: they are not."""

SAMPLED = 256
"""One prediction in so many is measured in bytes, by its offset."""
AGAIN = "repeated"
"""State of what is no outcome, but tells a prediction that was published again."""
_PENDING = 64
"""Tallies of so many batches are summed at once: one by one each would walk the whole table."""


@dataclass(slots=True)
class WindowSums:
    """Tallies by group, of entities each day's highest score and positives, and a sample of predictions."""

    groups: dict[Group, list[Tally]] = field(default_factory=dict)
    entities: list[pa.Table] = field(default_factory=list)
    rows: RowSample | None = None


class RowTallies(GroupedTallies):
    """Rows folded into tallies (see `two_stage.AggregateKind`).

    Parameters:
        pipeline: its segments.
        cap: most distinct scores of a tally.
    """

    state: tuple[str, ...] = ("tallies", "entities")

    def __init__(self, pipeline: Pipeline, cap: int) -> None:
        super().__init__(cap, max(pipeline.scorecards.precision_at))
        self._segments = Segments(pipeline)

    def empty(self) -> WindowSums:
        """Of no rows."""
        return WindowSums()

    def told(self, held: WindowSums) -> Tallies:
        """Sums by group, with the highest entities of each day."""
        for group, waiting in held.groups.items():
            held.groups[group] = [merged(waiting, self.cap, self.depth)]
        tallies = {group: waiting[0] for group, waiting in held.groups.items()}
        if held.entities:
            held.entities = [_highest(held.entities)]
            tallies[WHOLE] = _with_days(tallies[WHOLE], held.entities[0], self.depth)
        if held.rows is not None:
            tallies[WHOLE] = replace(tallies[WHOLE], rows=held.rows)
        return tallies

    def save(self, held: WindowSums) -> tuple[bytes, ...]:
        """What is told, and all entities."""
        tallies = pack(self.told(held))
        return tallies, stream(held.entities[0]) if held.entities else b""

    def load(self, saved: tuple[bytes, ...]) -> WindowSums:
        """What `save` took."""
        tallies, days = saved
        told = unpack(tallies)
        groups = {group: [replace(tally, rows=None)] for group, tally in told.items()}
        rows = told[WHOLE].rows if WHOLE in told else None
        return WindowSums(groups, [streamed(days)] if days else [], rows)

    def gather(
        self, held: WindowSums, columns: pa.RecordBatch, rows: OutcomeSums | PredictionSums | RepeatSums
    ) -> None:
        """Add rows to the tally of each group that they belong to."""
        for group, mask in self._segments.groups(columns):
            waiting = held.groups.setdefault(group, [])
            waiting.append(rows.tally(mask, self.cap))
            if len(waiting) >= _PENDING:
                held.groups[group] = [merged(waiting, self.cap, self.depth)]


class PredictionTallies(RowTallies):
    """Predictions folded into tallies.

    Parameters:
        pipeline: its segments and lateness.
        cap: most distinct scores of a tally.
        measure: encoded bytes of each row of predictions, int64.
        bins: by which they are sampled.
    """

    def __init__(self, pipeline: Pipeline, cap: int, measure: Measure, bins: Bins) -> None:
        super().__init__(pipeline, cap)
        self._bins = bins
        self._classes = pipeline.model.classes
        self._lateness = pipeline.events.allowed_lateness
        self._measure = measure

    def add(self, held: WindowSums, columns: pa.RecordBatch, offsets: Ints, generation: int) -> WindowSums:
        """With some more predictions."""
        sampled = offsets % SAMPLED == 0
        sizes = np.zeros(len(offsets), np.int64)
        if sampled.any():
            sizes[sampled] = self._measure(columns.filter(pa.array(sampled)))
        bins = self._bins(columns)
        self.gather(held, columns, PredictionSums(columns, sizes, self._lateness, bins is not None, self._classes))
        if bins is not None:
            held.rows = bins.sample(columns, held.rows)
        return held


class OutcomeTallies(RowTallies):
    """Outcomes folded into tallies; what tells of a repeat takes back what that was counted as."""

    def __init__(self, pipeline: Pipeline, cap: int) -> None:
        super().__init__(pipeline, cap)
        self._probability = pipeline.model.output == "probability"
        self._classes = pipeline.model.classes

    def add(self, held: WindowSums, columns: pa.RecordBatch, offsets: Ints, generation: int) -> WindowSums:
        """With some more outcomes; entities are remembered in the first part of a window alone."""
        again = kernels.equal(columns.column("state"), AGAIN)
        if kernels.any(again).as_py():
            self.gather(held, columns.filter(again), RepeatSums(columns.filter(again), self._classes))
            columns = columns.filter(kernels.invert(again))
            if not columns.num_rows:
                return held
        rows = OutcomeSums(columns, self._probability, self._classes)
        self.gather(held, columns, rows)
        if self._probability and generation == 0:
            held.entities.append(rows.entities())
            if len(held.entities) >= _PENDING:
                held.entities = [_highest(held.entities)]
        return held


def span(pipeline: Pipeline, topic: str) -> WindowSpan:
    """Of a pipeline's windows of predictions or outcomes: these are waited for until they mature, and corrections."""
    matures = pipeline.labels.matures_after if pipeline.labels and topic == OUTCOMES else 0
    return WindowSpan(pipeline.scorecards.window, max(pipeline.scorecards.window, DAY) + 2 * matures)


STATE = snapshot_schema(RowTallies.names, RowTallies.state)


def _highest(tables: list[pa.Table]) -> pa.Table:
    """Of each entity and day the highest score and all positives."""
    # By one thread: several would give them in another order each time, and the same rows other bytes.
    grouped = pa.concat_tables(tables).group_by(["day", "entity"], use_threads=False)
    grouped = grouped.aggregate([("score", "max"), ("positives", "sum")])
    return grouped.select(["day", "entity", "score_max", "positives_sum"]).rename_columns(
        ["day", "entity", "score", "positives"]
    )


def _with_days(tally: Tally, found: pa.Table, depth: int) -> Tally:
    days = {}
    for day in sorted(set(found["day"].to_pylist())):
        rows = found.filter(kernels.equal(found["day"], day))
        days[day] = entities.ranked(rows["entity"], rows["score"].to_numpy(), rows["positives"].to_numpy(), depth)
    return replace(tally, days=days)
