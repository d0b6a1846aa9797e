"""Durations and shares as people write them: `10m`, `7d`, `500ms`, `25%`; and moments as they read them."""

from __future__ import annotations

import re
from datetime import UTC, datetime

UNITS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
"""Milliseconds in each unit that a duration may be written in."""

LONGEST = 100 * 365 * UNITS["d"]
"""A duration above a century is a slip of the pen, and sums of two such must fit an int64 of milliseconds."""

_DURATION = re.compile(r"(0|[1-9][0-9]*)(ms|s|m|h|d|w)", re.ASCII)
_SHARE = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*%", re.ASCII)


def milliseconds(text: str) -> int:
    """The length of a duration in milliseconds.

    Raises:
        ValueError: it is not a whole number and a unit, or is longer than a century; the message is the remedy.

    >>> milliseconds("10m"), milliseconds("7d"), milliseconds("500ms")
    (600000, 604800000, 500)
    """
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ValueError("write a whole number and a unit: 500ms, 30s, 10m, 6h, 7d or 2w (half a day is 12h)")
    # The length is looked at first: a number of a million digits must not be computed to be refused.
    if len(match[1]) > 16 or (length := int(match[1]) * UNITS[match[2]]) > LONGEST:
        raise ValueError("write a duration of at most a century")
    return length


def share(text: str) -> float:
    """A percentage as a fraction between 0 and 1.

    Raises:
        ValueError: it is not a percentage between 0% and 100%; the message is the remedy.

    >>> share("25%")
    0.25
    """
    match = _SHARE.fullmatch(text)
    if match is None or float(match[1]) > 100:
        raise ValueError("write a percentage between 0% and 100%, such as 25%")
    return float(match[1]) / 100


def duration(length: int) -> str:
    """The shortest text that `milliseconds` reads back as this length.

    >>> duration(604_800_000), duration(90_000), duration(0)
    ('7d', '90s', '0s')
    """
    if length == 0:
        return "0s"
    unit = next(unit for unit in ("d", "h", "m", "s", "ms") if length % UNITS[unit] == 0)
    return f"{length // UNITS[unit]}{unit}"


def moment(time: int) -> str:
    """A time in milliseconds since the epoch, in UTC.

    >>> moment(1_527_811_200_000), moment(1_527_811_230_000)
    ('2018-06-01 00:00', '2018-06-01 00:00:30')
    """
    try:
        there = datetime.fromtimestamp(time / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return f"{time} ms"  # no calendar knows it
    return f"{there:%Y-%m-%d %H:%M}" + (f":{there:%S}" if there.second else "")
