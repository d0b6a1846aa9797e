"""The edge of `scorecards`: topics, codecs and the model store around its pure code."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from headrace.domain.models.store import ModelStore
from headrace.domain.pipeline.wiring import Contracts, read_contracts
from headrace.domain.scorecards.grouped_tallies import CARDS, PARTS
from headrace.domain.scorecards.shift_rows import PackagedRows
from headrace.streaming.process.metrics import Metrics
from headrace.streaming.task.runner import Runner
from services.scorecards.metrics import ScorecardsMetrics
from services.scorecards.service import Scorecards
from services.scorecards.settings import ScorecardsSettings


def build(settings: ScorecardsSettings, contracts: Contracts | None = None) -> Runner:
    """A member of `scorecards`: predictions and outcomes to cards.

    `contracts`: those that the settings name, where they were read before.
    """
    contracts = contracts or read_contracts(settings)
    wiring = contracts.wiring("scorecards", settings, Scorecards.inputs, [PARTS, CARDS])
    metrics = Metrics()
    codec = wiring.inputs[0].codec

    def measure(rows: pa.RecordBatch) -> npt.NDArray[np.int64]:
        return np.array([len(value) for value in codec.encode(rows)], np.int64)

    service = Scorecards(
        contracts.pipeline,
        measure,
        PackagedRows(ModelStore(settings.models, settings.model_cache)),
        wiring.outputs[PARTS].codec.reader.arrow,
        wiring.outputs[CARDS].codec.reader.arrow,
        settings.distinct_scores,
        settings.publish_s,
        ScorecardsMetrics(metrics.registry),
        settings.connection.library.monotonic,
    )
    return Runner(service, wiring, settings, metrics)
