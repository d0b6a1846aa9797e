"""How operations tell how far they are."""

from __future__ import annotations

from collections.abc import Callable

Advance = Callable[[int], None]
"""Is told how many more are done."""
