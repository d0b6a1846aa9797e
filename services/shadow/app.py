"""The edge of `shadow`: topics, codecs, the model store and model sessions around its pure code."""

from __future__ import annotations

import time

from services.inference.answers import Answers
from services.inference.arms import Opener
from services.inference.store import ModelStore
from services.kit.clock import SteadyClock
from services.kit.metrics import Metrics
from services.kit.runner import Runner
from services.pipeline.wiring import read_contracts
from services.shadow.dark import Dark
from services.shadow.figures import Figures
from services.shadow.news import News
from services.shadow.scoring import Shadow
from services.shadow.settings import ShadowSettings
from services.shadow.shedding import Shedding

LONGEST_CALL = 0.05
"""Seconds of one model call: nobody waits for the dark, so what counts is that it is cheap."""
SHARE_OF_SILENCE = 1 / 3
"""The part of the time after which a silent loop counts as hung that one batch may take."""


def build_shadow(settings: ShadowSettings) -> Runner:
    """A member of `shadow`: features to shadow predictions."""
    contracts = read_contracts(settings)
    wiring = contracts.wiring("shadow", settings, "features", ["shadow-predictions", "control"], ["plans"])
    metrics = Metrics()
    features = wiring.inputs[0].codec.reader.arrow
    figures = Figures(metrics.registry)
    service = Shadow(
        Answers("shadow-predictions", features, wiring.outputs["shadow-predictions"].codec.reader.arrow),
        Dark(
            contracts.pipeline.name,
            Opener(ModelStore(settings.models, settings.model_cache), settings.session(LONGEST_CALL), features),
            Shedding(settings.shed_after_s),
            News(contracts.pipeline.name, settings.member, wiring.outputs["control"].codec.reader.arrow),
            figures,
        ),
        figures,
        time.perf_counter,
        settings.silence_s * SHARE_OF_SILENCE,
    )
    return Runner(service, wiring, settings, metrics, SteadyClock())
