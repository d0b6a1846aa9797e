"""Trainings as processes, as tests start them: the runner that `retrain` has, waited for."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from headrace.domain.training.job.child import ChildJob, JobEnd
from headrace.domain.training.job.order import TrainingOrder, TrainingResult, parse_order, parse_result

COMMAND = (sys.executable, "-m", "headrace.domain.training.job", "--with-parent")


class CarriedOut:
    """What became of an order.

    Attributes:
        end: how the job ended; None where it was told to end.
        stages: that it told, in order.
        fixed: the order once it named what it reads.
    """

    def __init__(self) -> None:
        self.end: JobEnd | None = None
        self.stages: list[str] = []
        self.fixed: TrainingOrder | None = None

    @property
    def result(self) -> TrainingResult:
        """What it made; a job that made nothing is a failure of the test."""
        assert self.end is not None, "it was told to end"
        assert self.end.result is not None, self.end.problem
        return parse_result(json.dumps(self.end.result))


def carry_out(
    order: TrainingOrder, folder: Path, environment: Mapping[str, str] | None = None, until: str = ""
) -> CarriedOut:
    """Start a job and wait for its end, or until it comes to a stage: then it is told to end."""
    found = CarriedOut()

    async def told(name: str, said: dict[str, Any]) -> None:
        if name == "order":
            found.fixed = parse_order(json.dumps(said))
            return
        found.stages.append(said["stage"])
        if said["stage"] == until:
            task = asyncio.current_task()
            assert task is not None
            task.cancel()
            await asyncio.sleep(0)  # where it is taken notice of

    try:
        found.end = asyncio.run(ChildJob(COMMAND, order, "training", folder, environment or {}).run(told))
    except asyncio.CancelledError:
        assert until in found.stages
    return found
