"""A training as a process: what it makes, what it says, what it may take, and that it does not outlive its parent."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from headrace.domain.models.package import load
from headrace.domain.training.job.child import run_training
from headrace.domain.training.job.order import (
    TrainingOrder,
    TrainingProgress,
    TrainingResult,
)
from tests.training.meters import Meters


@pytest.fixture(scope="module")
def meters(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> Meters:
    """A project whose outcomes all tests here read."""
    found = Meters(tmp_path_factory.mktemp("meters"), kafka)
    found.fill()
    return found


def order_of(meters: Meters, **given: object) -> TrainingOrder:
    """A small training."""
    return replace(TrainingOrder(pipeline=str(meters.path), version="1", trees=10), **given)  # type: ignore[arg-type]  # whatever a test says


def test_a_job_trains_from_outcomes(meters: Meters, tmp_path: Path) -> None:
    """It says what it reads before it does, stores a package, and gives the same one when it is given again."""
    told: list[object] = []
    result = run_training(order_of(meters), tmp_path, told.append, environment=meters.environment())
    assert isinstance(result, TrainingResult), result
    fixed = next(message for message in told if isinstance(message, TrainingOrder))
    assert fixed == result.order
    assert fixed.fixed
    stages = [message.stage for message in told if isinstance(message, TrainingProgress)]
    assert list(dict.fromkeys(stages)) == ["fix", "read", "fit", "pack", "admit", "store"]
    package = load(Path(result.uri.removeprefix("file://")), result.digest)
    assert package.manifest.metrics == result.metrics
    assert set(package.manifest.training.offsets) == {f"{meters.name}.outcomes"}
    assert package.model_card is not None
    assert {(group.segment, group.group) for group in package.model_card.groups} >= {("size", "<20"), ("size", "20-60")}
    assert package.model_card.contributions.inputs["load"] > 0

    meters.fill(0, 50)
    again = run_training(fixed, tmp_path, environment=meters.environment("others"))
    assert isinstance(again, TrainingResult), again
    assert again.digest == result.digest, "what came meanwhile is not of the order"
