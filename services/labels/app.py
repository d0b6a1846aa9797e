"""The edge of `labels`: topics and codecs around its pure code."""

from __future__ import annotations

from headrace.domain.pipeline.spec import EXCHANGE, Pipeline, View
from headrace.domain.pipeline.wiring import Contracts, read_contracts
from headrace.domain.revisions.former import exchange_views
from headrace.domain.revisions.revision import FIRST, Revisions, digest_of
from headrace.domain.revisions.revision_log import revisions
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
    if settings.view:
        view = _view(settings.view, pipeline)
        views, kept, name, revision = [view], [view.name], f"labels.{view.name}", view.revision
        reads, writes = ["labels", view.exchange], [view.exchange]
    else:
        known = Revisions(pipeline.name)
        if pipeline.revision > FIRST:
            known = revisions(settings.connection, contracts.channel("revisions"), pipeline.name)
            known.succession(pipeline.revision, digest_of(pipeline))  # Else it is none that may run.
        found = exchange_views(pipeline, known, contracts.workspace)
        views, kept, name, revision = list(found.told), list(found.kept), "labels", FIRST
        reads, writes = list(Labelling.inputs), [EXCHANGE, "outcomes"]
    writes += [view.topic for view in views]
    contracts = contracts.with_views(views)
    wiring = contracts.wiring(name, settings, reads, writes, beside=["events"], revision=revision)
    metrics = Metrics()
    # A view that waits for less must be told in less.
    idle_after = min([settings.idle_after_s, *(view.idle_after / 1000 for view in views)])
    service = Labelling(
        pipeline,
        {name: contracts.channel(name).codec.reader.arrow for name in (EXCHANGE, "outcomes")},
        shared(pipeline),
        entities(kept),
        LabelsMetrics(metrics.registry),
        idle_after,
        settings.mode == "exactly_once",
        views,
        bool(settings.view),
    )
    return Runner(service, wiring, settings, metrics)


def _view(name: str, pipeline: Pipeline) -> View:
    """The view of a setting; ConfigurationError where labels of it are told with all others."""
    alone = {view.name: view for view in pipeline.label_views if view.exchange != EXCHANGE}
    if name not in alone:
        known = ", ".join(alone) or "it has none; leave HEADRACE_VIEW unset"
        raise ConfigurationError(
            f"HEADRACE_VIEW={name}: name a view of {pipeline.name} that folds labels and says since which revision it "
            f"is as it is: {known}"
        )
    return alone[name]
