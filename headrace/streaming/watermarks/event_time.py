"""How far the time of a stream has come, when some of its records may be dated wrongly.

The largest time seen is no measure: one record dated tomorrow, or today in a backfill of last year, would carry it
along, and all that follow would be late. Two times stand here instead, both pure functions of the records in order:

- `firm` decides who is late and what is forgotten. It goes as far as an eighth of the newest records have gone, but no
  further than `lateness` beyond what most of them have; or, in a live stream whose broker stamps records, as far as the
  broker's time went on. It never goes back.
- `credible` says how far a source is to others that wait for it, and which of its records come too late for them. A
  step that is within the lateness or not far beyond what is usual is believed at once, or one that the broker's time
  took as well; a longer one, and the very first, when two more records confirm it: more in a row where such records
  turned out to be wrong before. It never goes back either: others have gone on by it.

A record's time counts up to its own Kafka timestamp, where that was written by the broker: what has not happened yet is
no time that has passed.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from headrace.columnar.jit import frozen, kernel

Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

EARLIEST, LATEST = -62_135_596_800_000, 253_402_300_799_999
"""Milliseconds of the years 1 to 9999: no calendar goes further, and windows can be subtracted without overflow."""
NEVER = -(2**62)
"""A time before all times, far enough from the edge of int64 to subtract durations from."""
STEP = 3_600_000
"""Milliseconds beyond the lateness that a stream may lie behind its broker's time and be taken for a live one."""
USUAL = 16
"""Times the usual distance of records that a single one may carry `credible` on."""
RECENT = 64
"""Records of which most must have gone as far."""
LEAST = 8
"""Records before anything is firm."""
FEW, CONFIRMED = 5, 3
"""Of the newest few most must be far beyond `credible` to carry it on, and be that in a row."""
DOUBTED = 3
"""So many more have to be, for each of the longest run of such records that others did not follow."""
SKEW = 60_000
"""Milliseconds that clocks of producers may differ by without being told."""

(
    FIRM, FIRM_STAMP, FIRM_OFFSET, CREDIBLE, CREDIBLE_STAMP, CREDIBLE_OFFSET, COUNT, RUN, DOUBT, STAMP, AHEAD,
) = range(11)  # fmt: skip  # one line's worth
_RING_AT = 11
_ORDER_AT = _RING_AT + RECENT
FIELDS = _ORDER_AT + RECENT
"""`_STAMP` and `_OFFSET`: of the record that moved it last; RUN: how many records in a row lay too far beyond
`credible` to be believed, DOUBT: the longest such run that others did not follow; STAMP: newest Kafka timestamp; AHEAD:
records that were not believed at once, ever; then the newest times, in the order of their arrival, and sorted."""
_FORMERLY = FIELDS + FEW
"""Fields of a version that kept the few newest times twice, and counted other things in RUN and DOUBT."""


class Seen(NamedTuple):
    """Records of one stream in their order.

    Attributes:
        times: int64, ms; what they are dated.
        stamps: int64, ms; their Kafka timestamps, negative for none.
        created: which of these were written by producers and not by the broker.
        offsets: int64.
        good: those that count.
    """

    times: Ints
    stamps: Ints
    created: Flags
    offsets: Ints
    good: Flags


