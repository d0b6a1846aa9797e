"""The `notify` section as frozen values; everything in them has been checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

MINUTE = 60_000
SEVERITIES = ("info", "warning", "critical")
"""From the least to the worst."""


@dataclass(frozen=True, slots=True)
class NotificationChannel:
    """Somebody who is told.

    Attributes:
        name: what the file calls it.
        source: where its address is: in an environment variable, or in a file.
        place: the variable's name, or the file's path.
        kinds: control events that it is told of.
        severity: it is told of what is at least as bad.
    """

    name: str
    source: Literal["env", "file"]
    place: str
    kinds: frozenset[str]
    severity: str = SEVERITIES[0]


@dataclass(frozen=True, slots=True)
class Notify:
    """Who is told of what happens.

    Attributes:
        channels: by name.
        fold: milliseconds; of what comes often within it, all but the first are told in one message.
    """

    channels: Mapping[str, NotificationChannel] = field(default_factory=dict)
    fold: int = 10 * MINUTE

    def wanting(self, kind: str, severity: str) -> tuple[str, ...]:
        """The channels that are told of events of a kind and severity."""
        return tuple(
            name
            for name, channel in self.channels.items()
            if kind in channel.kinds and SEVERITIES.index(severity) >= SEVERITIES.index(channel.severity)
        )
