"""Whether a broker forgets what groups committed sooner than the records that they committed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil

from headrace.errors import HeadraceError
from headrace.streaming.contracts.topic_changes import Wanted
from headrace.streaming.kafka.admin import Admin

SETTING = "offsets.retention.minutes"
MINUTE_MS, DAY = 60_000, 1_440


def bound(topics: Sequence[Wanted]) -> int:
    """Minutes for which a group's offsets have to live: as long as any record of these topics.

    >>> bound([Wanted("a", 1, 1, {"retention.ms": "604800000"}), Wanted("b", 1, 1, {"retention.ms": "-1"})])
    10080
    """
    return max((ceil(int(topic.config.get("retention.ms", -1)) / MINUTE_MS) for topic in topics), default=0)


def warnings(admin: Admin, topics: Sequence[Wanted]) -> list[str]:
    """What to change on the brokers, in words; nothing when all is well. That it cannot be known is said too."""
    try:
        return judged(admin.broker_setting(SETTING), bound(topics))
    except HeadraceError as error:
        return [f"whether {SETTING} of the brokers is long enough is not known: {error}"]


def judged(found: Mapping[int, str], least: int) -> list[str]:
    """What is too short among the brokers' settings.

    >>> judged({1: "10080", 2: "10080"}, 129_600)[0].partition(":")[0]
    'offsets.retention.minutes is 10080 (7 days) on broker 1, 2'
    >>> judged({1: "576000"}, 576_000)
    []
    """
    short: dict[int, list[int]] = {}
    for node, minutes in sorted(found.items()):
        if int(minutes) < least:
            short.setdefault(int(minutes), []).append(node)
    return [
        f"{SETTING} is {minutes} ({minutes / DAY:g} days) on broker {', '.join(map(str, nodes))}: a service that "
        f"stands still for longer loses its place and its state, while records are kept for {least / DAY:g} days; "
        f"set it to {least} or more"
        for minutes, nodes in sorted(short.items())
    ]
