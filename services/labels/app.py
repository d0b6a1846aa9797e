"""The edge of `labels`: topics and codecs around its pure code."""

from __future__ import annotations

from headrace.domain.pipeline.wiring import Contracts, read_contracts
from headrace.errors import ConfigurationError
from headrace.streaming.process.metrics import Metrics
from headrace.streaming.task.runner import Runner
from services.labels.metrics import LabelsMetrics
from services.labels.row_fields import entities, shared
from services.labels.service import Labelling
from services.labels.settings import LabelsSettings


def build(settings: LabelsSettings, contracts: Contracts | None = None) -> Runner:
    """A member of `labels`: predictions and labels to outcomes.

    `contracts`: those that the settings name, where they were read before.
    """
    contracts = contracts or read_contracts(settings)
    pipeline = contracts.pipeline
    if pipeline.labels is None:
        raise ConfigurationError(
            f"{pipeline.name} has no labels: add a section such as labels: {{id: ..., value: ...}}"
        )
    views = [f"view.{view.name}" for view in pipeline.label_views]
    wiring = contracts.wiring("labels", settings, Labelling.inputs, ["exchange", "outcomes", *views], beside=["events"])
    metrics = Metrics()
    # A view that waits for less must be told in less.
    idle_after = min([settings.idle_after_s, *(view.idle_after / 1000 for view in pipeline.label_views)])
    service = Labelling(
        pipeline,
        {name: wiring.outputs[name].codec.reader.arrow for name in ("exchange", "outcomes")},
        shared(pipeline),
        entities(pipeline),
        LabelsMetrics(metrics.registry),
        idle_after,
        settings.mode == "exactly_once",
    )
    return Runner(service, wiring, settings, metrics)
