"""Which events were there before: the ids of a partition's newest events, and how a repeat is told from a mistake.

An id is known by 64 bits of a hash, and with it 16 bits of a hash of what the pipeline reads of its event. Both stand
in an open-addressing table. There are two tables: the one that is being filled, and the one that was filled before it.
Once event time has gone on by the horizon since the newer one was begun, the older one is dropped and a new one begun:
so an id is remembered for the horizon at least, for about twice as long at most, and nothing is searched for what is
old.

What is remembered is a pure function of the partition's rows in their order, as the windows are.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from headrace.columnar import packing
from headrace.columnar.hashes import Checks, Codes
from headrace.columnar.jit import kernel
from headrace.columnar.memory import fetch, load8, load64, store8, store64
from headrace.domain.features.window_pool import Flags, Ints
from headrace.errors import ContractError
from headrace.streaming.watermarks.event_time import CREDIBLE, FIRM, NEVER, Clock, Seen, columns_of, is_late, take

Bytes = npt.NDArray[np.uint8]

FEWEST = 4_096
"""So many ids are remembered at least, however old: where events are few, tables need not change for each of them."""
MOST = 1 << 23
"""A table takes no more: with two of them, 16 million ids and 250 MB a partition."""
SPARE = 128
"""Places behind all where an id may belong, for those that are pushed on; more where hashes are crowded at the end."""
AHEAD = 12
"""Rows whose places are on their way from memory while others are looked at."""
STATE = "repeats"
_KIND = np.dtype([("code", "<u8"), ("check", "<u2")])
"""A place: the code of an id (0: free) and its check."""
_PLACE = _KIND.itemsize
_STARTED, _COUNT, _FORMER, _CUT = range(4)
_HALF, _ONE = np.uint64(32), np.uint64(1)


class Ids:
    """The ids of one partition's newest events.

    About 16 bytes an id: 10 a place, of which half to three quarters are taken. Ids stand in the order of their codes,
    each as near behind the place where it belongs as others leave it: so a search for one that is not there ends soon,
    and a larger table is filled from front to back (O. Amble, D. Knuth: Ordered hash tables, The Computer Journal 17,
    1974).

    Parameters:
        horizon: milliseconds of event time that an id is remembered for, at least.
        fewest, most: see `FEWEST` and `MOST`.
        keeps: whether rows of an id that is remembered are events all the same: marked, and advancing the clock.

    Attributes:
        state: int64; what was credible of event time when the newer table was begun (NEVER: nothing), the ids in it,
            those in the older one, and how often a table was full before its time, so that ids were remembered for less
            than the horizon.
    """

    def __init__(self, horizon: int, fewest: int = FEWEST, most: int = MOST, keeps: bool = False) -> None:
        self._limits = np.array([horizon, fewest, most, keeps], np.int64)
        self.state = np.array([NEVER, 0, 0, 0], np.int64)
        self._table, self._former = _IdTable(FEWEST), _IdTable(1)

    def __len__(self) -> int:
        return int(self.state[_COUNT] + self.state[_FORMER])

    @property
    def cut(self) -> int:
        """How often ids were forgotten before their time, for there were more than `MOST`."""
        return int(self.state[_CUT])

    @property
    def nbytes(self) -> int:
        """Bytes of both tables."""
        return self._table.nbytes + self._former.nbytes

    def sift(
        self,
        codes: Codes,
        checks: Checks,
        seen: Seen,
        clock: Clock,
        lateness: int,
        refuses: bool,
        marks: tuple[Flags, Flags, Flags, Ints, Ints],
    ) -> None:
        """Take good rows up in their order.

        A row whose id is remembered changes nothing: neither what is remembered nor the clock. Nor does one that is
        too late, where these are refused; for whoever publishes it again must not be told that it is a repeat.

        Args:
            codes, checks: of ids, and of what the pipeline reads.
            seen: the rows.
            clock: of their partition.
            lateness: the allowed one.
            refuses: whether late rows are refused.
            marks: to be set: rows that are repeats, rows that differ from the first of their id, rows that are late;
                and for each row what was firm, and what was credible, before it.
        """
        row, columns = 0, columns_of(seen)
        while True:
            row = _sift(
                codes, checks, *columns, row, lateness, refuses, clock.state, *marks, self._table.places,
                self._table.homes, self._former.places, self._former.homes, self.state, self._limits,
            )  # fmt: skip  # rows, then the tables
            if row == len(codes):
                return
            self._make_room(clock)

    def _make_room(self, clock: Clock) -> None:
        watermark = clock.firm
        count, former = int(self.state[_COUNT]), int(self.state[_FORMER])
        if not _over(self.state, watermark, self._limits):
            if 4 * count < 3 * self._table.homes:
                self._table = self._table.moved(self._table.ids, 2 * self._table.spare)
            else:
                # One that was begun at half the size of the one before is doubled once, if events come as they did.
                self._table = self._table.moved(max(count * 3 // 2, former if former <= 2 * count + FEWEST else 0))
            return
        self.state[_CUT] += watermark - self.state[_STARTED] < self._limits[0]
        self._former, self._table = self._table, _IdTable(max(count * 33 // 64, FEWEST))
        self.state[:_CUT] = clock.credible, 0, count

    def columns(self) -> dict[str, packing.Column]:
        """The state as columns, for `packing.pack`."""
        found: dict[str, packing.Column] = {STATE: self.state.copy()}
        for name, table in ((f"{STATE}_new", self._table), (f"{STATE}_former", self._former)):
            codes, checks = table.taken()
            found |= {f"{name}_codes": codes.view(np.int64), f"{name}_checks": checks.view(np.uint8)}
        return found

    def load(self, columns: Mapping[str, packing.Column]) -> None:
        """Take over what `columns` gave; nothing may be held yet. Raises ContractError when the parts do not fit."""
        state = columns[STATE]
        if len(state) != len(self.state):
            raise ContractError("state snapshot: ids of events are of another version")
        tables = []
        for name, count, least in ((f"{STATE}_new", _COUNT, FEWEST), (f"{STATE}_former", _FORMER, 1)):
            codes, checks = columns.get(f"{name}_codes"), columns.get(f"{name}_checks")
            if codes is None or checks is None or len(codes) != state[count] or len(checks) != 2 * len(codes):
                raise ContractError("state snapshot: ids of events and their numbers do not fit together")
            given = np.ascontiguousarray(codes).view(np.uint64), np.ascontiguousarray(checks).view(np.uint16)
            tables.append(_IdTable.of(*given, max(len(codes), least)))
        self.state[:] = state
        self._table, self._former = tables


def taken_out(columns: dict[str, packing.Column]) -> dict[str, packing.Column]:
    """Take out of a snapshot's columns what `Ids.columns` gave; empty where it is of a version that kept no ids."""
    names = [name for name in columns if name.partition("_")[0] == STATE and "." not in name]
    return {name: columns.pop(name) for name in names}


