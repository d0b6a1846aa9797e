"""The edge of `scorecards`: topics and codecs around its pure code."""

from __future__ import annotations

import time

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from services.kit.clock import SteadyClock
from services.kit.metrics import Metrics
from services.kit.runner import Runner
from services.pipeline.wiring import read_contracts
from services.scorecards.figures import Figures
from services.scorecards.scorecards import CARDS, PARTS, Scorecards
from services.scorecards.settings import ScorecardsSettings


def build_scorecards(settings: ScorecardsSettings) -> Runner:
    """A member of `scorecards`: predictions and outcomes to cards."""
    contracts = read_contracts(settings)
    wiring = contracts.wiring("scorecards", settings, Scorecards.inputs, [PARTS, CARDS])
    metrics = Metrics()
    codec = wiring.inputs[0].codec

    def measure(rows: pa.RecordBatch) -> npt.NDArray[np.int64]:
        return np.array([len(value) for value in codec.encode(rows)], np.int64)

    service = Scorecards(
        contracts.pipeline,
        measure,
        wiring.outputs[PARTS].codec.reader.arrow,
        wiring.outputs[CARDS].codec.reader.arrow,
        settings.distinct_scores,
        settings.publish_s,
        Figures(metrics.registry),
        time.perf_counter,
    )
    return Runner(service, wiring, settings, metrics, SteadyClock())
