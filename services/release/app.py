"""The edge of `release`: topics and codecs around its pure code."""

from __future__ import annotations

from headrace.domain.ledger.sources import CONTROL, PLANS
from headrace.domain.pipeline.release.spec import Release
from headrace.domain.pipeline.wiring import Contracts, read_contracts
from headrace.domain.records.release_parts import PARTS
from headrace.streaming.process.metrics import Metrics
from headrace.streaming.task.runner import Runner
from services.release.metrics import ReleaseMetrics
from services.release.service import Releases
from services.release.settings import ReleaseSettings


def build(settings: ReleaseSettings, contracts: Contracts | None = None) -> Runner:
    """A member of `release`: outcomes, control events and plans to decisions and the ledger.

    It writes in transactions whatever the mode: an entry that came twice would break the ledger.
    `contracts`: those that the settings name, where they were read before.
    """
    settings = settings.model_copy(update={"mode": "exactly_once"})
    contracts = contracts or read_contracts(settings)
    wiring = contracts.wiring("release", settings, Releases.inputs, [PARTS, CONTROL, "ledger"], [PLANS], ["exchange"])
    metrics = Metrics()
    channels = {**wiring.outputs, **wiring.facts}
    schemas = {name: channel.codec.reader.arrow for name, channel in channels.items()}
    pipeline = contracts.pipeline
    service = Releases(
        pipeline.name,
        pipeline.release or Release(),
        pipeline.model.output == "probability",
        schemas,
        settings.idle_after_s,
        ReleaseMetrics(metrics.registry),
    )
    return Runner(service, wiring, settings, metrics)
