"""Watches one stream: rows of all its partitions in one order, each model's columns, and incidents of them together."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from headrace.columnar import packing
from headrace.domain.drift.alarms import Alarm, ColumnStanding, DriftEnd
from headrace.domain.drift.allowance import DAY, months
from headrace.domain.drift.incidents import Incidents, IncidentStep
from headrace.domain.pipeline.units import duration
from headrace.domain.records.drift_parts import Bytes, Floats, Ints
from headrace.domain.records.watched_columns import ModelIdentity
from headrace.streaming.watermarks.event_time import NEVER
from services.drift.harm.loss_watch import LossWatch
from services.drift.source_merge import DueRows, SourceMerge

FORGOTTEN = 100_000
"""Rows of the stream after the last of a model with which it counts as one that answers no more."""


class Monitor(Protocol):
    """A fold of the rows of one model, or of what is refused for one reason: see `ModelMonitor`, `RefusalRate`."""

    evidence: float

    @property
    def events(self) -> int:
        """How many rows there were."""

    def fold(self, places: Bytes, values: Floats, times: Ints, begun: Floats) -> Iterator[Alarm | DriftEnd]:
        """Take rows in, in their order; what follows from them as it does."""

    def begin_anew(self, columns: Sequence[str]) -> None:
        """What comes next is usual."""

    def course(self) -> list[tuple[int, float]]:
        """The highest evidence within each hour since this was asked last."""

    def whole(self) -> ColumnStanding:
        """How all columns stand together."""

    def standing(self) -> list[ColumnStanding]:
        """How each column stands."""

    def save(self) -> dict[str, packing.Column]:
        """All of it as columns."""

    def load(self, columns: Mapping[str, packing.Column]) -> bool:
        """Take over what `save` gave; False, and nothing is taken over, where it is of other columns."""


Monitors = Callable[[ModelIdentity], Monitor | None]
LossWatches = Callable[[ModelIdentity], LossWatch | None]


class LastRow(NamedTuple):
    """The newest row of a model: its number in the stream, and event time with it, milliseconds."""

    number: int
    reached: int = NEVER


class StreamWatch:
    """A fold of the parts that tell of one stream.

    Several models may answer the same event, and then all but the first of its rows come when time has gone on already.
    So each model's rows stand for the time since its own last row, and time is shared among the models that answer.

    Args:
        monitor: makes the monitor of a model; None of one that cannot be watched.
        accept_after: milliseconds of event time after which an open incident is taken for what is usual, looked at as a
            day (UTC) begins; None: never.
        losses: makes what follows the losses of a model that is watched; None: nothing does.

    Attributes:
        merge: rows whose turn it is not yet.
        monitors: by model.
        losses: of the same models.
        gone: models that answer no more since somebody looked last, with what they lost.
        other: models that had other columns when the state was saved: they are watched anew.
        anew: models whose losses were summed up otherwise when the state was saved: their sums begin anew.
        incidents: of all of them.
        rows: that were watched, of all models.
        reached: event time with the newest of them, milliseconds; None before the first.
    """

    def __init__(self, monitor: Monitors, accept_after: int | None = None, losses: LossWatches | None = None) -> None:
        self._made, self._made_losses = monitor, losses
        self._accept_after = accept_after
        self.merge = SourceMerge()
        self.monitors: dict[ModelIdentity, Monitor] = {}
        self.losses: dict[ModelIdentity, LossWatch] = {}
        self.gone: list[tuple[ModelIdentity, LossWatch]] = []
        self.anew: list[ModelIdentity] = []
        self.other: list[ModelIdentity] = []
        self.incidents = Incidents()
        self._owed: list[tuple[ModelIdentity, IncidentStep]] = []
        self.rows = 0
        self.reached: int | None = None
        self._last: dict[ModelIdentity, LastRow] = {}

    def watch(self) -> Iterator[tuple[ModelIdentity, IncidentStep]]:
        """Watch the rows whose turn it is; what follows from them, in their order."""
        yield from self._owed
        self._owed.clear()
        due = list(self.merge.given())
        count, begun, low = sum(len(each.rows) for each in due), self.rows, 0
        days = self._days(due, count)
        while low < count:
            if low in days:
                yield from self._accept_old(days[low])
            ends = [*days, *(last.number + FORGOTTEN + 1 - begun for last in self._last.values())]
            # No more at once: a model may have its last row among these, however many have their turn.
            high = min([count, low + FORGOTTEN, *(end for end in ends if end > low)])
            yield from self._watch([each.between(low, high) for each in due], begun)
            self.rows, low = begun + high, high
            yield from self._forget()

    def _watch(self, due: list[DueRows], begun: int) -> Iterator[tuple[ModelIdentity, IncidentStep]]:
        there = [each for each in due if len(each.rows) and self._known(each.model)]
        known = len(self._last)
        new = np.sort([int(each.turn[0]) for each in there if each.model not in self._last])
        found: list[tuple[int, ModelIdentity, Alarm | DriftEnd]] = []
        for each in there:
            monitor, losses, rows = self.monitors[each.model], self.losses.get(each.model), each.rows
            places, values = (rows.places, rows.values) if losses is None else losses.take(rows, each.reached)
            before = monitor.events
            share = known + np.searchsorted(new, each.turn, side="right")
            stands_for = self._months(each.model, each.reached) / share
            for said in monitor.fold(places, values, each.reached, stands_for):
                found.append((int(each.turn[said.event - before - 1]), each.model, said))
            self._last[each.model] = LastRow(begun + int(each.turn[-1]) + 1, int(each.reached[-1]))
            self.reached = max(NEVER if self.reached is None else self.reached, int(each.reached[-1]))
        for _, model, said in sorted(found, key=lambda row: row[0]):
            yield from self._step(model, said)

    def _known(self, model: ModelIdentity) -> bool:
        """Whether it can be watched; it is, from now on."""
        if model not in self.monitors:
            monitor = self._made(model)
            if monitor is None:
                return False
            self.monitors[model] = monitor
            losses = None if self._made_losses is None else self._made_losses(model)
            if losses is not None:
                self.losses[model] = losses
        return True

    def _months(self, model: ModelIdentity, reached: Ints) -> Floats:
        """The time that each row of a model stands for; none while there is no time yet."""
        last = self._last.get(model)
        before = NEVER if last is None else last.reached
        found: Floats = np.where(np.append(before, reached[:-1]) == NEVER, 0.0, months(before, reached))
        return found

    def _step(self, model: ModelIdentity, said: Alarm | DriftEnd) -> Iterator[tuple[ModelIdentity, IncidentStep]]:
        if isinstance(said, Alarm):
            yield model, self.incidents.alarmed(model.title, said)
            return
        step = self.incidents.ended(model.title, said)
        if step is not None:
            yield model, step

    def over(self, ends: Iterable[tuple[ModelIdentity, DriftEnd]]) -> Iterator[tuple[ModelIdentity, IncidentStep]]:
        """Something else than rows of the stream says that changes are over."""
        for model, end in ends:
            yield from self._step(model, end)

    def _forget(self) -> Iterator[tuple[ModelIdentity, IncidentStep]]:
        for old in [each for each, last in self._last.items() if self.rows - last.number > FORGOTTEN]:
            gone = self.monitors.pop(old)
            if old in self.losses:
                self.gone.append((old, self.losses.pop(old)))
            del self._last[old]
            step = self.incidents.gone(old.title, gone.events, self.reached or 0)
            if step is not None:
                yield old, step

    def _days(self, due: Sequence[DueRows], count: int) -> dict[int, int]:
        """The turns with which a day begins, and that day's first millisecond, where somebody wants to know."""
        if self._accept_after is None or not count:
            return {}
        times = np.empty(count, np.int64)
        for each in due:
            times[each.turn] = each.reached
        days = times // DAY
        before = np.append(days[0] if self.reached is None else self.reached // DAY, days[:-1])
        return {int(turn): int(days[turn]) * DAY for turn in np.flatnonzero(days > before)}

    def _accept_old(self, day: int) -> Iterator[tuple[ModelIdentity, IncidentStep]]:
        opened, after = self.incidents.opened, self._accept_after
        if after is not None and opened is not None and self.incidents.open and day - opened >= after:
            step = self.accept(f"accepted by drift.accept_after: open for {duration(after)}")
            if step is not None:
                yield step

    def accept(self, because: str) -> tuple[ModelIdentity, IncidentStep] | None:
        """The open incident is taken for what is usual from now on: its columns begin anew."""
        changed = dict(self.incidents.changed)
        of = {model.title: model for model in self.monitors}
        last = of.get(list(changed)[-1]) if changed else None
        if last is None:
            return None
        step = self.incidents.accepted(last.title, self.monitors[last].events, self.reached or 0, because)
        for title, columns in changed.items():
            if title in of:
                self.monitors[of[title]].begin_anew(sorted(columns))
        return last, step

    def save(self) -> tuple[dict[str, Any], dict[str, packing.Column]]:
        """The state: what goes into JSON, and columns."""
        waiting, columns = self.merge.columns()
        found = {f"merge.{name}": column for name, column in columns.items()}
        for number, (model, monitor) in enumerate(self.monitors.items()):
            found |= {f"monitor.{number}.{name}": column for name, column in monitor.save().items()}
            if model in self.losses:
                its = self.losses[model].save()
                found |= {f"losses.{number}.{name}": column for name, column in its.items()}
        said = {
            "waiting": [list(model) for model in waiting],
            "models": [[list(model), *self._last[model]] for model in self.monitors],
            "incidents": self.incidents.dump(),
            "rows": self.rows,
            "reached": self.reached,
        }
        return said, found

    def load(self, said: Mapping[str, Any], columns: Mapping[str, packing.Column], partitions: int) -> None:
        """Take over what `save` gave.

        Args:
            partitions: that the stream has now. Raises ContractError when there are fewer than then.
        """
        waiting = [ModelIdentity(*model) for model in said["waiting"]]
        self.merge.load(waiting, packing.beneath(columns, "merge."), partitions)
        for number, (names, *last) in enumerate(said["models"]):
            model = ModelIdentity(*names)
            if self._known(model):
                if not self.monitors[model].load(packing.beneath(columns, f"monitor.{number}.")):
                    self.other.append(model)
                self._last[model] = LastRow(*last)
                its = packing.beneath(columns, f"losses.{number}.")
                if model in self.losses and its and not self.losses[model].load(its):
                    self.anew.append(model)
        self.incidents = Incidents.of(said["incidents"])
        self.rows, self.reached = said["rows"], said["reached"]
        for model in self.other:
            step = self.incidents.gone(model.title, self.rows, self.reached or 0, "its columns are others now")
            if step is not None:
                self._owed.append((model, step))
