"""The edge of `notify`: topics, codecs and channels around its pure code."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from headrace.domain.notification.addresses import open_channels
from headrace.domain.notification.attempt import Attempt
from headrace.domain.pipeline.notification.spec import Notify
from headrace.domain.pipeline.wiring import Contracts, read_contracts
from headrace.domain.records.notifications import NOTIFICATIONS
from headrace.streaming.process.metrics import Metrics
from headrace.streaming.task.runner import Runner
from services.notify.courier import RetryPolicy
from services.notify.metrics import NotifyMetrics
from services.notify.service import Begin, Notifications
from services.notify.settings import NotifySettings


def build(settings: NotifySettings, contracts: Contracts | None = None, begin: Begin | None = None) -> Runner:
    """A member of `notify`: control events to messages.

    Without a `notify` section nobody is told anything, and events are read all the same: once there is one, it holds
    from then on. `contracts`, `begin`: those that the settings name, where they were read or opened before.
    """
    contracts = contracts or read_contracts(settings)
    wiring = contracts.wiring("notify", settings, Notifications.inputs, [NOTIFICATIONS])
    section = contracts.pipeline.notify or Notify()
    metrics = Metrics()
    service = Notifications(
        contracts.pipeline.name,
        section,
        begin or sends(section, os.environ),
        RetryPolicy(settings.send_deadline_s, settings.give_up_s),
        settings.tell_within_s,
        wiring.outputs[NOTIFICATIONS].codec.reader.arrow,
        NotifyMetrics(metrics.registry),
    )
    return Runner(service, wiring, settings, metrics)


def sends(section: Notify, environment: Mapping[str, str]) -> Begin:
    """Gives messages to channels, each on a thread of its own.

    Raises:
        ConfigurationError: an address is missing, or is none.
    """
    channels = open_channels(section, environment)

    def begin(channel: str, told: Mapping[str, Any]) -> Attempt:
        receiver = channels[channel]
        return Attempt(lambda: receiver.give(told["severity"], told["title"], told["body"]))

    return begin
