"""Rows of all partitions of a topic in one order, which follows from the rows alone and not from who came first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from headrace.columnar import packing
from headrace.domain.records.drift_parts import NAMES, Ints, ModelRows, columns_of, joined, rows_of
from headrace.domain.records.watched_columns import ModelIdentity
from headrace.streaming.watermarks.event_time import NEVER
from headrace.streaming.watermarks.source_marks import UNSEEN, SourceMarks


@dataclass(frozen=True, slots=True, eq=False)
class DueRows:
    """Rows of a model whose turn it is, in their order.

    Attributes:
        reached: int64, event time with it, milliseconds; never falls.
        turn: int64, its place among the rows of all models, ascending.
    """

    model: ModelIdentity
    rows: ModelRows
    reached: Ints
    turn: Ints

    def between(self, low: int, high: int) -> DueRows:
        """Those whose turn is in [low, high)."""
        first, end = np.searchsorted(self.turn, (low, high)).tolist()
        part = slice(first, end)
        return DueRows(self.model, self.rows.take(part), self.reached[part], self.turn[part])


class SourceMerge:
    """Rows wait until no source can tell an earlier one: they are given by how far time had come in their partition
    before each, those of the same time by partition and offset. A source that is idle is not waited for, once it is
    proven to have told what was written by then (see `SourceMarks`); what it tells later comes when it does.
    """

    def __init__(self) -> None:
        self.marks = SourceMarks()
        self._waiting: dict[ModelIdentity, list[ModelRows]] = {}
        self._reached = NEVER

    def __len__(self) -> int:
        """How many rows wait."""
        return sum(len(rows) for several in self._waiting.values() for rows in several)

    def take(
        self,
        source: int,
        next_offset: int,
        progress: int,
        idle: bool,
        rows: Mapping[ModelIdentity, ModelRows],
        seen: int = UNSEEN,
    ) -> int:
        """Take up what a source tells: rows below `next_offset`, after which its time is at `progress`; what it told
        before is left out. How many of the rows are new.

        Args:
            seen: by the clock, when it was last seen at its end, or when these rows were sent on.
        """
        known = self.marks.take(source, next_offset, progress, idle, seen)
        if known is None:
            return 0
        count = 0
        for model, told in rows.items():
            fresh = told.take(told.offset >= known)
            if len(fresh):
                self._waiting.setdefault(model, []).append(fresh)
                count += len(fresh)
        return count

    def forget(self, model: ModelIdentity) -> int:
        """Leave out the rows of a model that wait; how many."""
        return sum(map(len, self._waiting.pop(model, [])))

    def given(self) -> Iterator[DueRows]:
        """For each model the rows whose turn it is."""
        bound = self.marks.bound()
        if bound is None:
            return
        due: dict[ModelIdentity, ModelRows] = {}
        for model, several in list(self._waiting.items()):
            if min(int(part.progress.min()) for part in several) >= bound:
                continue
            rows = joined(several)
            ready = rows.progress < bound
            part = rows.take(ready)
            due[model] = part.take(np.lexsort((part.offset, part.source, part.progress)))
            if ready.all():
                del self._waiting[model]
            else:
                self._waiting[model] = [rows.take(~ready)]
        if not due:
            return
        progress = np.concatenate([rows.progress for rows in due.values()])
        source = np.concatenate([rows.source for rows in due.values()])
        offset = np.concatenate([rows.offset for rows in due.values()])
        order = np.lexsort((offset, source, progress))
        reached = np.maximum.accumulate(np.append(self._reached, progress[order]))
        self._reached = int(reached[-1])
        times, turn = np.empty(len(order), np.int64), np.empty(len(order), np.int64)
        times[order], turn[order] = reached[1:], np.arange(len(order))
        at = 0
        for model, its in due.items():
            place = slice(at, at + len(its))
            yield DueRows(model, its, times[place], turn[place])
            at += len(its)

    def columns(self) -> tuple[list[ModelIdentity], dict[str, packing.Column]]:
        """The state: models of waiting rows, and columns."""
        found: dict[str, packing.Column] = {**self.marks.columns(), "reached": np.array([self._reached])}
        models = list(self._waiting)
        for number, model in enumerate(models):
            rows = columns_of(joined(self._waiting[model]))
            found |= {f"waiting.{number}.{name}": column for name, column in rows.items()}
        return models, found

    def load(self, models: list[ModelIdentity], columns: Mapping[str, packing.Column], now: int) -> None:
        """Take over what `columns` gave.

        Args:
            now: how many sources there are. Raises ContractError when there are fewer than then.
        """
        self.marks.load(columns, now)
        self._reached = int(columns["reached"][0])
        for number, model in enumerate(models):
            rows = rows_of({name: columns[f"waiting.{number}.{name}"] for name in NAMES})
            self._waiting[model] = [rows]
