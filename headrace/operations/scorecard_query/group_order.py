"""Groups of a segment in the order in which a person looks for them."""

from __future__ import annotations

import math
from collections.abc import Iterable


def in_order(groups: Iterable[str]) -> list[str]:
    """Bands by their lower end, then others by name.

    >>> in_order([">=200", "50-200", "missing", "<10", "10-50"])
    ['<10', '10-50', '50-200', '>=200', 'missing']
    """
    return sorted(groups, key=lambda group: (_start(group), group))


def _start(group: str) -> float:
    if group.startswith("<"):
        return -math.inf
    sign, text = ("-", group[1:]) if group.startswith("-") else ("", group.removeprefix(">="))
    try:
        return float(sign + text.split("-")[0])
    except ValueError:
        return math.inf
