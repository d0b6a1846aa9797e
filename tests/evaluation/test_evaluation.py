"""Packages are judged by real outcomes, beside the champion, and gates answer."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from headrace.cli.render.release.forecast import forecast_lines
from headrace.domain.evaluation.order import (
    EvaluationOrder,
    EvaluationResult,
    parse_evaluation_order,
    parse_evaluation_result,
)
from headrace.domain.evaluation.work import evaluate_package
from headrace.domain.models.package import Input, Manifest, Training, pack
from headrace.domain.models.store import ModelStore
from headrace.domain.pipeline.wiring import read_contracts
from headrace.domain.plans.plans import CANARY, CHAMPION, Arm
from headrace.errors import ConfigurationError
from headrace.operations.release.forecast import forecast_releases
from headrace.streaming.process.settings import Settings
from tests.models import graphs
from tests.training.meters import DRIFT, MINUTE, ROWS, Meters

NAMES = ("load", "meter.mean_1h")
RELEASE = """
release:
  minimum: 500
  gates: {average_precision: better, brier_score: not worse by 0.5}
  groups: {size: {recall: at least 0.0}}
  fairness: {segment: size, gap: 0.2, figure: calibration}
  golden_rows: {latency: 500ms, memory: 1GB}
  explanations: {top: 2, share: 50%}
