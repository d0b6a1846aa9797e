"""Who may pass: key, rules, and event time, row by row in the order of the log."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, MutableMapping
from dataclasses import dataclass, replace
from typing import cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from services.enrich.entries import NEVER, Flags, Ints
from services.enrich.rules import Finding, Rules
from services.kit.batch import Batch, Reject
from services.kit.compiled import frozen, kernel
from services.pipeline.spec import Pipeline

DAY = 86_400_000


@dataclass(frozen=True, slots=True)
class Passed:
    """Rows that may pass (imputed), those that may not, and which of the former come too late to be folded."""

    batch: Batch
    late: Flags
    rejects: tuple[Reject, ...]


class Gate:
    """Checks rows. Deterministic: it depends on the rows and the watermarks alone, never on the clock.

    The watermark of a partition is the largest event time among its rows that passed; a row older than it by more than
    the allowed lateness is late. A time far beyond the record's own Kafka timestamp is refused, for it would carry the
    watermark along and make every other row late.

    Parameters:
        pipeline: whose events these are.
        ahead_ms: how far an event time may lie beyond the record's timestamp.
    """

    def __init__(self, pipeline: Pipeline, ahead_ms: int = DAY) -> None:
        self._events = pipeline.events
        self._rules = Rules(pipeline)
        self._ahead = ahead_ms
        self.counts: Counter[tuple[str, str, str]] = Counter()

    def check(self, batch: Batch, watermarks: MutableMapping[int, int]) -> Passed:
        """Sort a batch's rows, moving the watermarks (by partition; none yet: absent) past those that passed."""
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
        late = np.zeros(len(batch), np.bool_)
        for partition, rows in batch.runs():
            before = watermarks.get(partition, NEVER)
            after = late_rows(frozen(times[rows]), good[rows], self._events.allowed_lateness, before, late[rows])
            if after != NEVER:
                watermarks[partition] = after
        if self._events.late == "reject" and late.any():
            detail = f"{self._events.time} is more than {self._events.allowed_lateness} ms behind its partition"
            findings.append(Finding(late, "too_late", detail))
            good &= ~late
        return Passed(batch.take(good), late[good], tuple(_rejects(batch, findings)))

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


@kernel("~i8[::1] b1[::1] i8 i8 b1[::1]")
def late_rows(times: Ints, good: Flags, lateness: int, watermark: int, late: Flags) -> int:
    """Mark good rows that are older than the watermark before them less `lateness`; returns the watermark after all."""
    for row in range(len(times)):
        if good[row]:
            late[row] = times[row] < watermark - lateness
            watermark = max(watermark, times[row])
    return watermark


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
