"""When a schedule asks for a training."""

from __future__ import annotations

from datetime import UTC, datetime

from cronsim import CronSim


def due(cron: str, since: int, now: int) -> int | None:
    """The last time of a schedule in (since, now], in milliseconds since the epoch; None: there is none.

    Times that went by unasked are asked for once, by the last of them.

    Args:
        cron: five fields, in UTC.
        since, now: milliseconds since the epoch.

    >>> monday = int(datetime(2026, 11, 30, tzinfo=UTC).timestamp() * 1000)
    >>> due("0 3 * * 1", monday, monday + 3 * 3_600_000) == monday + 3 * 3_600_000
    True
    >>> due("0 3 * * 1", monday, monday + 3 * 3_600_000 - 1) is None
    True
    """
    if now <= since:
        return None
    # The times before `now`, the nearest first; one second later, as it is excluded there.
    before = CronSim(cron, datetime.fromtimestamp(now // 1000 + 1, UTC), reverse=True)
    time = int(next(before).timestamp() * 1000)
    return time if time > since else None
