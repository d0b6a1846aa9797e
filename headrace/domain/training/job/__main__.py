"""The process of a training: `python -m headrace.domain.training.job ORDER.json`.

It says what `process` does, and `{"order": ...}` once that is fixed. Settings are the services' own (`HEADRACE_*`).
"""

from __future__ import annotations

import sys
from dataclasses import replace

from headrace.domain.training.job.limits import check_memory
from headrace.domain.training.job.messages import Writer
from headrace.domain.training.job.order import TrainingOrder, TrainingResult, parse_order
from headrace.domain.training.job.process import JobCost, JobPlace, serve_job


def _work(order: TrainingOrder, place: JobPlace, told: Writer) -> TrainingResult:
    # Libraries are imported once it is said how many threads they may take.
    from headrace.domain.training.job.work import carry_out

    check_memory(order.limits)
    return carry_out(order, place.connection, place.contracts, place.store, told)


def _closed(result: TrainingResult, cost: JobCost) -> str:
    return replace(result, cpu_s=cost.cpu_s, wall_s=cost.wall_s, peak_memory=cost.peak_memory).dump()


if __name__ == "__main__":
    sys.exit(serve_job(sys.argv[1:], "training", "headrace.domain.training.job", parse_order, _work, _closed))
