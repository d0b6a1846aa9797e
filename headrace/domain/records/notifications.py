"""notification records: what is to be told to whom, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

NOTIFICATIONS = "notifications"
"""The topic."""
DUE, SENT, UNDELIVERED, AGAIN = "due", "sent", "undelivered", "again"
STEPS = (DUE, SENT, UNDELIVERED, AGAIN)


def record_due(
    channel: str, event_id: str, kind: str, happened: int, severity: str, title: str, body: str, now: float
) -> dict[str, Any]:
    """That a channel is to be told of an event. `happened`: milliseconds; `now`: seconds."""
    return {
        "step": DUE,
        "channel": channel,
        "message_id": f"{channel}/{event_id}",
        "event_id": event_id,
        "kind": kind,
        "happened": happened,
        "severity": severity,
        "title": title,
        "body": body,
        "time": int(now * 1000),
        "count": 1,
        "attempts": 0,
        "problem": "",
    }


def record_outcome(told: Mapping[str, Any], problem: str | None, attempts: int, now: float) -> dict[str, Any]:
    """What came of a message: it was sent, or given up because of a problem."""
    step = SENT if problem is None else UNDELIVERED
    return {**told, "step": step, "time": int(now * 1000), "attempts": attempts, "problem": problem or ""}


def record_again(undelivered: Mapping[str, Any], now: float) -> dict[str, Any]:
    """That a person wants a message sent that nobody took, as it was."""
    return {**undelivered, "step": AGAIN, "time": int(now * 1000), "attempts": 0, "problem": ""}
