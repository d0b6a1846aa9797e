"""The edge of `drift`: topics, codecs and the model store around its pure code."""

from __future__ import annotations

from functools import partial

from headrace.domain.models.store import ModelStore
from headrace.domain.pipeline.wiring import Contracts, read_contracts
from headrace.domain.records.drift_parts import PARTS
from headrace.domain.records.watched_columns import ModelIdentity, WatchedColumns
from headrace.streaming.process.metrics import Metrics
from headrace.streaming.task.runner import Runner
from services.drift.metrics import DriftMetrics
from services.drift.model_attributions import opened
from services.drift.service import Watcher
from services.drift.settings import DriftSettings


def build(settings: DriftSettings, contracts: Contracts | None = None) -> Runner:
    """A member of `drift`: predictions, outcomes and dead letters to incidents.

    `contracts`: those that the settings name, where they were read before.
    """
    contracts = contracts or read_contracts(settings)
    pipeline = contracts.pipeline
    wiring = contracts.wiring("drift", settings, Watcher.inputs, [PARTS, "drift", "control"])
    metrics = Metrics()
    store = ModelStore(settings.models, settings.model_cache)
    schemas = {each.logical: each.codec.reader.arrow for each in wiring.inputs}

    def columns(stream: str, model: ModelIdentity) -> WatchedColumns:
        package = store.package(*model)
        opening = partial(opened, package)
        return WatchedColumns(stream, pipeline, package.manifest, package.reference, schemas[stream], opening)

    told = {name: output.codec.reader.arrow for name, output in wiring.outputs.items()}
    service = Watcher(
        pipeline,
        columns,
        told[PARTS],
        told["drift"],
        told["control"],
        settings.publish_s,
        settings.idle_after_s,
        DriftMetrics(metrics.registry),
    )
    return Runner(service, wiring, settings, metrics)
