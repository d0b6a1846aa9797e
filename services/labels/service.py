"""The service `labels`: brings predictions and labels together by event id, and says what became of each prediction."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from headrace.columnar import packing
from headrace.domain.pipeline.spec import EXCHANGE, Pipeline, View
from headrace.domain.records.exchange import KINDS, Router
from headrace.domain.records.view_changelog import Entries, joined, label_updates
from headrace.streaming.records.batch import Admission, Batch, Emit, Output, unslot
from headrace.streaming.records.rows import Packed
from headrace.streaming.task.service import Service
from headrace.streaming.watermarks.event_time import CONFIRMED, NEVER, Recent
from headrace.streaming.watermarks.idleness import IdleNotices, Quiet
from headrace.streaming.watermarks.marks import Mark
from services.labels.exchange_batch import ExchangeBatch
from services.labels.join.layout import ADDED, UNSEEN
from services.labels.join.question import question_of
from services.labels.join.state import Found, Join, Structs
from services.labels.metrics import LabelsMetrics
from services.labels.outcomes import STATES, Outcomes, whose
from services.labels.packed_rows import PackedRows
from services.labels.record_checks import DAY, TIMES, checked, sound
from services.labels.view_progress import reached

Ints = npt.NDArray[np.int64]
FATES = {
    "matched": "matched", "early": "early", "duplicate": "duplicate", "correcting": "correcting",
    "conflict": "conflicting", "outdated": "outdated", "late": "late", "orphaned": "orphaned",
}  # fmt: skip  # what a join counts, and its name in metrics
MOST_ITEMS = 50_000
"""Labels, events and predictions that are folded at once: what a view is told of them fits into a record."""


class Labelling(Service):
    """The service `labels` for one pipeline.

    Two stages in one group. Rows of labels and predictions go to the partition of the exchange that their event's id
    chooses, unchanged and without state; there a `Join` folds them. Outcomes depend on the exchange's records in their
    order and, but for revisions on the way, on nothing but which predictions and labels there are.

    Labels of a view that a later revision of the pipeline brought are told by a group of its own, which reads labels
    from the log's beginning on, and knows no predictions.

    Parameters:
        pipeline: whose predictions these are; it has labels.
        schemas: columns of the topics `exchange` and `outcomes`.
        shared: what predictions of one event share, as joins keep it.
        entities: whom events belong to, a field a view that folds labels: of these views, or of more.
        figures: metrics.
        idle_after_s: seconds at its end after which a source holds nothing back.
        tells_repeats: whether predictions that come again are told, so that they are counted once; not where this
            service itself may send what it read on a second time, which looks the same.
        views: that it tells labels, all of one exchange; None for all of the pipeline.
        alone: whether it is there for them alone.
    """

    inputs: tuple[str, ...] = (*KINDS[:-1], EXCHANGE)
    begins_kept = True  # Which sources are waited for from the beginning on: those that there are then.

    def __init__(
        self,
        pipeline: Pipeline,
        schemas: Mapping[str, pa.Schema],
        shared: Packed,
        entities: Packed,
        figures: LabelsMetrics,
        idle_after_s: float,
        tells_repeats: bool = True,
        views: Sequence[View] | None = None,
        alone: bool = False,
    ) -> None:
        assert pipeline.labels is not None, "a pipeline without labels has no outcomes"
        self.pipeline = pipeline
        self.rule = pipeline.labels
        self._schemas = schemas
        self._shared, self._entities = shared, entities
        self._rows = PackedRows(shared, entities.fields)
        self._outcomes = Outcomes(schemas["outcomes"], self._rows)
        self._figures = figures
        self._tells_repeats = tells_repeats
        self._alone = alone
        self._views = pipeline.label_views if views is None else views
        self._exchange = self._views[0].exchange if alone else EXCHANGE
        self.inputs = ("labels", self._exchange) if alone else Labelling.inputs
        self.answers = () if alone else ("outcomes",)
        self.counted = (self._exchange, *(view.topic for view in self._views))
        self._recent: dict[int, Recent] = {}
        self._offsets: dict[int, int] = {}
        self._notices = IdleNotices(idle_after_s, idle_after_s / 2)
        self._joins: dict[int, Join] = {}

    def start(self, partitions: Mapping[str, int]) -> None:
        """See `Service`."""
        counts = [partitions[name] if name in (*self.inputs, "events") else 0 for name in KINDS]
        self._counts = dict(zip(KINDS, counts, strict=True))
        self._firsts = dict(zip(KINDS, np.cumsum([0, *counts])[:-1].tolist(), strict=True))
        self._view_partitions = {view.name: partitions[view.topic] for view in self._views}
        self._router = Router(self._exchange, self._schemas[EXCHANGE], partitions[self._exchange])
        self._question = question_of(self.rule, counts, self.pipeline.model.classes)

    def admit(self, batch: Batch, now: float) -> Admission:
        """Refuse records of the exchange that none of us wrote."""
        if batch.topic != self._exchange:
            return Admission(batch)  # what cannot be joined is refused on its way to the exchange
        good, rejects = sound(batch, self._entities.fields, self.pipeline.model.classes)
        return Admission(good, rejects=rejects)

    def process(self, batch: Batch, now: float) -> Output:
        """Send rows of labels and predictions on; fold those of the exchange."""
        if batch.topic != self._exchange:
            return self._send_on(batch, now)
        emits: list[Emit] = []
        quiet = True
        for part in _parts(batch):
            told = self._told(part)
            quiet &= told.quiet
            changes: list[Entries] = []
            for partition, join, found in self._folded(part, told, live=True):
                if len(found.outcomes):
                    emits.append(self._answered(partition, join, found.outcomes))
                if len(found.again) and self._tells_repeats:
                    again = self._outcomes.again(part.columns["predictions"], found.again)
                    numbers = np.full(len(again), partition, np.int32)
                    emits.append(Emit("outcomes", again, again["entity"], numbers))
                changes += self._changed(part, join, found.changes)
                join.settle()
            emits += self._tell(part, told, changes)
        self._show()
        return Output(tuple(emits), housekeeping=quiet and not any(emit.topic == "outcomes" for emit in emits))

    def replay(self, batch: Batch) -> None:
        """Fold records of the exchange that were answered in an earlier life."""
        for part in _parts(batch):
            for _, join, _ in self._folded(part, self._told(part), live=False):
                join.settle()

    @property
    def stateful(self) -> tuple[str, ...]:
        """See `Service`: what it sends on leaves nothing behind."""
        return (self._exchange,)

    # ---- to the exchange ----------------------------------------------------------------------------------------

    def _send_on(self, batch: Batch, now: float) -> Output:
        good, rejects = checked(batch, self.rule, self.pipeline.model.classes)
        rejects = () if self._alone else rejects  # Those who read all predictions refuse labels, once.
        times = good.columns[TIMES[batch.topic]].cast(pa.int64()).to_numpy()
        if good.created is None:  # What has not happened yet when the broker takes it is no time that has passed.
            times = np.minimum(times, good.timestamp)
        marks = []
        for partition, rows in good.runs():
            self._recent.setdefault(partition, Recent()).take(times[rows])
        for partition, rows in batch.runs():
            self._offsets[partition] = int(batch.offset[rows.stop - 1]) + 1
            self._notices.forget(partition)
        marks = [self._mark(partition, now) for partition, _ in good.runs()]
        emits = self._router.route(good, marks) if marks else ()
        return Output(tuple(emits), rejects)

    def _mark(self, partition: int, now: float, idle: bool = False) -> Mark:
        offset, recent = self._offsets.get(partition, 0), self._recent.get(partition, Recent())
        reached = self._credible(partition, recent)
        progress = UNSEEN if reached == NEVER else max(reached, UNSEEN + 1) or -1  # 0 stands for nothing seen, too
        return Mark(partition, offset, progress, int(now * 1000), idle)

    def _credible(self, partition: int, recent: Recent) -> int:
        """How far a source is. A member that has just begun knows too few of its records to say that one lies far
        beyond the others: then it has come no further than it was known to be, within a day, nor less
        far.
        """
        reached = recent.reached(DAY)
        if recent.count >= CONFIRMED or reached == NEVER:
            return reached
        topic, number = unslot(partition)
        place = self._firsts[self.inputs[topic]] + number
        known = max((int(join.sources[place, 0]) for join in self._joins.values()), default=NEVER)
        return reached if known == NEVER or known <= reached <= known + DAY else known

    def tick(self, now: float, at_end: Mapping[int, Quiet]) -> Output:
        """Say which sources stand at their end for so long that nothing should wait for them, again and again; and
        whether events wait for that.
        """
        emits = []
        for place, topic in enumerate(self.inputs[:-1]):
            of_topic = {partition: quiet for partition, quiet in at_end.items() if unslot(partition)[0] == place}
            due = self._notices.due(of_topic)
            marks = [self._mark(partition, at_end[partition].until, idle=True) for partition in due]
            if marks:
                emits.append(self._router.marks(topic, marks))
        return Output(tuple(emits), unfinished=any(map(_behind, self._joins.values())))

    # ---- from the exchange --------------------------------------------------------------------------------------

    def _told(self, batch: Batch) -> ExchangeBatch:
        classes = self.pipeline.model.classes
        return ExchangeBatch(batch, self._firsts, self._counts, self._shared, self._entities, classes)

    def _folded(self, batch: Batch, told: ExchangeBatch, live: bool) -> Iterator[tuple[int, Join, Found]]:
        """Fold each partition's records in turn; `live`: count what becomes of them."""
        for partition, rows in batch.runs():
            join = self._join(partition)
            before = join.fates
            found = join.fold(told, rows.start, rows.stop)
            if live:
                self._count(before, join.fates)
            yield partition, join, found

    def _count(self, before: Mapping[str, int], after: Mapping[str, int]) -> None:
        figures = self._figures
        news = {name: count - before[name] for name, count in after.items()}
        for name, fate in FATES.items():
            figures.labels.labels(fate).inc(news[name])
        figures.repeated.inc(news["repeated"])
        figures.matured.inc(news["grown"])
        figures.labelled.inc(news["grown_labelled"])

    def _answered(self, partition: int, join: Join, found: Structs) -> Emit:
        columns = self._outcomes.of(join, found, self.rule.unlabelled_is)
        state = found["state"]
        for number, count in enumerate(np.bincount(state, minlength=len(STATES)).tolist()):
            if count:
                self._figures.outcomes.labels(STATES[number].as_py()).inc(count)
        self._figures.corrections.inc(int((columns["revision"].to_numpy() > 0).sum()))
        delays = columns["label_delay"].drop_null().to_numpy()
        self._figures.delay.observe(delays / 1000)
        return Emit("outcomes", columns, columns["entity"], np.full(len(found), partition, np.int32))

    def _changed(self, batch: Batch, join: Join, changes: Structs) -> list[Entries]:
        """For each view that folds labels what is to be told it."""
        if not self._views:
            return []
        entities, times = whose(join, changes, self._entities)
        values = np.column_stack([changes["new"].astype(np.float64), changes["value"] - changes["former"]])
        offsets = batch.offset[changes["row"]]
        return [Entries(entities[view.name], times, offsets, values, known=changes["known"]) for view in self._views]

    def _tell(self, batch: Batch, told: ExchangeBatch, changes: list[Entries]) -> Iterator[Emit]:
        """Tell every view how far the partitions are that heard of labels or events, and what changed in them.

        How far predictions are is none of their business: they wait for views.
        """
        labels, events = (slice(self._firsts[n], self._firsts[n] + self._counts[n]) for n in ("labels", "events"))
        lateness = self.pipeline.events.allowed_lateness
        for place, view in enumerate(self._views):
            marks: list[Mark] = []
            own: list[Entries] = []
            for run, (partition, rows) in enumerate(batch.runs()):
                if told.of_labels[rows].any():
                    sources = self._joins[partition].sources
                    progress, time, idle, sure, heard = reached(view, lateness, sources[labels], sources[events])
                    own.append(changes[run * len(self._views) + place].marked(len(marks)))
                    end = int(batch.offset[rows.stop - 1]) + 1
                    marks.append(Mark(partition, end, progress, time, idle, sure, heard))
            if marks:
                yield label_updates(view, self._view_partitions[view.name], marks, joined(own))

    def _show(self) -> None:
        joins, figures = self._joins.values(), self._figures
        figures.events.set(sum(len(join) for join in joins))
        figures.open.set(sum(join.get("predictions") for join in joins))
        figures.bytes.set(sum(join.nbytes for join in joins))
        grown = sum(join.get("grown") for join in joins)
        if grown:
            figures.coverage.set(sum(join.get("grown_labelled") for join in joins) / grown)

    # ---- state comes and goes -----------------------------------------------------------------------------------

    def _join(self, partition: int) -> Join:
        if partition not in self._joins:
            self.restore(partition, None)
        return self._joins[partition]

    def restore(self, partition: int, snapshot: bytes | None, end: int | None = None) -> None:
        """Take a partition over. Raises ContractError when the snapshot is damaged or of other contracts."""
        join = Join(self._question)
        if snapshot is not None:
            columns = packing.unpack(snapshot)
            self._rows.take_out(columns)
            join.load(columns)
        self._joins[partition] = join
        self._show()

    def snapshot(self, partition: int) -> bytes:
        """The join of a partition."""
        join = self._join(partition)
        return packing.pack(self._rows.put_in(join.columns(), join.models.identities), level=1)

    def drop(self, partition: int) -> None:
        """See `Service`."""
        for known in (self._joins, self._recent, self._offsets):
            known.pop(partition, None)
        self._notices.forget(partition)
        self._show()


def _behind(join: Join) -> bool:
    """Whether events wait while time has not come as far as it will once all sources are proven to be at their ends."""
    labels, predictions, *_ = join.question.partitions
    progress, _, heard = join.sources[: labels + predictions].T
    newest = int(progress[heard != ADDED].max(initial=NEVER))
    return join.get("bucket_count") + join.get("heap_count") > 0 and join.get("maturity") < newest


def _parts(batch: Batch) -> Iterator[Batch]:
    """The records of a batch in their order, in parts of not too many items; a part has one record at least."""
    columns = batch.columns
    lists = (columns["predictions"], columns["labels"], columns["events"].field("event_ids"))
    items = np.cumsum(sum(part.value_lengths().to_numpy(zero_copy_only=False) for part in lists))
    start = done = 0
    while start < len(batch):
        stop = max(int(np.searchsorted(items, done + MOST_ITEMS, "right")), start + 1)
        yield batch.slice(slice(start, stop))
        start, done = stop, int(items[stop - 1])
