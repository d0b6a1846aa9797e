"""The edge of `enrich`: topics, codecs and the online store around its pure code."""

from __future__ import annotations

from headrace.domain.pipeline.spec import VIEW
from headrace.domain.pipeline.wiring import Contracts, read_contracts
from headrace.stores.online import MemoryStore, Store, open_store
from headrace.streaming.process.metrics import Metrics
from headrace.streaming.task.runner import Runner
from services.enrich.metrics import EnrichMetrics
from services.enrich.service import Enrich
from services.enrich.settings import EnrichSettings


def build(settings: EnrichSettings, contracts: Contracts | None = None, store: Store | None = None) -> Runner:
    """A member of `enrich`: events to features.

    `contracts`, `store`: those that the settings name, where they were read or opened before.
    """
    contracts = contracts or read_contracts(settings)
    pipeline = contracts.pipeline
    writes = ["features", *pipeline.topics_of(VIEW), *dict.fromkeys(view.exchange for view in pipeline.label_views)]
    wiring = contracts.wiring("enrich", settings, "events", writes, ["revisions"], revision=pipeline.revision)
    metrics = Metrics()
    if store is None:
        store = open_store(settings.redis.get_secret_value()) if pipeline.foreign_views else MemoryStore()
    service = Enrich(pipeline, store, int(settings.ahead_s * 1000), EnrichMetrics(metrics.registry))
    return Runner(service, wiring, settings, metrics)
