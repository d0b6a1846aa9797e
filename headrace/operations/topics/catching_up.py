"""Waiting until services have processed what was there when it was asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from headrace.errors import ConfigurationError
from headrace.streaming.kafka.connection import Connection
from headrace.streaming.kafka.lag import Lag, measure

TURN_S = 0.5
"""Seconds between two looks."""


def of_services(
    groups: Mapping[str, Sequence[str]], pipeline: str, services: Sequence[str]
) -> dict[str, Sequence[str]]:
    """The consumer groups of these services and the topics that they read; of all where none is named.

    Raises:
        ConfigurationError: the pipeline has no such service; says which it has.
    """
    names = {group: group.removeprefix(f"{pipeline}.").partition(".")[0] for group in groups}
    for service in services:
        if service not in names.values():
            known = ", ".join(dict.fromkeys(names.values()))
            raise ConfigurationError(f"{pipeline} has no group of a service {service}: it has {known}")
    return {group: topics for group, topics in groups.items() if not services or names[group] in services}


def caught_up(found: Sequence[Lag], asked: float, now: float) -> bool:
    """Whether nothing is left that was there at a time: what is not processed yet was written later.

    Services write to each other without end, so that never nothing at all is left.

    >>> caught_up([Lag("a.enrich", "a.events", 0, 3, 5, 2, 1.5)], asked=100.0, now=101.0)
    False
    >>> caught_up([Lag("a.enrich", "a.events", 0, 3, 5, 2, 1.5)], asked=100.0, now=102.0)
    True
    """
    return all(not lag.records or now - lag.seconds > asked for lag in found)


def await_caught_up(
    connection: Connection,
    groups: Mapping[str, Sequence[str]],
    within: float,
    clock: Callable[[], float],
    pause: Callable[[float], object],
) -> tuple[list[Lag], bool]:
    """Look until groups have processed what was there when it was asked: the last look, and whether they have.

    Args:
        within: seconds that are waited at the most.
        clock: seconds since the epoch; the broker's and producers' clocks are taken to agree with it.
        pause: waits for so many seconds.

    Raises:
        Transient: the broker does not answer.
    """
    asked = clock()
    while True:
        now = clock()
        found = measure(connection, groups, now)
        if caught_up(found, asked, now):
            return found, True
        if now - asked >= within:
            return found, False
        pause(TURN_S)
