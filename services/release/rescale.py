"""What `release` remembers after topics got more partitions: it needs no moving."""

from __future__ import annotations

from collections.abc import Set

from headrace.domain.pipeline.spec import Pipeline
from headrace.streaming.task.rescale import Left, Move


def rescale(to: Move, left: Left, grown: Set[str], pipeline: Pipeline) -> bool:
    """Nothing lies by key: a partition remembers how far it is, and the one of parts takes up new sources by itself."""
    return False
