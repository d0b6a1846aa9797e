"""How jobs end, and what is told of it."""

from __future__ import annotations

import asyncio
import json
from dataclasses import asdict
from typing import Any

from headrace.domain.control.base import ControlFinding
from headrace.domain.control.retrain import ModelEvaluated, ModelRegistered, RetrainFailed, RetrainFinished
from headrace.domain.evaluation.order import parse_evaluation_result
from headrace.domain.pipeline.release.spec import Release
from headrace.domain.release.gates import next_look
from headrace.domain.retrain.gate_waits import UNKNOWN, GateWait
from headrace.domain.retrain.history import TrainingRun
from headrace.domain.retrain.packages import RegisteredPackage
from headrace.domain.training.job.child import ChildJob, JobEnd, Told
from headrace.streaming.process.logs import logger

log = logger("retrain")
PATIENCE_S = (5.0, 20.0, 60.0)
"""Waits before a job is done again that failed for what may pass."""


def findings_of(
    run: TrainingRun, end: JobEnd, seconds: float, asker: str, at: int | None
) -> list[tuple[str, ControlFinding]]:
    """What is told of the end of a training that `asker` asked for, by the name that identities get.

    `at`: event time of the end; None where rules go by the wall clock.
    """
    if end.result is None:
        return [("failed", RetrainFailed(run.run, end.problem, seconds, str(end.log), at))]
    result = end.result
    model, digest = f"{result.get('model')}@{result.get('version')}", str(result.get("digest"))
    figures = json.dumps(result.get("metrics", {}), sort_keys=True)
    told = json.dumps({name: value for name, value in result.items() if name != "order"}, sort_keys=True)
    spent = float(result.get("cpu_s", 0.0))
    return [
        ("finished", RetrainFinished(run.run, model, digest, seconds, spent, str(end.log), told, at)),
        ("registered", ModelRegistered(model, digest, str(result.get("uri", "")), run.run, asker, figures, at)),
    ]


def verdict_of(package: RegisteredPackage, end: JobEnd, rules: Release, wait: GateWait | None = None) -> ModelEvaluated:
    """What is told of an evaluation: where it failed nothing is known, and people have to decide.

    Args:
        package: that was judged.
        end: of the job.
        rules: of the pipeline file.
        wait: what this look was for; None: the package was judged for the first time.
    """
    result = None if end.result is None else parse_evaluation_result(json.dumps(end.result))
    until = None if wait is None else wait.until
    if result is None:  # what it was looked at again for is looked at once more, on twice the outcomes again
        standing, because, champion = UNKNOWN, f"the evaluation failed: {end.problem}", None
        outcomes, wanted, look = (0, 0, 1) if wait is None else (wait.outcomes, wait.again, wait.look)
        spans = {} if wait is None else {partition: (stop, stop) for partition, stop in wait.ends.items()}
    else:
        standing, champion = result.standing, result.order.champion
        because = "; ".join(
            f"{gate.gate} is {gate.standing}: {gate.remedy}" for gate in result.gates if gate.standing != "passed"
        )
        unseen = wait is None and not result.outcomes and standing == UNKNOWN
        outcomes, wanted, look = result.outcomes, result.outcomes, 0 if unseen else result.order.look
        spans = dict(result.order.offsets or {})
        if until is None and result.as_of is not None:
            until = result.as_of + rules.deadline
    waits = standing == UNKNOWN and until is not None
    return ModelEvaluated(
        package.model,
        package.digest,
        package.run,
        standing,
        because,
        json.dumps({} if result is None else {name: asdict(each) for name, each in sorted(result.figures.items())}),
        json.dumps([] if result is None else [asdict(gate) for gate in result.gates]),
        "" if champion is None else champion.title,
        outcomes,
        json.dumps({str(partition): list(span) for partition, span in sorted(spans.items())}),
        str(end.log),
        look,
        next_look(wanted, rules.minimum) if waits else None,
        until if waits else None,
    )


async def patiently(job: ChildJob, told: Told) -> JobEnd:
    """How a job ends; one that lacked Kafka or a model store, or was killed by somebody, is done again."""
    end = await job.run(told)
    for wait in PATIENCE_S:
        if not end.passing:
            break
        log.warning("a job waits for what it lacks", reason=end.problem, seconds=wait)
        await asyncio.sleep(wait)
        end = await job.run(told)
    return end


async def in_silence(name: str, said: dict[str, Any]) -> None:
    """Evaluations are short: what they are at is in their log."""
