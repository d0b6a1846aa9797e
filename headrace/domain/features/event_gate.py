"""Who may pass: key, rules, and event time, row by row in the order of the log."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, MutableMapping
from dataclasses import dataclass, field, replace
from typing import cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headrace.columnar.hashes import Checks, Codes, checks_of, codes_of
from headrace.domain.features.duplicates import Ids
from headrace.domain.features.rules import Finding, Rules
from headrace.domain.features.window_pool import Flags, Ints
from headrace.domain.pipeline.spec import Pipeline
from headrace.streaming.records.batch import Batch, Reject
from headrace.streaming.watermarks.event_time import NEVER, Clock, Seen

DAY = 86_400_000
REPEATED, KEPT, LATE, BEHIND, HASTY = "repeated", "repeat_kept", "late", "behind", "out_of_order"
"""Remarks: rows that were left out; rows of a known id that are answered, and that views which fold labels do not count
again; rows that are answered and not folded; rows that are folded, and that views of other entities are not told of;
rows that these are told of when others may have been answered without them, for the view's delay is so short.
"""
CHANGED = "changed_repeat"
FIRM = "~firm"
"""Column beside an event's own (no Avro name begins like this): what was firm of its partition's time before it, ms."""


@dataclass(frozen=True, slots=True)
class Passed:
    """Rows that may pass (imputed), those that may not, and which of the former come too late to be folded, come too
    late for others (`behind`, those that are late aside), or come `again`: their id is remembered, and the pipeline
    keeps repeats.

    The batch has one column more, `FIRM`, by which lateness is found again when the rows are folded.
    `remarks`: how many rows were repeats, and left out; and how many pass with a reservation.
    """

    batch: Batch
    late: Flags
    behind: Flags
    again: Flags
    rejects: tuple[Reject, ...]
    remarks: Counter[str] = field(default_factory=Counter)


class Gate:
    """Checks rows. Deterministic: it depends on the rows and their partitions' clocks alone, never on the wall clock.

    A row is late when it is older than its partition's watermark, what is `firm` of its clock, by more than the allowed
    lateness. No single row moves that, see `timing`. It is behind when it is older by as much than what is `credible`
    of the clock: its partition has told others that it was beyond, so they may have gone on without it. A time far
    beyond the record's own Kafka timestamp is refused.
    A row whose id is remembered (see `repeats`) is left out when it says the same as the first, and refused when not.

    Parameters:
        pipeline: whose events these are.
        ahead_ms: how far an event time may lie beyond the record's timestamp.
    """

    def __init__(self, pipeline: Pipeline, ahead_ms: int = DAY) -> None:
        self._events = pipeline.events
        self._rules = Rules(pipeline)
        self._ahead = ahead_ms
        self._read = _read_by(pipeline)
        self._tells = bool(pipeline.foreign_views)
        delays = [view.delay for view in pipeline.foreign_views if view.delay <= self._events.allowed_lateness]
        self._hasty = max(min(delays), 1) if delays else None
        self.counts: Counter[tuple[str, str, str]] = Counter()

    def check(
        self, batch: Batch, clocks: MutableMapping[int, Clock], ids: Callable[[int], Ids] | None = None
    ) -> Passed:
        """Sort a batch's rows, advancing the clocks of their partitions (none yet: absent) past those that passed.

        `ids`: what is remembered of each partition, where repeats are to be left out.
        """
        judgement = self._rules.judge(batch.columns)
        batch = replace(batch, columns=judgement.columns)
        self.counts += judgement.counts
        times = times_of(batch.columns, self._events.time)
        ahead = (times > batch.timestamp + self._ahead) & (batch.timestamp >= 0)
        findings = [*self._keys(batch), *judgement.refused]
        if ahead.any():
            detail = f"{self._events.time} is more than {self._ahead} ms after the record's own timestamp"
            findings.append(Finding(ahead, "in_the_future", detail))
        good = np.ones(len(batch), np.bool_)
        for finding in findings:
            good &= ~finding.rows
        late, repeated, differing = np.zeros((3, len(batch)), np.bool_)
        firm, credible = np.full((2, len(batch)), NEVER)
        refuses, lateness = self._events.late == "reject", self._events.allowed_lateness
        known = None if ids is None else self._identified(batch.columns)
        for partition, rows in batch.runs():
            if partition not in clocks:
                clocks[partition] = Clock()
            created = np.zeros(rows.stop - rows.start, np.bool_) if batch.created is None else batch.created[rows]
            seen = Seen(times[rows], batch.timestamp[rows], created, batch.offset[rows], good[rows])
            if ids is None or known is None:
                clocks[partition].advance(seen, lateness, late[rows], firm[rows], credible[rows])
            else:
                marks = repeated[rows], differing[rows], late[rows], firm[rows], credible[rows]
                ids(partition).sift(known[0][rows], known[1][rows], seen, clocks[partition], lateness, refuses, marks)
        batch = replace(batch, columns=batch.columns.append_column(FIRM, pa.array(firm)))
        keeps = self._events.repeats == "keep"
        if differing.any() and not keeps:
            name = self._events.id
            detail = f"an event of this {name} came before with other values; one that is to count needs its own {name}"
            findings.append(Finding(differing, CHANGED, detail))
        if refuses and late.any():
            detail = f"{self._events.time} is more than {lateness} ms behind its partition's watermark"
            findings.append(Finding(late, "too_late", detail))
            good &= ~late
        again = repeated | differing
        if not keeps:
            good &= ~again
        behind = late_rows(times, credible, lateness) & ~late & self._tells
        rejects = tuple(_rejects(batch, findings))
        passed = Passed(batch.take(good), late[good], behind[good], again[good], rejects)
        counts = {KEPT: passed.again, LATE: passed.late, BEHIND: passed.behind, REPEATED: repeated & (not keeps),
                  HASTY: self._out_of_order(times, credible) & good & ~late & ~behind}  # fmt: skip  # one table
        passed.remarks.update({remark: int(rows.sum()) for remark, rows in counts.items()})
        return passed

    def _out_of_order(self, times: Ints, credible: Ints) -> Flags:
        """Rows that come so late that others, where a view's delay is no longer than the lateness, may lack them."""
        return np.zeros(len(times), np.bool_) if self._hasty is None else late_rows(times, credible, self._hasty - 1)

    def _identified(self, columns: pa.RecordBatch) -> tuple[Codes, Checks]:
        """By what each row is known again: its id, and what the pipeline reads of it."""
        read = [columns.column(name) for name in self._read]
        return codes_of(columns.column(self._events.id)), checks_of(read, columns.num_rows)

    def _keys(self, batch: Batch) -> list[Finding]:
        """Rows whose record key is not their entity: they lie in a partition whose windows are another's."""
        found = []
        if batch.keys.null_count:
            null = batch.keys.is_null().to_numpy(zero_copy_only=False)
            found.append(Finding(null, "null_key", f"the record has no key, it must be {self._events.key}"))
        entities = entities_of(batch.columns, self._events.key).cast(pa.binary())
        same = pc.fill_null(pc.equal(batch.keys.cast(pa.binary()), entities), True).to_numpy(zero_copy_only=False)
        if not same.all():
            found.append(Finding(~same, "wrong_key", f"the record's key is not its {self._events.key}"))
        return found


