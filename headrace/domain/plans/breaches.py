"""What is said of an arm that breaks, by whoever scores it."""

from __future__ import annotations

import structlog

from headrace.domain.control.breach import ArmBreached
from headrace.domain.control.events import ControlEvents
from headrace.domain.plans.plans import Arm
from headrace.streaming.records.batch import Batch, unslot

_log = structlog.get_logger()  # a proxy: configured by the time it is first used


def say_breach(
    events: ControlEvents, arm: Arm, plan: int, breaker: str, detail: str, rows: Batch | None, now: float
) -> None:
    """It broke at these rows; None: before it had any. `plan`: the version of the plan that names it."""
    runs = () if rows is None else rows.runs()
    first = {} if rows is None else {unslot(part)[1]: int(rows.offset[run.start]) for part, run in runs}
    count = 0 if rows is None else len(rows)
    found = ArmBreached(arm.title, arm.arm, arm.digest, plan, events.member, breaker, detail, count, first)
    events.say(found, f"{arm.place}/{plan}/{breaker}", now)
    _log.error("arm breached", model=arm.title, arm=arm.arm, plan=plan, breaker=breaker, detail=detail)
