"""Evidence over its threshold, as bars and shares."""

from __future__ import annotations

import math

WIDTH = 20
"""Of a bar, characters."""
DECADES = 4
"""Powers of ten below the threshold that a bar shows."""
MOST = 100.0
"""Times the threshold: more is not told apart."""
EIGHTHS = " ▏▎▍▌▋▊▉█"


def bar(evidence: float) -> str:
    """Evidence over its threshold on a scale of powers of ten, full at 1.

    >>> bar(1.0) == "█" * WIDTH, bar(0.01) == "█" * (WIDTH // 2) + " " * (WIDTH // 2), bar(0.0).strip()
    (True, True, '')
    """
    power = math.log10(evidence) if evidence > 0 else -DECADES
    return block(min(max(1 + power / DECADES, 0.0), 1.0), WIDTH)


def block(share: float, width: int) -> str:
    """A bar of a share of so many characters."""
    whole, rest = divmod(round(share * 8 * width), 8)
    return ("█" * whole + (EIGHTHS[rest] if rest else "")).ljust(width)


def share_of(evidence: float) -> str:
    """A share of the threshold that people can read.

    >>> share_of(0.5), share_of(0.0312), share_of(0.0000001), share_of(12.3), share_of(1e30)
    ('50%', '3%', '<0.1%', '1,230%', '>10,000%')
    """
    if evidence > MOST:
        return f">{MOST:,.0%}"
    if evidence < 0.001:
        return "<0.1%"
    return f"{evidence:,.0%}" if evidence >= 0.0095 else f"{evidence:.1%}"