def _read_by(pipeline: Pipeline) -> tuple[str, ...]:
    """What the pipeline reads of an event, but for its id."""
    read = {pipeline.events.time, pipeline.events.key, *(f.name for f in pipeline.event_fields)}
    for view in pipeline.views.values():
        read |= {*view.fields, *view.keys}
        read |= {name for expression in view.expressions.values() for name in expression.fields}
    return tuple(sorted(read - {pipeline.events.id}))


def times_of(columns: pa.RecordBatch, name: str) -> Ints:
    """Event times, int64 milliseconds; null as 0."""
    times = columns.column(name).view(pa.int64())
    return cast(Ints, (times.fill_null(0) if times.null_count else times).to_numpy(zero_copy_only=False))


def entities_of(columns: pa.RecordBatch, name: str) -> pa.StringArray:
    """An entity column as text, as it stands in record keys."""
    return text_of(columns.column(name))


def text_of(entities: pa.Array) -> pa.StringArray:
    """Entities as text, whatever their type."""
    return cast(pa.StringArray, entities if entities.type == pa.string() else entities.cast(pa.string()))


def late_rows(times: Ints, watermark: Ints, lateness: int) -> Flags:
    """Rows that are further behind what their partition's time was before them than is allowed."""
    late: Flags = (watermark != NEVER) & (times < watermark - lateness)
    return late


def _rejects(batch: Batch, findings: Iterable[Finding]) -> list[Reject]:
    """One for each refused row, in row order, with the first reason found."""
    first: dict[int, Finding] = {}
    for finding in findings:
        for row in np.flatnonzero(finding.rows).tolist():
            first.setdefault(row, finding)
    return [
        Reject(int(batch.partition[row]), int(batch.offset[row]), finding.reason, finding.detail)
        for row, finding in sorted(first.items())
    ]
