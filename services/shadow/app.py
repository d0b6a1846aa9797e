"""The edge of `shadow`: topics, codecs, the model store and model sessions around its pure code."""

from __future__ import annotations

from headrace.domain.control.events import ControlEvents
from headrace.domain.models.model_loader import Opener
from headrace.domain.models.store import ModelStore
from headrace.domain.pipeline.wiring import Contracts, read_contracts
from headrace.domain.records.predictions import PredictionRecords
from headrace.streaming.process.metrics import Metrics
from headrace.streaming.task.runner import Runner
from services.shadow.load_shedder import Shedding
from services.shadow.metrics import ShadowMetrics
from services.shadow.service import Shadow
from services.shadow.settings import ShadowSettings
from services.shadow.shadow_models import Dark

LONGEST_CALL = 0.05
"""Seconds of one model call: nobody waits for the dark, so what counts is that it is cheap."""
SHARE_OF_SILENCE = 1 / 3
"""The part of the time after which a silent loop counts as hung that one batch may take."""


def build(settings: ShadowSettings, contracts: Contracts | None = None) -> Runner:
    """A member of `shadow`: features to shadow predictions.

    `contracts`: those that the settings name, where they were read before.
    """
    contracts = contracts or read_contracts(settings)
    wiring = contracts.wiring("shadow", settings, "features", ["shadow-predictions", "control"], ["plans"])
    metrics = Metrics()
    control = wiring.outputs["control"].codec.reader.arrow
    features = wiring.inputs[0].codec.reader.arrow
    dark = wiring.outputs["shadow-predictions"].codec.reader.arrow
    figures, model = ShadowMetrics(metrics.registry), contracts.pipeline.model
    session = settings.session(LONGEST_CALL, model.classes)
    service = Shadow(
        PredictionRecords("shadow-predictions", features, dark, model),
        Dark(
            contracts.pipeline.name,
            Opener(ModelStore(settings.models, settings.model_cache), session, features),
            Shedding(settings.shed_after_s),
            ControlEvents(contracts.pipeline.name, "shadow", settings.member, control),
            figures,
        ),
        figures,
        settings.connection.library.monotonic,
        settings.silence_s * SHARE_OF_SILENCE,
    )
    return Runner(service, wiring, settings, metrics)
