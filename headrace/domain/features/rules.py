"""The contract rules of a pipeline, by columns: what must hold for a field, and what becomes of rows that fail."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from math import inf
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from headrace.domain.pipeline.spec import Pipeline, Rule
from headrace.streaming.watermarks.event_time import EARLIEST, LATEST

Flags = npt.NDArray[np.bool_]


EXACT = 2**53
"""Up to here every whole number is a float64 of its own; beyond, neighbours become one."""
LONGEST = 1_000
"""Bytes of an identity: it stands several times in records, and thousands of them in one view update."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Rows that break one rule: a mask over the batch, a reason (slug) and a sentence that names field and bound."""

    rows: Flags
    reason: str
    detail: str


@dataclass(slots=True)
class Judgement:
    """What the rules made of a batch.

    Attributes:
        columns: the batch, imputed values in place.
        refused: rows to reject, rule by rule; a row may stand in several.
        counts: (field, reason, `impute` or `warn`) to number of rows that went on all the same.
    """

    columns: pa.RecordBatch
    refused: list[Finding] = field(default_factory=list)
    counts: Counter[tuple[str, str, str]] = field(default_factory=Counter)


class Rules:
    """All rules of a pipeline: those written down, and those that need no writing.

    Unwritten: the event's id, time and key are there; its time lies in the years 1 to 9999; its id and entities have at
    most `LONGEST` bytes; numbers that the pipeline reads and has no rule for are finite; whole numbers that it computes
    with as float64 (a view aggregates them, a segment cuts them, an expression reads them beside nulls) are within
    `EXACT`, after all rules. A written range may allow an infinity by an open end; NaN is in no range.
    """

    def __init__(self, pipeline: Pipeline) -> None:
        events = pipeline.events
        self._time = events.time
        self._needed = (events.id, events.time, events.key)
        names = dict.fromkeys((events.id, events.key, *(name for v in pipeline.views.values() for name in v.keys)))
        self._names = tuple(name for name in names if events.fields[name].type == "string")
        read = {f.name for f in pipeline.event_fields} | {name for v in pipeline.views.values() for name in v.fields}
        written = {rule.field for rule in pipeline.rules}
        self._rules = (
            *pipeline.rules,
            *(Rule(name, "number") for name in sorted(read - written) if events.fields[name].type == "number"),
        )
        self._exact = _computed_with(pipeline)

    def judge(self, columns: pa.RecordBatch) -> Judgement:
        """Check every row against every rule."""
        judgement = Judgement(columns)
        for name in self._needed:
            missing = _mask(columns.column(name).is_null())
            if missing.any():
                judgement.refused.append(Finding(missing, "missing", f"{name} is null, every event needs it"))
        for name in self._names:
            lengths = pc.fill_null(pc.binary_length(columns.column(name).cast(pa.binary())), 0)
            long = _mask(pc.greater(lengths, LONGEST))
            if long.any():
                judgement.refused.append(Finding(long, "too_long", f"{name} has more than {LONGEST} bytes"))
        times = columns.column(self._time).cast(pa.int64()).fill_null(0).to_numpy(zero_copy_only=False)
        strange = (times < EARLIEST) | (times > LATEST)
        if strange.any():
            detail = f"{self._time} is not within the years 1 to 9999"
            judgement.refused.append(Finding(strange, "out_of_range", detail))
        for rule in self._rules:
            for finding in _check(rule, judgement.columns.column(rule.field)):
                self._apply(rule, finding, judgement)
        for name in self._exact:
            beyond = _beyond(judgement.columns.column(name))
            if beyond.any():
                detail = f"{name} is beyond 2**53, up to which whole numbers are told apart when they are computed with"
                judgement.refused.append(Finding(beyond, "too_large", f"{detail}: write it as a text, or give a rule"))
        return judgement

    def _apply(self, rule: Rule, finding: Finding, judgement: Judgement) -> None:
        if rule.otherwise == "reject":
            judgement.refused.append(finding)
            return
        judgement.counts[rule.field, finding.reason, rule.otherwise] += int(finding.rows.sum())
        if rule.otherwise == "impute":
            at = judgement.columns.schema.get_field_index(rule.field)
            column = judgement.columns.column(at)
            imputed = pc.if_else(pa.array(finding.rows), pa.scalar(rule.value, column.type), column)
            judgement.columns = judgement.columns.set_column(at, judgement.columns.schema.field(at), imputed)


def _check(rule: Rule, column: pa.Array) -> list[Finding]:
    found = []
    if rule.required and column.null_count:
        found.append(Finding(_mask(column.is_null()), "missing", f"{rule.field} is null, a value is required"))
    if rule.type in ("integer", "number"):
        outside = _outside(rule, column)
        if outside.any():
            low, high = rule.range or (-inf, inf)
            bound = f"not within [{low:g}, {high:g}]" if rule.range else "not a finite number"
            found.append(Finding(outside, "out_of_range", f"{rule.field} is {bound}"))
    if rule.one_of is not None:
        known = column.cast(pa.string()) if rule.type in ("string", "other") else column
        allowed = pc.is_in(known, pa.array(rule.one_of, known.type))
        strange = _mask(pc.and_(pc.invert(allowed), column.is_valid()))
        if strange.any():
            found.append(Finding(strange, "not_allowed", f"{rule.field} is none of {', '.join(map(str, rule.one_of))}"))
    return found


def _computed_with(pipeline: Pipeline) -> tuple[str, ...]:
    """Whole numbers of 64 bits that become float64 on the way to a feature or a group."""
    fields = pipeline.events.fields
    read = {name for view in pipeline.views.values() for name in view.fields}
    read |= {segment.of for segment in pipeline.segments.values() if segment.cuts}
    for view in pipeline.calendar_views:
        read |= {name for expression in view.expressions.values() for name in expression.nullable}
    return tuple(sorted(name for name in read if name in fields and fields[name].type == "integer"))


def _beyond(column: pa.Array) -> Flags:
    """Rows whose whole number is further from 0 than `EXACT`; a null is not."""
    if column.type.bit_width < 64:
        return np.zeros(len(column), np.bool_)
    numbers = column.fill_null(0) if column.null_count else column
    values = numbers.to_numpy(zero_copy_only=False)
    return cast(Flags, (values > EXACT) | (values < -EXACT))


def _outside(rule: Rule, column: pa.Array) -> Flags:
    """Rows whose number is out of range; a null is not."""
    if pa.types.is_integer(column.type) and rule.range is None:
        return np.zeros(len(column), np.bool_)
    numbers = column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    low, high = rule.range or (-np.finfo(np.float64).max, np.finfo(np.float64).max)
    fits = (numbers >= low) & (numbers <= high)
    return cast(Flags, ~fits & _mask(column.is_valid()))


def _mask(flags: Any) -> Flags:
    return cast(Flags, flags.to_numpy(zero_copy_only=False).astype(np.bool_, copy=False))
