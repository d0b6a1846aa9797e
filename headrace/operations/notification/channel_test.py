"""Sends a test message through channels, and says what came of each."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

from headrace.domain.notification.addresses import open_channel
from headrace.domain.notification.attempt import Attempt
from headrace.domain.notification.message import Message
from headrace.domain.pipeline.document import closest
from headrace.domain.pipeline.notification.spec import NotificationChannel
from headrace.domain.pipeline.spec import Pipeline
from headrace.errors import ConfigurationError

TEST_EVENT = "test"


@dataclass(frozen=True, slots=True)
class ChannelResult:
    """What came of a test message; `problem` is None where it was taken."""

    channel: str
    problem: str | None
    seconds: float


def try_channels(
    pipeline: Pipeline, only: str | None, environment: Mapping[str, str], deadline_s: float
) -> list[ChannelResult]:
    """Send a test message through all channels, or one of them, all at once, and wait for the answers so long.

    Raises:
        ConfigurationError: the pipeline names no channel, or not this one.
    """
    known = pipeline.notify.channels if pipeline.notify is not None else {}
    if not known:
        raise ConfigurationError(
            f"{pipeline.name} tells nobody: write a section notify: {{channels: {{oncall: {{env: ONCALL_URL}}}}}}"
        )
    if only is not None and only not in known:
        raise ConfigurationError(f"{pipeline.name} has no channel {only}: {closest(only, known)}")
    begun = time.monotonic()
    attempts = [
        (name, _attempt(pipeline.name, channel, environment))
        for name, channel in known.items()
        if only is None or name == only
    ]
    return [_result(name, attempt, begun, deadline_s) for name, attempt in attempts]


def _attempt(pipeline: str, channel: NotificationChannel, environment: Mapping[str, str]) -> Attempt | str:
    """Under way; or why it cannot be."""
    try:
        opened = open_channel(channel, environment)
    except ConfigurationError as error:
        return str(error)
    message = Message(
        channel.severity,
        f"{pipeline}: a test of the channel {channel.name}",
        f"Nothing happened. This channel is told of {', '.join(sorted(channel.kinds))}, from {channel.severity} on.",
    )
    return Attempt(lambda: opened.send(message, TEST_EVENT))


def _result(name: str, attempt: Attempt | str, begun: float, deadline_s: float) -> ChannelResult:
    if isinstance(attempt, str):
        return ChannelResult(name, attempt, 0.0)
    over = attempt.wait(max(begun + deadline_s - time.monotonic(), 0))
    problem = attempt.problem if over else f"no answer within {deadline_s:g} s"
    return ChannelResult(name, problem, round(time.monotonic() - begun, 3))
