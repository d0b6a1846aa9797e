"""The edge of `kpi`: topics and codecs around its pure code."""

from __future__ import annotations

from headrace.domain.kpi.parts import PARTS
from headrace.domain.pipeline.wiring import Contracts, read_contracts
from headrace.streaming.process.metrics import Metrics
from headrace.streaming.task.runner import Runner
from services.kpi.events import KPIS
from services.kpi.lag_gauge import LagGauge, LagSource, groups_of
from services.kpi.metrics import KpiMetrics
from services.kpi.service import CONTROL, Kpis
from services.kpi.settings import KpiSettings


def build(settings: KpiSettings, contracts: Contracts | None = None, lags: LagSource | None = None) -> Runner:
    """A member of `kpi`: cards, drift and records to what is told of rules.

    It writes in transactions whatever the mode: what came twice would be counted twice.
    `contracts`, `lags`: those that the settings name, where they were read or asked for before.
    """
    settings = settings.model_copy(update={"mode": "exactly_once"})
    contracts = contracts or read_contracts(settings)
    wiring = contracts.wiring("kpi", settings, Kpis.inputs, [PARTS, KPIS, CONTROL])
    metrics = Metrics()
    service = Kpis(
        contracts.pipeline,
        lags or LagGauge(settings.connection, groups_of(contracts.pipeline)),
        {name: channel.codec.reader.arrow for name, channel in wiring.outputs.items()},
        KpiMetrics(metrics.registry),
    )
    return Runner(service, wiring, settings, metrics)
