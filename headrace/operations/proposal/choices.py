"""What is proposed beyond roles: windows, ranges, categories and segments, each from figures of the rows."""

from __future__ import annotations

import keyword
import math
import re
from collections.abc import Sequence

import numpy as np

from headrace.domain.pipeline.language.aggregation import LABEL
from headrace.domain.pipeline.language.grammar import CALENDAR, FUNCTIONS, NULL
from headrace.domain.pipeline.units import UNITS, duration
from headrace.operations.proposal.column_profile import StreamColumn

WINDOWS = tuple(
    number * UNITS[unit]
    for number, unit in ((10, "s"), (1, "m"), (10, "m"), (1, "h"), (6, "h"), (1, "d"), (7, "d"), (30, "d"))
)
"""Milliseconds of windows that are proposed."""
CATEGORIES = 30
"""Values of a text that are a category, at the most."""
BANDS = 3
"""Segments, at the most."""


def windows(rows: int, entities: int, span_ms: int) -> tuple[list[int], str]:
    """Three windows at most in which an entity's events can be counted, and why these.

    The shortest holds half an event on average, the longest no more than half of what the rows span.

    >>> windows(10_000, 500, 10 * 86_400_000)[0] == [UNITS["d"] * 1 // 4, UNITS["d"]]
    True
    """
    if span_ms <= 0:
        return [], ""
    each = rows / entities / span_ms
    able = [length for length in WINDOWS if length <= span_ms / 2 and each * length >= 0.5]
    if not able:
        able = [length for length in WINDOWS if length <= span_ms][-1:] or [WINDOWS[0]]
    chosen = able if len(able) <= 3 else [able[0], able[len(able) // 2], able[-1]]
    held = ", ".join(f"{each * length:.2g} in {duration(length)}" for length in chosen)
    return chosen, f"an entity has on average {held}; the rows span {_span(span_ms)}"


def _span(length: int) -> str:
    days = length / UNITS["d"]
    return f"{days:,.1f} days" if days >= 1 else f"{length / UNITS['h']:,.1f} hours"


def bounds(one: StreamColumn) -> tuple[float, float] | None:
    """A range that is wider than what was seen, so that only what is strange is beyond; None where none makes sense.

    From 0 where nothing is below it, to 1 where nothing is above it, else to ten times what was seen.
    """
    low, high = one.low, one.high
    if low is None or high is None or not (math.isfinite(low) and math.isfinite(high)) or low == high:
        return None
    if low >= 0 and high <= 1:
        return 0.0, 1.0
    reach = 10 ** math.ceil(math.log10(max(abs(low), abs(high)) * 10) - 1e-12)
    return (0.0 if low >= 0 else -float(reach)), float(reach)


def usable(name: str) -> bool:
    """Whether an expression can speak of a field of this name."""
    words = {*CALENDAR, *FUNCTIONS, NULL, LABEL, "where", "True", "False"}
    return name.isidentifier() and not keyword.iskeyword(name) and name not in words


def category(one: StreamColumn) -> list[str]:
    """The values of a text that are categories, the most frequent first; none where they are none."""
    if one.kind != "string" or not one.counts or not 2 <= one.distinct <= CATEGORIES or one.rows < 5 * one.distinct:
        return []
    values = [str(value) for value in one.counts]
    return values if all(_plain(value) for value in values) else []


def _plain(value: str) -> bool:
    """Whether a text can stand between quotation marks."""
    return value.isprintable() and not set(value) & {'"', "\\", "'"} and 0 < len(value) <= 60 and value == value.strip()


def feature_name(*parts: str) -> str:
    """A name of a feature, made of words.

    >>> feature_name("MAR", "1"), feature_name("Plan", "pro plus")
    ('mar_1', 'plan_pro_plus')
    """
    found = re.sub(r"[^a-z0-9]+", "_", "_".join(parts).lower()).strip("_")[:80]
    return found if found[:1].isalpha() else f"is_{found}".rstrip("_")


def cuts(one: StreamColumn) -> list[float]:
    """Round numbers near a column's quartiles, ascending; fewer than two where it has no such."""
    if one.kind not in ("integer", "number") or one.values is None or one.distinct < 8:
        return []
    values = one.values.drop_null().to_numpy(zero_copy_only=False)
    found = [round_number(float(edge)) for edge in np.quantile(values[np.isfinite(values)], (0.25, 0.5, 0.75))]
    inside = [
        edge
        for edge in dict.fromkeys(found)
        if one.low is not None and one.high is not None and one.low < edge <= one.high
    ]
    return sorted(inside)


def round_number(value: float) -> float:
    """To two digits.

    >>> round_number(1234.5), round_number(0.0567), round_number(0.0)
    (1200.0, 0.057, 0.0)
    """
    if value == 0 or not math.isfinite(value):
        return 0.0
    return float(f"{value:.2g}")


def free_names(wanted: Sequence[str], taken: set[str]) -> list[str]:
    """The names, made different from each other and from those taken, which they join."""
    found = []
    for name in wanted:
        other, number = name, 1
        while other in taken:
            number += 1
            other = f"{name}_{number}"
        taken.add(other)
        found.append(other)
    return found
