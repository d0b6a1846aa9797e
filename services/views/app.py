"""The edge of `views`: topics, codecs and the online store around its pure code."""

from __future__ import annotations

from headrace.domain.pipeline.wiring import Contracts, read_contracts
from headrace.errors import ConfigurationError
from headrace.stores.online import Store, open_store
from headrace.streaming.process.metrics import Metrics
from headrace.streaming.task.runner import Runner
from services.views.metrics import ViewsMetrics
from services.views.service import Views
from services.views.settings import ViewsSettings


def build(settings: ViewsSettings, contracts: Contracts | None = None, store: Store | None = None) -> Runner:
    """A member of `views`: updates of one view to timelines in the online store.

    `contracts`, `store`: those that the settings name, where they were read or opened before.
    """
    contracts = contracts or read_contracts(settings)
    pipeline = contracts.pipeline
    views = {view.name: view for view in pipeline.foreign_views}
    name = settings.view or (next(iter(views)) if len(views) == 1 else "")
    if name not in views:
        known = ", ".join(views) or "it has none, so it needs no views service"
        raise ConfigurationError(f"HEADRACE_VIEW={settings.view}: name a view of {pipeline.name}: {known}")
    view = views[name]
    beside = ["events", view.exchange] if view.folds_labels else ["events"]
    wiring = contracts.wiring(f"views.{name}", settings, view.topic, beside=beside, revision=view.revision)
    metrics = Metrics()
    store = store or open_store(settings.redis.get_secret_value())
    service = Views(pipeline, view, store, settings.behind_ms / 1000, ViewsMetrics(metrics.registry))
    return Runner(service, wiring, settings, metrics)
