"""Watches what one model reads and answers: alarms, when each change began, and when it is over."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa

from headrace.columnar.packing import Column, beneath, json_column, json_of
from headrace.domain.drift.alarms import Alarm, ColumnChange, ColumnStanding, DriftEnd
from headrace.domain.drift.allowance import HOUR
from headrace.domain.drift.bets import UNPROVED, Bets, bets_on, proved_bets_on
from headrace.domain.drift.e_detector import HALF_LIVES, LEARNING, LOOKED, NOTHING, RENEWED, EDetector
from headrace.domain.drift.first_values import NO_CATEGORIES, FirstValues
from headrace.domain.drift.recent_events import RecentEvents
from headrace.domain.drift.reference_bins import Bytes, Flags, Floats, Ints, ReferenceBins
from headrace.domain.drift.reference_growth import ReferenceGrowth
from headrace.domain.drift.reference_profile import ColumnProfile, column_of, said_of

PIECE = 16 * RENEWED
"""Events between two looks whether a change is over."""
CALM = 3
"""Looks in a row at which a column must be as in the reference for its change to be over."""
RECENT = 1
"""Which of `HALF_LIVES` the recent counts have that are shown."""
SUDDEN = 512
"""Events within which a change is seen that these looks take for a large one: they go by counts of the first half-life
then, by those of the second for a small one."""
LEFT = 0.1
"""The share of the threshold that columns without part in an alarm may have together: each alarm uses up the rest, so
there are no more than were promised."""


class ModelMonitor:
    """A pure fold of one model's events in their order, wherever batches are cut.

    A column without a profile is watched against its first `LEARNT` values; a small reference grows. After an alarm
    the columns with part in it are silent until they are as before: all others are watched on.

    Args:
        columns: names of all, those with a profile among them.
        profiles: by name.
        threshold: what M must reach: expected alarms are what is begun in all, over it.
        weights: of each column's bets, see `EDetector`; None: all the same.
        proved: whether the promise is to be proved and not measured: by `proved_bets_on`, without bets that learn and
            references that grow. All profiles tell which rows are the others then.
        categories: of columns whose numbers stand for categories, how people read a number.
    """

    def __init__(
        self,
        columns: Sequence[str],
        profiles: Mapping[str, ColumnProfile],
        threshold: float,
        weights: Floats | None = None,
        proved: bool = False,
        categories: Mapping[str, Callable[[int], str]] = NO_CATEGORIES,
    ) -> None:
        self.columns = tuple(columns)
        self.known = tuple(name for name in columns if name in profiles)
        self.unknown = tuple(name for name in columns if name not in profiles)
        self.threshold = threshold / (1 - LEFT)
        self._weights = weights
        self._proved = proved
        self._profiles = dict(profiles)
        self._given = dict(profiles)
        self._first = FirstValues(self.columns, self.unknown, categories)
        self._growth = ReferenceGrowth(self.columns, PIECE)
        self._silent: Flags = np.zeros(len(self.columns), np.bool_)
        self._calm: Ints = np.zeros(len(self.columns), np.int64)
        self._life: Ints = np.zeros(len(self.columns), np.int64)
        self.recent = RecentEvents(len(self.columns))
        self.evidence = 0.0
        self._course: dict[int, float] = {}
        self._betted_on: dict[str, ColumnProfile] = {}
        self._bets: dict[str, Bets] = {}
        self._detector = self._made()
        self._state = self._detector.begin()

    @property
    def events(self) -> int:
        """How many there were."""
        return int(self._state.count[0])

    # ---- events come in ------------------------------------------------------------------------------------------

    def fold(self, places: Bytes, values: Floats, times: Ints, begun: Floats) -> Iterator[Alarm | DriftEnd]:
        """Take events in, in their order; what follows from them as it does.

        Args:
            places: uint8, events x `known`: bins, or `NOTHING`.
            values: float64, events x `unknown`: NaN where missing, infinite where an event says nothing of it.
            times: int64, event times in milliseconds.
            begun: float64, see `EDetector.advance`.
        """
        at = 0
        while at < len(times):
            upto = min(len(times), at + PIECE - self.events % PIECE)
            piece = self._placed(places[at:upto], values[at:upto])
            upto = at + self._first.until_enough(piece, values[at:upto])
            piece = piece[: upto - at]
            yield from self._advance(piece, times[at:upto], begun[at:upto])
            self._learn(piece, values[at:upto])
            if self.events % PIECE == 0:
                yield from self._over(int(times[upto - 1]))
                self._grow()
            at = upto

    def _placed(self, places: Bytes, values: Floats) -> Bytes:
        """The bins of all columns; of those that are still being learnt, `NOTHING`."""
        found = np.full((len(places), len(self.columns)), NOTHING, np.uint8)
        found[:, [self.columns.index(name) for name in self.known]] = places
        for at, name in enumerate(self.unknown):
            if name in self._profiles:
                column = np.ascontiguousarray(values[:, at])
                placed = self._profiles[name].bins.place(pa.array(column, from_pandas=False))
                placed[np.isinf(column)] = NOTHING
                found[:, self.columns.index(name)] = placed
        return found

    def _advance(self, places: Bytes, times: Ints, begun: Floats) -> Iterator[Alarm]:
        at = 0
        while at < len(times):
            before = self._state.copy()
            looks = self._detector.advance(self._state, places[at:], begun[at:], self._silent)
            over = np.flatnonzero(looks >= self.threshold)
            if len(looks):
                self.evidence = float(looks[-1]) / self.threshold
                self._note(looks[: int(over[0]) + 1] if len(over) else looks, times[at:], int(before.count[0]))
            if not len(over):
                self.recent.add(places[at:], times[at:])
                return
            upto = at + (int(over[0]) + 1) * LOOKED - int(before.count[0]) % LOOKED
            self._state = before
            looks = self._detector.advance(self._state, places[at:upto], begun[at:upto], self._silent)
            self.recent.add(places[at:upto], times[at:upto])
            yield self._alarm(int(times[upto - 1]), float(looks[-1]))
            at = upto

    def _note(self, looks: Floats, times: Ints, count: int) -> None:
        """Keep the highest evidence of each hour; `count` events were before the first of `times`."""
        hours = times[LOOKED - 1 - count % LOOKED :: LOOKED][: len(looks)] // HOUR * HOUR
        for hour in np.unique(hours).tolist():
            highest = float(looks[hours == hour].max()) / self.threshold
            self._course[hour] = max(self._course.get(hour, 0.0), highest)

    def course(self) -> list[tuple[int, float]]:
        """The highest evidence within each hour of event time since this was asked last, by its first millisecond."""
        found = sorted(self._course.items())
        self._course = dict(found[-1:])
        return found

    def _alarm(self, time: int, evidence: float) -> Alarm:
        """The largest columns until the others have little left; they are silent from now on."""
        by_bet = self._detector.by_bet(self._state, self._silent)
        parts = by_bet.sum(axis=1)
        order = np.argsort(-parts, kind="stable")
        left = parts.sum() - np.cumsum(parts[order])
        chosen = order[: int(np.argmax(left <= LEFT * self.threshold)) + 1].tolist()
        changes = tuple(self._change(at, by_bet[at], float(parts[at] / parts.sum())) for at in chosen)
        took = [change.began.events if change.began else SUDDEN for change in changes]
        self._silent[chosen], self._calm[chosen], self._life[chosen] = True, 0, np.array(took) >= SUDDEN
        self._state.sums[chosen] = 0.0
        self.evidence = float(self._detector.by_column(self._state, self._silent).sum()) / self.threshold
        return Alarm(self.events, time, evidence / self.threshold, changes)

    def _change(self, at: int, by_bet: Floats, share: float) -> ColumnChange:
        name, bet = self.columns[at], int(np.argmax(by_bet))
        profile = self._profiles[name]
        width = len(profile.bins.counts)
        began = self.recent.change_point(at, np.log(self._state.pays[at, :width, bet]))
        counts = self.recent.counts(at, began.events if began else self.recent.count, width)
        return ColumnChange(
            name,
            share,
            self._bet_name(name, bet),
            began,
            profile.bins.frequencies,
            counts / max(int(counts.sum()), 1),
            profile.bins.edges,
            profile.cycle is not None,
            profile.bins.levels,
        )

    def _bet_name(self, column: str, bet: int) -> str:
        learning = bet - (self._state.pays.shape[2] - len(HALF_LIVES))
        return self._bets[column].names[bet] if learning < 0 else f"learnt from some {HALF_LIVES[learning]:.0f} events"

    # ---- a change is over ----------------------------------------------------------------------------------------

    def _over(self, time: int) -> Iterator[DriftEnd]:
        if not self._silent.any():
            return
        calm = np.array(
            [bool(self._silent[at]) and name not in self._first.counts and self._as_before(at)
             for at, name in enumerate(self.columns)]
        )  # fmt: skip  # one condition
        self._calm = np.where(calm, self._calm + 1, 0)
        over = np.flatnonzero(self._calm >= CALM)
        if len(over):
            self._silent[over], self._calm[over] = False, 0
            self._growth.begin(over, self.events)
            self._state.sums[over] = 0.0
            yield DriftEnd(self.events, time, tuple(self.columns[at] for at in over.tolist()))

    def _as_before(self, at: int) -> bool:
        """Whether recent counts differ from the reference by no more than 19 in 20 do by chance."""
        life = int(self._life[at])
        remembered = min(int(self._state.events[at]), 2 * HALF_LIVES[life] / np.log(2))
        return self._divergence(at, life) <= self._profiles[self.columns[at]].by_chance(remembered)

    def _divergence(self, at: int, life: int = RECENT) -> float:
        return self._profiles[self.columns[at]].divergence(self._recent(at, life))

    def _recent(self, at: int, life: int = RECENT) -> Floats:
        width = len(self._profiles[self.columns[at]].bins.counts)
        seen = self._state.seen[at, life, :width] + self._state.fresh[at, :width]
        found: Floats = seen / seen.sum()
        return found

    # ---- references that are made of what comes ------------------------------------------------------------------

    def begin_anew(self, columns: Sequence[str]) -> None:
        """Somebody knows of a change, and takes it for what is usual from now on: the next values are the reference."""
        for name in columns:
            at = self.columns.index(name)
            if self._silent[at] and name not in self._first.counts:
                self._first.begin(name, len(self._profiles[name].bins.counts))

    def _learn(self, places: Bytes, values: Floats) -> None:
        made = self._first.take(places, values, self._profiles)
        if made:
            for at in (self.columns.index(name) for name in made):
                self._silent[at], self._calm[at] = False, 0
                self._growth.begin(np.array([at]), self.events)
                self._state.events[at] = 0  # it is known by nothing that was before
            self._resume(made)

    def _grow(self) -> None:
        if self._proved:
            return
        grown = self._growth.take(self.events, self._silent, self.recent, self._profiles)
        if grown:
            self._resume(grown)

    def _made(self) -> EDetector:
        """The detector of the references that there are now, with the bets on them."""
        none = np.zeros(2, np.int64)
        empty = ColumnProfile(ReferenceBins(none, np.empty(0)), others=none)
        profiles = [self._profiles.get(name, empty) for name in self.columns]
        before, self._betted_on = self._betted_on, dict(zip(self.columns, profiles, strict=True))
        self._bets = {
            name: self._bets[name] if before.get(name) is profile else self._bets_on(profile)
            for name, profile in self._betted_on.items()
        }
        bins, learning = [profile.bins for profile in profiles], 0.0 if self._proved else LEARNING
        return EDetector(bins, [*self._bets.values()], weights=self._weights, learning=learning)

    def _bets_on(self, profile: ColumnProfile) -> Bets:
        if not self._proved:
            return bets_on(profile.bins, inflation=profile.inflation)
        assert profile.others is not None, "whoever wants proof gives it rows"
        made = replace(profile.bins, counts=profile.bins.counts - profile.others)
        return proved_bets_on(made, profile.others, UNPROVED / len(self.columns))

    def _resume(self, profiles: Mapping[str, ColumnProfile]) -> None:
        """Watch with references that are new: what is known by bets that stood before goes on."""
        bets, state, old = self._bets, self._state, self._detector
        self._profiles |= profiles
        self._detector = self._made()
        self._state = made = self._detector.begin()
        lives = len(HALF_LIVES)
        for at in np.flatnonzero(state.events > 0).tolist():
            before, now = bets[self.columns[at]].names, self._bets[self.columns[at]].names
            stayed = [(now.index(name), number) for number, name in enumerate(before) if name in now]
            for to, number in stayed:
                made.sums[at, to] = state.sums[at, number]
            made.sums[at, -lives:] = state.sums[at, -lives:]
            made.pays[at, : old.width, -lives:] = state.pays[at, :, -lives:]
            made.seen[at, :, : old.width] = state.seen[at]
            made.fresh[at, : old.width] = state.fresh[at]
        made.events[:], made.count[:] = state.events, state.count

    # ---- what it knows -------------------------------------------------------------------------------------------

    def standing(self) -> list[ColumnStanding]:
        """How each column stands, in their order."""
        parts = self._detector.by_column(self._state, self._silent) / self.threshold
        return [self._standing(at, name, float(parts[at])) for at, name in enumerate(self.columns)]

    def whole(self) -> ColumnStanding:
        """How all of them stand together, under no name."""
        none = np.empty(0)
        return ColumnStanding("", self.evidence, self.events, None, bool(self._silent.any()), 0.0, none, none, None)

    def _standing(self, at: int, name: str, part: float) -> ColumnStanding:
        held = self._first.held(name)
        if held is not None:
            none = np.empty(0)
            return ColumnStanding(name, 0.0, held, held, False, 0.0, none, none, None)
        bins = self._profiles[name].bins
        shares = bins.frequencies, self._recent(at), bins.edges, bins.levels
        changed, events = bool(self._silent[at]), int(self._state.events[at])
        return ColumnStanding(name, part, events, None, changed, self._divergence(at), *shares)

    def save(self) -> dict[str, Column]:
        """All of it as columns, for `packing.pack`."""
        state = self._state
        said = {
            "columns": self.columns,
            "known": self.known,
            "learnt": {
                name: said_of(profile)
                for name, profile in self._profiles.items()
                if profile is not self._given.get(name)
            },
            "evidence": self.evidence,
            "course": sorted(self._course.items()),
        }
        order = self.recent.order()
        return {
            "said": json_column(said),
            "sums": state.sums.ravel(),
            "pays": np.ascontiguousarray(state.pays[:, :, -len(HALF_LIVES) :]).ravel(),
            "seen": state.seen.ravel(),
            "fresh": state.fresh.ravel(),
            "events": state.events,
            "count": state.count,
            "silent": self._silent.view(np.uint8),
            "calm": self._calm,
            "life": self._life,
            "recent.places": np.ascontiguousarray(self.recent.places[order].T).ravel(),
            "recent.times": self.recent.times[order],
            **{f"first.{name}": column for name, column in self._first.columns().items()},
            **{f"growth.{name}": column for name, column in self._growth.columns().items()},
        }

    def load(self, columns: Mapping[str, Column]) -> bool:
        """Take over what `save` gave; False, and nothing is taken over, where it is of other columns."""
        said: dict[str, Any] = json_of(columns["said"])
        if (said["columns"], said["known"]) != (list(self.columns), list(self.known)):
            return False
        for name, each in said["learnt"].items():
            self._profiles[name] = column_of(each)
        self._first.load(beneath(columns, "first."))
        self._growth.load(beneath(columns, "growth."))
        self._detector = self._made()
        self._state = state = self._detector.begin()
        state.sums[:] = columns["sums"].reshape(state.sums.shape)
        learning = state.pays[:, :, -len(HALF_LIVES) :]
        learning[:] = columns["pays"].reshape(learning.shape)
        state.seen[:] = columns["seen"].reshape(state.seen.shape)
        state.fresh[:] = columns["fresh"].reshape(state.fresh.shape)
        state.events[:], state.count[:] = columns["events"], columns["count"]
        self._silent[:], self._calm[:] = columns["silent"].astype(np.bool_), columns["calm"]
        self._life[:] = columns["life"]
        self.evidence, self._course = said["evidence"], dict(said["course"])
        held = len(columns["recent.times"])
        places = columns["recent.places"].astype(np.uint8).reshape(len(self.columns), held).T
        self.recent.count = self.events - held
        self.recent.add(places, columns["recent.times"].astype(np.int64))
        return True
