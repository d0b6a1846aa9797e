"""The edge of `score`: topics, codecs, the model store and model sessions around its pure code."""

from __future__ import annotations

from headrace.domain.control.events import ControlEvents
from headrace.domain.models.store import ModelStore
from headrace.domain.pipeline.wiring import Contracts, read_contracts
from headrace.streaming.process.metrics import Metrics
from headrace.streaming.task.runner import Runner
from services.score.metrics import ScoreMetrics
from services.score.service import Score
from services.score.settings import ScoreSettings

SHARE_OF_LATENCY = 0.2
"""The part of the pipeline's latency target that one model call may take: two hops and two commits need the rest."""


def build(settings: ScoreSettings, contracts: Contracts | None = None) -> Runner:
    """A member of `score`: features to predictions.

    `contracts`: those that the settings name, where they were read before.
    """
    contracts = contracts or read_contracts(settings)
    wiring = contracts.wiring("score", settings, "features", ["predictions", "control"], ["plans"])
    metrics, model = Metrics(), contracts.pipeline.model
    service = Score(
        contracts.pipeline.name,
        wiring.inputs[0].codec.reader.arrow,
        wiring.outputs["predictions"].codec.reader.arrow,
        ControlEvents(contracts.pipeline.name, "score", settings.member, wiring.outputs["control"].codec.reader.arrow),
        ModelStore(settings.models, settings.model_cache),
        settings.session(contracts.pipeline.latency.target / 1000 * SHARE_OF_LATENCY, model.classes),
        ScoreMetrics(metrics.registry),
        settings.connection.library.monotonic,
        contracts.pipeline.latency.target / 1000,
        model.output != "value",
        model=model,
    )
    return Runner(service, wiring, settings, metrics)