class Clock:
    """The times of one stream of records.

    Parameters:
        state: int64[FIELDS], what `state` of another one gave; None at the beginning.

    Attributes:
        state: all of it.
    """

    __slots__ = ("state",)

    def __init__(self, state: Ints | None = None) -> None:
        if state is None:
            state = np.full(FIELDS, NEVER, np.int64)
            state[[COUNT, RUN, DOUBT, AHEAD]] = 0
        elif len(state) == _FORMERLY:
            state = np.delete(state, np.arange(_RING_AT, _RING_AT + FEW))
            state[[RUN, DOUBT]] = 0
        self.state = state.copy()

    @classmethod
    def at(cls, time: int) -> Clock:
        """One that stands at a time, whatever led there."""
        clock = cls()
        clock.state[[FIRM, CREDIBLE]] = time
        return clock

    def _get(self, field: int) -> int:
        return int(self.state[field])

    @property
    def firm(self) -> int:
        """Milliseconds; NEVER before there were enough records."""
        return self._get(FIRM)

    @property
    def credible(self) -> int:
        """Milliseconds; NEVER before the first record."""
        return self._get(CREDIBLE)

    @property
    def stamp(self) -> int:
        """The newest Kafka timestamp, milliseconds; NEVER before the first record."""
        return self._get(STAMP)

    @property
    def count(self) -> int:
        """Records, ever."""
        return self._get(COUNT)

    @property
    def ahead(self) -> int:
        """Records, ever, whose times were not believed at once."""
        return self._get(AHEAD)

    @property
    def moved_by(self) -> tuple[int, int]:
        """Offsets of the records that moved `firm` and `credible` last; NEVER for none."""
        return self._get(FIRM_OFFSET), self._get(CREDIBLE_OFFSET)

    def advance(self, seen: Seen, lateness: int, late: Flags, firm: Ints, credible: Ints) -> None:
        """Take up records in their order.

        Args:
            seen: the records.
            lateness: how far behind `firm` a record may be, ms; those further behind change nothing.
            late: to be set: those.
            firm, credible: to be set: what was `firm` and `credible` before each, ms.
        """
        _advance(self.state, *columns_of(seen), lateness, late, firm, credible)

    def before_each(self, times: Ints, offsets: Ints, lateness: int) -> tuple[Ints, Ints]:
        """Take up records that all count and of whose stamps nothing is known; what was `firm` and `credible` before
        each, ms.
        """
        rows = len(times)
        late, every = np.zeros(rows, np.bool_), np.ones(rows, np.bool_)
        firm, credible = np.zeros((2, rows), np.int64)
        self.advance(Seen(times, np.full(rows, -1), every, offsets, every), lateness, late, firm, credible)
        return firm, credible


def columns_of(seen: Seen) -> tuple[Ints, Ints, Flags, Ints, Flags]:
    """The columns as kernels take them."""
    return (
        frozen(seen.times), frozen(seen.stamps), frozen(seen.created), frozen(seen.offsets), frozen(seen.good)
    )  # fmt: skip  # one line's worth


@kernel("i8[::1] ~i8[::1] ~i8[::1] ~b1[::1] ~i8[::1] ~b1[::1] i8 b1[::1] i8[::1] i8[::1]")
def _advance(
    state: Ints, times: Ints, stamps: Ints, created: Flags, offsets: Ints, good: Flags, lateness: int, late: Flags,
    firm: Ints, credible: Ints,
) -> None:  # fmt: skip  # the state, the records, the answer
    for row in range(len(times)):
        firm[row], credible[row] = state[FIRM], state[CREDIBLE]
        if good[row]:
            late[row] = is_late(state, times[row], lateness)
            if not late[row]:
                take(state, times[row], stamps[row], created[row], offsets[row], lateness)


@kernel
def is_late(state: Ints, time: int, lateness: int) -> bool:
    """Whether a record is further behind than is allowed."""
    return bool(state[FIRM] != NEVER and time < state[FIRM] - lateness)


@kernel
def take(state: Ints, dated: int, stamp: int, created: bool, offset: int, lateness: int) -> None:
    """Take up a record that is not late."""
    stamped = stamp >= 0 and not created
    time = min(dated, stamp) if stamped else dated
    _remember(state, time)
    _move_credible(state, time, stamp, stamped, offset, lateness)
    _move_firm(state, time, stamp, stamped, offset, lateness)
    if state[CREDIBLE] < state[FIRM]:
        state[CREDIBLE], state[CREDIBLE_STAMP], state[CREDIBLE_OFFSET], state[RUN] = state[FIRM], stamp, offset, 0
    if state[CREDIBLE] != NEVER and dated > state[CREDIBLE] + lateness + SKEW:
        state[AHEAD] += 1
    state[STAMP] = max(state[STAMP], stamp)


@kernel
def _remember(state: Ints, time: int) -> None:
    """Put a time among the newest ones, in the place of the oldest."""
    place = _RING_AT + state[COUNT] % RECENT
    present = min(state[COUNT], RECENT)
    if present == RECENT:
        at = _ORDER_AT
        while state[at] != state[place]:
            at += 1
        while at < _ORDER_AT + RECENT - 1:
            state[at] = state[at + 1]
            at += 1
        present -= 1
    at = _ORDER_AT + present
    while at > _ORDER_AT and state[at - 1] > time:
        state[at] = state[at - 1]
        at -= 1
    state[at] = time
    state[place] = time
    state[COUNT] += 1


