"""What is said of an arm that answers and breaks."""

from __future__ import annotations

import structlog

from headrace.domain.control.breach import ArmBreached
from headrace.domain.control.events import ControlEvents
from headrace.domain.plans.plans import Arm
from headrace.streaming.records.batch import Batch, Emit, unslot

_log = structlog.get_logger()  # a proxy: configured by the time it is first used


class ArmBreaches:
    """Says each breach once for an arm, plan and breaker, in the transaction of the rows at which it happened.

    Args:
        events: gathers control events of this member.
    """

    def __init__(self, events: ControlEvents) -> None:
        self._events = events
        self._said: set[tuple[str, int, str]] = set()

    def say(self, arm: Arm, plan: int, breaker: str, detail: str, rows: Batch, now: float) -> None:
        """It broke at these rows; `plan`: the version of the plan that names it."""
        key = arm.digest, plan, breaker
        if key in self._said:
            return
        self._said.add(key)
        first = {unslot(partition)[1]: int(rows.offset[part.start]) for partition, part in rows.runs()}
        found = ArmBreached(
            arm.title, arm.arm, arm.digest, plan, self._events.member, breaker, detail, len(rows), first
        )
        self._events.say(found, f"{arm.place}/{plan}/{breaker}", now)
        _log.error("arm breached", model=arm.title, arm=arm.arm, plan=plan, breaker=breaker, detail=detail)

    def emit(self) -> tuple[Emit, ...]:
        """What was said since the last call."""
        return self._events.emit()
