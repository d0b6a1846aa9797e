"""What is said of an arm that answers and breaks."""

from __future__ import annotations

from headrace.domain.control.events import ControlEvents
from headrace.domain.plans.breaches import say_breach
from headrace.domain.plans.plans import Arm
from headrace.streaming.records.batch import Batch, Emit


class ArmBreaches:
    """Says each breach once for an arm, plan and breaker, in the transaction of the rows at which it happened.

    Args:
        events: gathers control events of this member.
    """

    def __init__(self, events: ControlEvents) -> None:
        self._events = events
        self._said: set[tuple[str, int, str]] = set()

    def say(self, arm: Arm, plan: int, breaker: str, detail: str, rows: Batch | None, now: float) -> None:
        """It broke at these rows; None: before it had any. `plan`: the version of the plan that names it."""
        key = arm.digest, plan, breaker
        if key not in self._said:
            self._said.add(key)
            say_breach(self._events, arm, plan, breaker, detail, rows, now)

    def emit(self) -> tuple[Emit, ...]:
        """What was said since the last call."""
        return self._events.emit()
