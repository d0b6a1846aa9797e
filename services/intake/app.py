"""The edge of `intake`: producers' topics, and the codecs of their formats, around its pure code."""

from __future__ import annotations

from headrace.domain.pipeline.feed.spec import OWN
from headrace.domain.pipeline.wiring import Contracts, read_contracts
from headrace.errors import ConfigurationError
from headrace.streaming.process.metrics import Metrics
from headrace.streaming.task.runner import Runner
from services.intake.service import FeedIntake
from services.intake.settings import IntakeSettings


def build(settings: IntakeSettings, contracts: Contracts | None = None) -> Runner:
    """A member of `intake`: feeds to events and labels.

    `contracts`: those that the settings name, where they were read before.

    Raises:
        ConfigurationError: the pipeline has no topic in a form of its producer's own.
    """
    contracts = contracts or read_contracts(settings)
    pipeline = contracts.pipeline
    reads = tuple(pipeline.feeds)
    if not reads:
        raise ConfigurationError(
            f"{pipeline.name} has nothing for intake: its producers write {pipeline.topic('events')} themselves; one "
            "that writes a topic of its own is named in the pipeline file (events: {topic: ..., format: json})"
        )
    wiring = contracts.wiring("intake", settings, reads, [OWN[logical] for logical in reads])
    return Runner(FeedIntake(pipeline, reads), wiring, settings, Metrics())
