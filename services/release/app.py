"""The edge of `release`: topics and codecs around its pure code."""

from __future__ import annotations

from headrace.domain.ledger.ledger_check import check_ledger
from headrace.domain.ledger.sources import CONTROL, PLANS
from headrace.domain.pipeline.release.spec import Release
from headrace.domain.pipeline.wiring import Contracts, read_contracts
from headrace.domain.records.release_parts import PARTS
from headrace.streaming.kafka.bindings import Wiring
from headrace.streaming.process.metrics import Metrics
from headrace.streaming.task.runner import Runner
from services.release.ledger_watch import LedgerWatch
from services.release.metrics import ReleaseMetrics
from services.release.service import Releases
from services.release.settings import ReleaseSettings


class ReleaseMember(Runner):
    """A member that looks after the ledger as well. Args: as of `Runner`; `watch`: runs as long as the member does."""

    def __init__(
        self, service: Releases, wiring: Wiring, settings: ReleaseSettings, metrics: Metrics, watch: LedgerWatch
    ) -> None:
        super().__init__(service, wiring, settings, metrics)
        self._watch = watch

    def run(self) -> None:
        """See `Runner`."""
        self._watch.start()
        try:
            super().run()
        finally:
            self._watch.close()


def build(settings: ReleaseSettings, contracts: Contracts | None = None) -> ReleaseMember:
    """A member of `release`: outcomes, control events and plans to decisions and the ledger.

    It writes in transactions whatever the mode: an entry that came twice would break the ledger.
    `contracts`: those that the settings name, where they were read before.
    """
    settings = settings.model_copy(update={"mode": "exactly_once"})
    contracts = contracts or read_contracts(settings)
    wiring = contracts.wiring(
        "release", settings, Releases.inputs, [PARTS, CONTROL, "ledger"], [PLANS], ["exchange"], aside=["ledger"]
    )
    metrics = Metrics()
    channels = {**wiring.outputs, **wiring.facts}
    schemas = {name: channel.codec.reader.arrow for name, channel in channels.items()}
    pipeline, figures = contracts.pipeline, ReleaseMetrics(metrics.registry)
    service = Releases(
        pipeline.name,
        pipeline.release or Release(),
        pipeline.model.output != "value",
        schemas,
        settings.idle_after_s,
        figures,
        len(pipeline.model.classes),
    )
    known = contracts
    watch = LedgerWatch(lambda: check_ledger(settings.connection, known, PARTS), settings.ledger_check_s, figures)
    return ReleaseMember(service, wiring, settings, metrics, watch)
