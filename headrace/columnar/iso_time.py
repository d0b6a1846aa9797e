"""Times of ISO 8601 as milliseconds, many at once; each text is judged by itself.

Read are `2024-03-31`, `2024-03-31T02:30`, `2024-03-31 02:30:15.123456789`, each with `Z`, `+02`, `+0200` or `+02:00`
behind the clock, or without a zone. What is beyond a millisecond is cut off. Weeks, days of years, hour 24 and second
60 are none.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from headrace.columnar.jit import frozen, kernel
from headrace.columnar.memory import load8

NO_TIME, ZONED, LOCAL = range(3)
"""What a text is: no time, one with a zone, one without."""
_DAY = 86_400_000


def milliseconds(texts: pa.StringArray) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint8]]:
    """The milliseconds since 1970 of each text, and what each is; 0 for those that are none, and for nulls.

    Of a `LOCAL` one they are those of a clock that shows the same in UTC.

    >>> found, kinds = milliseconds(pa.array(["1970-01-02T00:00:01.5Z", "1970-01-02 02:00", "1970-01-01T01+01", "no"]))
    >>> found.tolist(), kinds.tolist()
    ([86401500, 93600000, 0, 0], [1, 2, 0, 0])
    """
    _, offsets, data = texts.buffers()
    ends = frozen(np.frombuffer(offsets, np.int32)[texts.offset : texts.offset + len(texts) + 1])
    times, kinds = np.zeros(len(texts), np.int64), np.zeros(len(texts), np.uint8)
    if len(texts) and data is not None:
        _read(data.address, ends, times, kinds)
    return times, kinds


@kernel
def _digits(here: int, end: int, count: int) -> int:
    """So many digits as a number; -1 where they are none."""
    if end - here < count:
        return -1
    value = 0
    for place in range(here, here + count):
        digit = load8(place) - 48
        if digit < 0 or digit > 9:
            return -1
        value = 10 * value + digit
    return value


@kernel
def _days(year: int, month: int, day: int) -> int:
    """Days since 1970 (Hinnant, chrono-Compatible Low-Level Date Algorithms); a number far too low for no date."""
    if year < 1 or month < 1 or month > 12 or day < 1:
        return -(1 << 40)
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    last = 31
    if month == 2:
        last = 29 if leap else 28
    elif month in (4, 6, 9, 11):
        last = 30
    if day > last:
        return -(1 << 40)
    year -= month <= 2
    era = year // 400
    of_era = year - era * 400
    of_year = (153 * (month + (-3 if month > 2 else 9)) + 2) // 5 + day - 1
    return era * 146_097 + of_era * 365 + of_era // 4 - of_era // 100 + of_year - 719_468


@kernel
def _zone(here: int, end: int) -> int:
    """Minutes east of UTC; a number far too high for no zone."""
    sign = load8(here)
    if sign in (90, 122):  # Z, z
        return 0 if here + 1 == end else 1 << 40
    if sign not in (43, 45):  # + and -
        return 1 << 40
    here += 1
    hours = _digits(here, end, 2)
    here += 2
    minutes = 0
    if hours >= 0 and here < end:
        if load8(here) == 58:  # :
            here += 1
        minutes = _digits(here, end, 2)
        here += 2
    if hours < 0 or hours > 23 or minutes < 0 or minutes > 59 or here != end:
        return 1 << 40
    total = 60 * hours + minutes
    return -total if sign == 45 else total


@kernel
def _one(here: int, end: int) -> tuple[int, int]:
    """Milliseconds and what it is."""
    year, month, day = _digits(here, end, 4), _digits(here + 5, end, 2), _digits(here + 8, end, 2)
    if end - here < 10 or load8(here + 4) != 45 or load8(here + 7) != 45:
        return 0, NO_TIME
    days = _days(year, month, day)
    if days < -(1 << 39):
        return 0, NO_TIME
    time = days * _DAY
    here += 10
    if here == end:
        return time, LOCAL
    if load8(here) not in (84, 116, 32):  # T, t, blank
        return 0, NO_TIME
    hour, minute = _digits(here + 1, end, 2), _digits(here + 4, end, 2)
    if hour < 0 or hour > 23 or minute < 0 or minute > 59 or load8(here + 3) != 58:
        return 0, NO_TIME
    time += (60 * hour + minute) * 60_000
    here += 6
    if here < end and load8(here) == 58:
        second = _digits(here + 1, end, 2)
        if second < 0 or second > 59:
            return 0, NO_TIME
        time += second * 1000
        here += 3
        if here < end and load8(here) in (44, 46):  # a comma or a point
            here += 1
            first, weight = here, 100
            while here < end and 48 <= load8(here) <= 57:
                time += (load8(here) - 48) * weight
                weight //= 10
                here += 1
            if here == first:
                return 0, NO_TIME
    if here == end:
        return time, LOCAL
    east = _zone(here, end)
    if east >= 1 << 39:
        return 0, NO_TIME
    return time - east * 60_000, ZONED


@kernel("i8 ~i4[::1] i8[::1] u1[::1]")
def _read(base: int, ends: npt.NDArray[np.int32], times: npt.NDArray[np.int64], kinds: npt.NDArray[np.uint8]) -> None:
    for row in range(len(kinds)):
        times[row], kinds[row] = _one(base + ends[row], base + ends[row + 1])
