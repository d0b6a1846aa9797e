"""What a member tells of itself before anything has happened."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from headrace.streaming.process.metrics import Metrics
from headrace.streaming.task.progress import Progress


def test_a_member_that_joined_at_once_is_idle_since_then() -> None:
    """Not since 1970: it may have joined before anybody asked how long it has been idle."""
    metrics = Metrics()
    told: Any = SimpleNamespace(joined=True, worked_at=0.0, clean=lambda: True)
    nobody: Any = None
    progress = Progress(nobody, nobody, nobody, {}, told, told, told, (), metrics, nobody)
    assert progress.idle_s(1_764_590_000.0, backlog=False) == 0.0
    assert progress.idle_s(1_764_590_007.0, backlog=False) == 7.0
    assert metrics.idle._value.get() == 7.0
