"""The edge of `enrich` and `views`: topics, codecs and the online store around their pure code."""

from __future__ import annotations

from contextlib import suppress

from services.enrich.enriching import Enrich
from services.enrich.figures import Figures
from services.enrich.settings import EnrichSettings, ViewsSettings
from services.enrich.viewing import Views
from services.kit.clock import SteadyClock
from services.kit.errors import ConfigurationError, Transient
from services.kit.metrics import Metrics
from services.kit.online_store import MemoryStore, OnlineStore
from services.kit.runner import Runner
from services.kit.settings import Settings
from services.pipeline.wiring import read_contracts


def build_enrich(settings: EnrichSettings) -> Runner:
    """A member of `enrich`: events to features."""
    contracts = read_contracts(settings)
    pipeline = contracts.pipeline
    writes = ["features", *(f"view.{view.name}" for view in pipeline.foreign_views)]
    if pipeline.label_views:
        writes.append("exchange")
    wiring = contracts.wiring("enrich", settings, "events", writes)
    metrics = Metrics()
    store = _store(settings) if pipeline.foreign_views else MemoryStore()
    service = Enrich(pipeline, store, int(settings.ahead_s * 1000), Figures(metrics.registry))
    return Runner(service, wiring, settings, metrics, SteadyClock())


def build_views(settings: ViewsSettings) -> Runner:
    """A member of `views`: updates of one view to timelines in the online store."""
    contracts = read_contracts(settings)
    pipeline = contracts.pipeline
    views = {view.name: view for view in pipeline.foreign_views}
    name = settings.view or (next(iter(views)) if len(views) == 1 else "")
    if name not in views:
        known = ", ".join(views) or "it has none, so it needs no views service"
        raise ConfigurationError(f"HEADRACE_VIEW={settings.view}: name a view of {pipeline.name}: {known}")
    beside = ["events", "exchange"] if views[name].folds_labels else ["events"]
    wiring = contracts.wiring(f"views.{name}", settings, f"view.{name}", beside=beside)
    metrics = Metrics()
    service = Views(pipeline, views[name], _store(settings), settings.behind_ms / 1000, Figures(metrics.registry))
    return Runner(service, wiring, settings, metrics, SteadyClock())


def _store(settings: Settings) -> OnlineStore:
    """The online store. Raises ConfigurationError when it may drop what is written to it, if it can be asked now."""
    store = OnlineStore(settings.redis.get_secret_value())
    with suppress(Transient):
        store.check()
    return store
