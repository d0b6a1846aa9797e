"""What a process runs: one member of one service."""

from __future__ import annotations

from typing import Protocol

from headrace.streaming.kafka.bindings import Wiring
from headrace.streaming.process.health import Health
from headrace.streaming.process.metrics import Metrics


class ServiceMember(Protocol):
    """A member as `headrace.streaming.process.main` runs it; nothing is opened before it runs.

    The runner of columns (`headrace.streaming.task.runner`) is one. A service that reads otherwise brings its own.
    """

    @property
    def wiring(self) -> Wiring:
        """The topics that it has to do with."""

    @property
    def metrics(self) -> Metrics:
        """What it counts."""

    @property
    def health(self) -> Health:
        """What its loop last said of itself."""

    @property
    def tangled(self) -> bool:
        """Whether the process may hang when it ends in the ordinary way."""

    @property
    def written(self) -> tuple[str, ...]:
        """Logical names of the topics that it writes."""

    def run(self) -> None:
        """Start, loop, drain. Raises what could not be handled; then nothing undone counts as done."""

    def stop(self) -> None:
        """Finish what is at hand, and leave; `run` returns. Safe to call from any thread."""