# ---- tables ------------------------------------------------------------------------------------------------------


class _IdTable:
    """Places for so many ids.

    Attributes:
        ids: how many it has room for.
        homes: places where an id may belong; behind them are `spare` others.
        places: all of them, as bytes.
    """

    def __init__(self, ids: int, spare: int = SPARE) -> None:
        self.ids, self.spare = ids, spare
        self.homes = ids * 4 // 3 + 2
        self.places = np.zeros((self.homes + spare) * _PLACE, np.uint8)

    @property
    def nbytes(self) -> int:
        return self.places.nbytes

    def moved(self, ids: int, spare: int = SPARE) -> _IdTable:
        """A table for so many ids that holds these."""
        return _filled(self.places, ids, spare)

    def taken(self) -> tuple[Codes, Checks]:
        """The ids, in the order of their codes."""
        places = self.places.view(_KIND)
        taken = places[places["code"] != 0]
        return np.ascontiguousarray(taken["code"]), np.ascontiguousarray(taken["check"])

    @staticmethod
    def of(codes: Codes, checks: Checks, ids: int) -> _IdTable:
        """A table for so many ids that holds what `taken` gave."""
        places = np.zeros(len(codes), _KIND)
        places["code"], places["check"] = codes, checks
        return _filled(places.view(np.uint8) if len(codes) else np.zeros(0, np.uint8), ids, SPARE)


def _filled(places: Bytes, ids: int, spare: int) -> _IdTable:
    while True:
        table = _IdTable(ids, spare)
        if _move(places, table.places, table.homes):
            return table
        spare *= 2


@kernel("i8[::1] i8 i8[::1]")
def _over(state: Ints, watermark: int, limits: Ints) -> bool:
    """Whether the newer table has had its time, or is full."""
    horizon, fewest, most = limits[0], limits[1], limits[2]
    count = state[_COUNT]
    return bool(count >= most or (count >= fewest and watermark - state[_STARTED] >= horizon))


