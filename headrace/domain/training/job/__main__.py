"""The process of a training: `python -m headrace.domain.training.job ORDER.json`.

It says what `process` does, and `{"order": ...}` once that is fixed. Settings are the services' own (`HEADRACE_*`).
"""

from __future__ import annotations

import sys
from dataclasses import replace

from headrace.domain.training.job.limits import check_memory
from headrace.domain.training.job.messages import Writer
from headrace.domain.training.job.order import TrainingOrder, TrainingResult, parse_order
from headrace.domain.training.job.process import JobCost, serve_job


def _work(order: TrainingOrder, told: Writer) -> TrainingResult:
    # Libraries are imported once it is said how many threads they may take.
    from headrace.domain.models.settings import PackageSettings
    from headrace.domain.models.store import ModelStore
    from headrace.domain.pipeline.wiring import read_contracts
    from headrace.domain.training.job.work import carry_out
    from headrace.streaming.process.settings import read_settings

    check_memory(order.limits)
    settings = read_settings(PackageSettings, pipeline=order.pipeline)
    assert isinstance(settings, PackageSettings)
    contracts = read_contracts(settings)
    store = ModelStore(settings.models, settings.model_cache)
    return carry_out(order, settings.connection, contracts, store, told)


def _closed(result: TrainingResult, cost: JobCost) -> str:
    return replace(result, cpu_s=cost.cpu_s, wall_s=cost.wall_s, peak_memory=cost.peak_memory).dump()


if __name__ == "__main__":
    sys.exit(serve_job(sys.argv[1:], "training", "headrace.domain.training.job", parse_order, _work, _closed))
