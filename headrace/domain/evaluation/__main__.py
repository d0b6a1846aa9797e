"""The process of an evaluation: `python -m headrace.domain.evaluation ORDER.json`.

It says what the process of a training does (`training.job.process`). Settings are the services' own (`HEADRACE_*`).
"""

from __future__ import annotations

import sys
from dataclasses import replace

from headrace.domain.evaluation.order import EvaluationOrder, EvaluationResult, parse_evaluation_order
from headrace.domain.training.job.messages import Writer
from headrace.domain.training.job.order import TrainingProgress
from headrace.domain.training.job.process import JobCost, JobPlace, serve_job


def _work(order: EvaluationOrder, place: JobPlace, told: Writer) -> EvaluationResult:
    from headrace.domain.evaluation.work import evaluate_package

    return evaluate_package(
        order, place.connection, place.contracts, place.store, lambda stage: told(TrainingProgress(stage=stage))
    )


def _closed(result: EvaluationResult, cost: JobCost) -> str:
    return replace(result, cpu_s=cost.cpu_s, wall_s=cost.wall_s).dump()


if __name__ == "__main__":
    sys.exit(
        serve_job(sys.argv[1:], "evaluation", "headrace.domain.evaluation", parse_evaluation_order, _work, _closed)
    )
