"""The edge of `enrich` and `views`: topics, codecs and the online store around their pure code."""

from __future__ import annotations

import time

from services.enrich.enriching import Enrich
from services.enrich.settings import EnrichSettings, ViewsSettings
from services.enrich.viewing import Views
from services.kit.errors import ConfigurationError
from services.kit.metrics import Metrics
from services.kit.online_store import OnlineStore
from services.kit.runner import Runner
from services.pipeline.wiring import read_contracts


def build_enrich(settings: EnrichSettings) -> Runner:
    """A member of `enrich`: events to features."""
    contracts = read_contracts(settings)
    pipeline = contracts.pipeline
    writes = ["features", *(f"view.{view.name}" for view in pipeline.foreign_views)]
    if pipeline.label_views:
        writes.append("exchange")
    wiring = contracts.wiring("enrich", settings, "events", writes)
    service = Enrich(pipeline, OnlineStore(settings.redis.get_secret_value()), int(settings.ahead_s * 1000))
    return Runner(service, wiring, settings, Metrics(), time.time)


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
    store = OnlineStore(settings.redis.get_secret_value())
    service = Views(pipeline, views[name], store, settings.behind_ms / 1000)
    return Runner(service, wiring, settings, Metrics(), time.time)