"""


@pytest.fixture(scope="module")
def meters(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> Meters:
    """A project with outcomes and gates."""
    found = Meters(tmp_path_factory.mktemp("meters"), kafka)
    found.path.write_text(found.path.read_text() + RELEASE)
    found.contracts = read_contracts(Settings(pipeline=str(found.path), bootstrap=kafka))
    found.fill()
    return found


def stored(meters: Meters, version: str, weights: Sequence[float], fitted: int = 0) -> Arm:
    """A package that is in the store, fitted on the first so many readings."""
    training = Training(start=0, end=max(fitted - 1, 0) * MINUTE, rows=max(fitted, 1))
    manifest = Manifest(
        name="meters",
        version=version,
        inputs=tuple(Input(name=name) for name in NAMES),
        threshold=0.5,
        training=training,
    )
    package = pack(manifest, graphs.logistic(weights))
    uri = store_of(meters).put(package)
    return Arm(CANARY, "meters", version, package.digest, uri)


def store_of(meters: Meters) -> ModelStore:
    """Its models."""
    return ModelStore(str(meters.directory / "models"), meters.directory / "cache")


def judged(meters: Meters, candidate: Arm, champion: Arm, **given: int) -> EvaluationResult:
    """What an evaluation finds; order and result survive their way as JSON."""
    order = EvaluationOrder(
        pipeline=str(meters.path), candidate=candidate, champion=replace(champion, arm=CHAMPION), **given
    )
    assert parse_evaluation_order(order.dump().encode()) == order
    found = evaluate_package(order, meters.connection, meters.contracts, store_of(meters))
    assert parse_evaluation_result(found.dump()) == found
    return found


def standings(found: EvaluationResult) -> dict[str, str]:
    """By gate."""
    return {gate.gate: gate.standing for gate in found.gates}


def test_after_a_change_the_other_model_is_better(meters: Meters) -> None:
    """Small loads are the faults from the middle on: who says so is let in there, and not before."""
    large, small = stored(meters, "1", [0.05, 0.0]), stored(meters, "2", [-0.05, 0.0])
    after = judged(meters, small, large, start=DRIFT * MINUTE)
    before = judged(meters, small, large, stop=DRIFT * MINUTE)
    assert standings(after)["average_precision"] == "passed"
    assert standings(before)["average_precision"] == "failed"
    assert before.standing == "failed"
    assert standings(after)["minimum"] == "passed"
    assert after.outcomes + before.outcomes > ROWS - 100, "all that are mature"
    assert after.figures["average_precision"].candidate > after.figures["average_precision"].champion
    assert standings(after)["latency"] == standings(after)["memory"] == "passed"
    assert standings(after)["explanations"] == "unknown", "packages made by hand have no card"
    assert {name for name in standings(after) if name.startswith("size=")}
    assert judged(meters, small, large, start=DRIFT * MINUTE).figures == after.figures, (
        "the same order, the same figures"
    )


def test_what_a_model_was_fitted_on_does_not_count(meters: Meters) -> None:
    """Neither what the candidate knew, nor what the champion did."""
    old, new = stored(meters, "3", [0.05, 0.0], 1_000), stored(meters, "4", [0.06, 0.0], 3_700)
    assert judged(meters, new, old).known == 0, "older events are not looked at"
    found = judged(meters, new, old, start=0)
    assert found.known == 3_700
    assert found.start == 3_700 * MINUTE
    assert standings(found)["minimum"] == "unknown", "too few are left"


def test_a_model_without_answers_is_told(meters: Meters) -> None:
    """A score that is not finite is no row; how many is said, and that the champion has one fails."""
    good, broken = stored(meters, "5", [0.05, 0.0]), stored(meters, "6", [float("nan"), 0.0])
    found = judged(meters, broken, good)
    assert found.outcomes == 0
    assert found.unanswered > ROWS - 100
    assert found.latency is None
    assert standings(found)["latency"] == "unknown"
    assert standings(found)["scores"] == found.standing == "failed"


def test_the_process_says_it_line_by_line(meters: Meters, tmp_path: Path) -> None:
    """Stages, then the result with what it cost; a failure is the last line, too."""
    good, other = stored(meters, "1", [0.05, 0.0]), stored(meters, "2", [-0.05, 0.0])
    order = EvaluationOrder(pipeline=str(meters.path), candidate=other, champion=replace(good, arm=CHAMPION))
    nobody = replace(good, arm=CHAMPION, digest="sha256:" + "0" * 64)
    for asked, code in ((order, 0), (replace(order, champion=nobody), 1)):
        path = tmp_path / "order.json"
        path.write_text(asked.dump())
        ran = subprocess.run(
            [sys.executable, "-m", "headrace.domain.evaluation", str(path)],
            env={**os.environ, **meters.environment()},
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert ran.returncode == code, ran.stderr
        lines = [json.loads(line) for line in ran.stdout.splitlines()]
        if code == 0:
            assert [line["progress"]["stage"] for line in lines[:-1]] == ["open", "read", "score", "gates"]
            found = parse_evaluation_result(json.dumps(lines[-1]["result"]))
            assert found.cpu_s > 0
            assert found.memory > 0
            assert found.order.offsets
        else:
            assert lines[-1]["failure"]["kind"] == "contract"


def test_a_package_that_is_not_there_has_failed(meters: Meters) -> None:
    """It is judged like any other, and is not what a person could let go on."""
    good, other = stored(meters, "1", [0.05, 0.0]), stored(meters, "2", [-0.05, 0.0])
    found = judged(meters, replace(other, digest="sha256:" + "0" * 64), good)
    assert (standings(found), found.standing, found.outcomes) == ({"package": "failed"}, "failed", 0)


def test_without_a_champion_there_is_nothing_to_judge_by(meters: Meters) -> None:
    """It says how to get one."""
    order = EvaluationOrder(pipeline=str(meters.path), candidate=stored(meters, "1", [0.05, 0.0]))
    with pytest.raises(ConfigurationError, match="has no plan, so no champion"):
        evaluate_package(order, meters.connection, meters.contracts, store_of(meters))


def test_when_releases_are_decided(meters: Meters) -> None:
    """By the newest outcomes: a champion that always says one half loses a quarter at each event, without deviation."""
    settings = Settings(pipeline=str(meters.path), bootstrap=meters.bootstrap)
    found = forecast_releases(settings, meters.contracts, [0.5])
    assert found.outcomes > ROWS - 100
    assert found.loss == pytest.approx(0.25)
    assert found.deviation == pytest.approx(0.0, abs=1e-9)
    assert found.events_a_day == pytest.approx(1_440, rel=0.01)
    (harm,) = found.harms
    assert harm.found.events == math.ceil(1.5 * math.log(52) / 0.5), "what is within the margin does not count"
    assert harm.found.days == pytest.approx(harm.found.events / 1_440 + 1 / 24, rel=0.01)
    assert found.as_good.events == 500, "the minimum"
    lines = "\n".join(forecast_lines(found))
    assert f"loses 50% more: put back after about {harm.found.events:,} matured events" in lines


def test_an_order_that_is_none(tmp_path: Path) -> None:
    """What is wrong is said."""
    with pytest.raises(ConfigurationError, match="candidate"):
        parse_evaluation_order(b'{"pipeline": "x"}')
