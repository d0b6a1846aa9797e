"""What is told of how jobs ended."""

from __future__ import annotations

import json
from dataclasses import asdict

from headrace.domain.control.base import ControlFinding
from headrace.domain.control.retrain import ModelEvaluated, ModelRegistered, RetrainFailed, RetrainFinished
from headrace.domain.evaluation.order import parse_evaluation_result
from headrace.domain.retrain.history import RegisteredPackage, TrainingRun
from services.retrain.job import JobEnd


def findings_of(run: TrainingRun, end: JobEnd, seconds: float, asker: str) -> list[tuple[str, ControlFinding]]:
    """What is told of the end of a training that `asker` asked for, by the name that identities get."""
    if end.result is None:
        return [("failed", RetrainFailed(run.run, end.problem, seconds, str(end.log)))]
    result = end.result
    model, digest = f"{result.get('model')}@{result.get('version')}", str(result.get("digest"))
    figures = json.dumps(result.get("metrics", {}), sort_keys=True)
    told = json.dumps({name: value for name, value in result.items() if name != "order"}, sort_keys=True)
    spent = float(result.get("cpu_s", 0.0))
    return [
        ("finished", RetrainFinished(run.run, model, digest, seconds, spent, str(end.log), told)),
        ("registered", ModelRegistered(model, digest, str(result.get("uri", "")), run.run, asker, figures)),
    ]


def verdict_of(package: RegisteredPackage, end: JobEnd) -> ModelEvaluated:
    """What is told of an evaluation: where it failed nothing is known, and people have to decide."""
    model, digest, run, log = package.model, package.digest, package.run, str(end.log)
    if end.result is None:
        return ModelEvaluated(model, digest, run, "unknown", f"the evaluation failed: {end.problem}", log=log)
    result = parse_evaluation_result(json.dumps(end.result))
    unmet = [f"{gate.gate} is {gate.standing}: {gate.remedy}" for gate in result.gates if gate.standing != "passed"]
    order = result.order
    return ModelEvaluated(
        model,
        digest,
        run,
        result.standing,
        "; ".join(unmet),
        json.dumps({name: asdict(figure) for name, figure in sorted(result.figures.items())}),
        json.dumps([asdict(gate) for gate in result.gates]),
        order.champion.title if order.champion is not None else "",
        result.outcomes,
        json.dumps({str(partition): list(span) for partition, span in sorted((order.offsets or {}).items())}),
        log,
    )