@kernel
def _move_firm(state: Ints, time: int, stamp: int, stamped: bool, offset: int, lateness: int) -> None:
    present = min(state[COUNT], RECENT)
    known, target = state[FIRM], state[FIRM]
    if present >= LEAST:
        most = state[_ORDER_AT + present - present // 2 - 1]
        some = state[_ORDER_AT + present - 1 - present // 8]
        target = max(target, min(some, most + lateness))
        if stamped and known == NEVER and state[CREDIBLE_STAMP] - state[CREDIBLE] <= lateness + STEP:
            target = max(target, state[CREDIBLE])  # A live stream, of records as far apart as they may be.
    if stamped and known != NEVER and state[FIRM_STAMP] - known <= lateness + STEP:
        target = max(target, min(time, known + max(stamp - state[FIRM_STAMP], 0)))
    if target > known:
        state[FIRM], state[FIRM_STAMP], state[FIRM_OFFSET] = target, stamp, offset


@kernel
def _move_credible(state: Ints, time: int, stamp: int, stamped: bool, offset: int, lateness: int) -> None:
    known = state[CREDIBLE]
    target = known
    if known == NEVER:
        live = stamped and stamp - time <= lateness + STEP
        target = time if live else _confirmed(state, lateness)
    elif time >= known - lateness:  # What comes later than that says nothing of the others.
        target = max(known, time)
        if time > known + lateness and _far(state, time, stamp, stamped, lateness):
            state[RUN] += 1
            target = known
            if state[RUN] >= CONFIRMED + DOUBTED * state[DOUBT]:
                target = max(known, _confirmed(state, lateness))
                state[RUN] = 0
        elif state[RUN] > 0:
            if time < _newest(state, 1):
                state[DOUBT] = max(state[DOUBT], state[RUN])
            state[RUN] = 0
    if target != known:
        state[CREDIBLE], state[CREDIBLE_STAMP], state[CREDIBLE_OFFSET] = target, stamp, offset


@kernel
def _far(state: Ints, time: int, stamp: int, stamped: bool, lateness: int) -> bool:
    """Whether a time is too far beyond `credible` to be believed at once."""
    known = state[CREDIBLE]
    reach = known + max(lateness, USUAL * _distance(state))
    if stamped and state[CREDIBLE_STAMP] - known <= lateness + STEP:
        reach += max(stamp - state[CREDIBLE_STAMP], 0)
    return bool(time > reach)


@kernel
def _newest(state: Ints, back: int) -> int:
    """The time of the newest record, or of one that came so many before it."""
    found: int = state[_RING_AT + (state[COUNT] - 1 - back) % RECENT]
    return found


@kernel("i8[::1]")
def _distance(state: Ints) -> int:
    """The usual distance between records: of a quarter of the newest ones, the older ones of the middle half, so that
    it is that of most, though many be dated ahead.
    """
    present = min(state[COUNT], RECENT)
    if present < FEW - 1:  # Of fewer a single one would decide.
        return 0
    quarter, half = present // 4, present // 2
    distance: int = (state[_ORDER_AT + half] - state[_ORDER_AT + quarter]) // (half - quarter)
    return distance


@kernel
def _confirmed(state: Ints, lateness: int) -> int:
    """The largest of the few newest times that is not far beyond most of them; NEVER while there are too few."""
    present = min(state[COUNT], FEW)
    if present < CONFIRMED:
        return NEVER
    few = np.empty(present, np.int64)
    for back in range(present):
        few[back] = _newest(state, back)
    few.sort()
    most = few[present - present // 2 - 1] + max(lateness, USUAL * _distance(state))
    found: int = few[0]
    for time in few:
        if time <= most:
            found = time
    return found


class Recent:
    """The newest times of a stream whose records are in no strict order, such as labels."""

    __slots__ = ("_state",)

    def __init__(self) -> None:
        self._state = Clock().state

    @property
    def count(self) -> int:
        """How many there were, ever."""
        return int(self._state[COUNT])

    def take(self, times: Ints) -> None:
        """Take up times in their order."""
        _remember_all(self._state, frozen(times))

    def reached(self, step: int) -> int:
        """How far most of the newest have gone, and those beyond that are no further from one another than `step`, or
        than 16 times what is usual; milliseconds, NEVER before the first.
        """
        present = min(int(self._state[COUNT]), RECENT)
        if not present:
            return NEVER
        upper = self._state[_ORDER_AT : _ORDER_AT + present][present - present // 2 - 1 :]
        apart = np.flatnonzero(np.diff(upper) > max(step, USUAL * _distance(self._state)))
        return int(upper[apart[0] if len(apart) else -1])


@kernel("i8[::1] ~i8[::1]")
def _remember_all(state: Ints, times: Ints) -> None:
    for row in range(len(times)):
        _remember(state, times[row])