@kernel
def _home(code: np.uint64, homes: np.uint64) -> int:
    """Where an id belongs, in bytes: in the order of codes."""
    return int(((code >> _HALF) * homes) >> _HALF) * _PLACE


@kernel
def _find(table: int, homes: np.uint64, code: np.uint64) -> int:
    """The address where an id stands in a table, or where it should be put."""
    at = table + _home(code, homes)
    while np.uint64(load64(at)) - _ONE < code - _ONE:  # A free place, 0, becomes the largest number.
        at += _PLACE
    return at


@kernel
def _check(at: int) -> int:
    return load8(at + 8) | load8(at + 9) << 8


@kernel
def _set(at: int, code: np.uint64, check: int) -> None:
    store64(at, int(code))
    store8(at + 8, check)
    store8(at + 9, check >> 8)


@kernel
def _put(at: int, end: int, code: np.uint64, check: int) -> bool:
    """Put an id where `_find` said, moving up those that follow; whether there was room before the table's `end`."""
    free = at
    while load64(free) != 0:
        free += _PLACE
    if free + _PLACE >= end:  # The last place stays free, so that every search ends.
        return False
    while free > at:
        store64(free, load64(free - _PLACE))
        store8(free + 8, load8(free - 2))
        store8(free + 9, load8(free - 1))
        free -= _PLACE
    _set(at, code, check)
    return True


@kernel("u1[::1] u1[::1] i8")
def _move(source: Bytes, target: Bytes, count: int) -> bool:
    """Enter all ids of a table into an empty one of so many homes, in their order; whether there was room."""
    at, begin, homes = source.ctypes.data, target.ctypes.data, np.uint64(count)
    free, end = begin, begin + len(target)
    for _ in range(len(source) // _PLACE):
        code = np.uint64(load64(at))
        if code != 0:
            free = max(free, begin + _home(code, homes))
            if free + _PLACE >= end:
                return False
            _set(free, code, _check(at))
            free += _PLACE
        at += _PLACE
    return True


@kernel(
    "u8[::1] u2[::1] ~i8[::1] ~i8[::1] ~b1[::1] ~i8[::1] ~b1[::1] i8 i8 b1 i8[::1] b1[::1] b1[::1] b1[::1] i8[::1] "
    "i8[::1] u1[::1] i8 u1[::1] i8 i8[::1] i8[::1]",
)
def _sift(
    codes: Codes, checks: Checks, times: Ints, stamps: Ints, created: Flags, offsets: Ints, good: Flags, begin: int,
    lateness: int, refuses: bool, clock: Ints, repeated: Flags, differing: Flags, late: Flags, firm: Ints,
    credible: Ints, newer: Bytes, newer_homes: int, former: Bytes, former_homes: int, state: Ints, limits: Ints,
) -> int:  # fmt: skip  # rows, marks, tables
    table, older = newer.ctypes.data, former.ctypes.data
    end, homes, older_homes = table + len(newer), np.uint64(newer_homes), np.uint64(former_homes)
    rows = len(codes)
    for row in range(begin, rows):
        if row + AHEAD < rows:
            fetch(table + _home(codes[row + AHEAD], homes))
            fetch(older + _home(codes[row + AHEAD], older_homes))
        firm[row], credible[row] = clock[FIRM], clock[CREDIBLE]
        if not good[row]:
            continue
        if 4 * state[_COUNT] >= 3 * newer_homes or _over(state, clock[FIRM], limits):
            return row
        code, check = codes[row], int(checks[row])
        at = _find(older, older_homes, code)
        if np.uint64(load64(at)) != code:
            at = _find(table, homes, code)
        if np.uint64(load64(at)) == code:
            repeated[row] = _check(at) == check
            differing[row] = not repeated[row]
            if limits[3]:
                late[row] = is_late(clock, times[row], lateness)
                if not late[row]:
                    take(clock, times[row], stamps[row], created[row], offsets[row], lateness)
            continue
        late[row] = is_late(clock, times[row], lateness)
        if late[row] and refuses:
            continue
        if not _put(at, end, code, check):
            return row
        if not late[row]:
            take(clock, times[row], stamps[row], created[row], offsets[row], lateness)
        if state[_STARTED] == NEVER:
            state[_STARTED] = clock[CREDIBLE]
        state[_COUNT] += 1
    return rows
