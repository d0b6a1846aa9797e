"""A use case that headrace has never heard of, from events to predictions; and services that know of none."""

from __future__ import annotations

import ast
import json
import re
import uuid
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from polars.testing import assert_frame_equal

from headrace.domain.models.store import ModelStore
from headrace.domain.pipeline.spec import expand
from headrace.domain.training.bootstrap import train_offline
from headrace.operations.plan_changes.plan_topic import publish_plan
from tests.integration import bikes
from tests.members import ROOT
from tests.project import Project
from tests.sources import name_of, sources

COUNT, LONGER = 2_000, 600
RULES = bikes.Rules()

WORDS = {"card", "cards", "fraud", "customer", "customers", "merchant", "merchants", "kilowatt", "kilowatts", "amount"}
KNOWN = {
    "headrace/cli/pipeline/generate.py": {"customers"},  # options of the one simulator that knows a process
    "headrace/cli/local/demo.py": {"card_fraud"},  # the pipeline that the demo shows unless it is told another
    "headrace/operations/demo/loop.py": {"card_demo"},  # the pipeline of the loop, whose people speak of its events
}


@pytest.fixture(scope="module")
def bicycles(kafka: str, redis_server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """The stranger's pipeline with trips out of order, some too late, and enrich and views at work."""
    directory = tmp_path_factory.mktemp("bicycles")
    source = bikes.source(directory / "source")
    project = Project(source, f"test_{uuid.uuid4().hex[:12]}", directory / "project", kafka, redis_server, 3)
    project.publish(bikes.trips(COUNT, seed=3, disorder_ms=20_000, late=0.05), "rider")
    for member in ("enrich-0", "enrich-1", "views-0"):
        project.start(member)
    project.await_count("features", COUNT)
    yield project
    project.close()


def test_features_are_those_of_a_brute_force(bicycles: Project) -> None:
    """Windows of rider and station, imputed nulls, disorder, lateness, a zone with summer time: all are equal."""
    wanted = bikes.assert_exact(bicycles, RULES)
    assert wanted["rider.longest_30m"].is_nan().any(), "no late trip found its window empty"
    assert (wanted["station.least_charge_10m"] == -1).any()
    assert wanted["clock.rush"].n_unique() == 2


def test_a_model_of_its_own_answers_every_event(bicycles: Project) -> None:
    """A model is trained on what was published, becomes champion by a plan, and predicts all, at its own threshold.

    Nobody has asked for drift to be watched, and trips that take an hour longer from then on are an incident.
    """
    features = bicycles.read("features")
    table = bikes.found(features)
    draw = np.random.default_rng(0)
    returns = features["station"].combine_chunks().field("returns_1h").to_numpy(zero_copy_only=False)
    full = returns + draw.normal(0, 4, COUNT) > np.median(returns)
    labels = pa.table(
        {"event_id": features["event_id"], "value": full.astype(float), "label_time": features["event_time"]}
    )
    store = ModelStore(str(bicycles.directory / "models"), bicycles.directory / "trained")
    pipeline = bicycles.contracts.pipeline
    package, uri = train_offline(pipeline, features, labels, store, "1", trees=20)
    assert package.manifest.input_names == tuple(expand(pipeline))
    assert package.manifest.metrics["auc_roc"] > 0.6
    publish_plan(bicycles.connection, bicycles.contracts.channel("plans"), bicycles.name, package, uri, "first")
    bicycles.start("score-0")
    predictions = bicycles.await_count("predictions", COUNT)
    ids, decisions = predictions["prediction_id"].to_pylist(), predictions["decision"].to_numpy()
    assert sorted(ids) == sorted(f"{name}/bike_demand@1/champion" for name in table["id"])
    assert (decisions == (predictions["score"].to_numpy() >= 0.3)).all()
    assert set(decisions.tolist()) == {True, False}
    assert_frame_equal(bikes.found(predictions), table, check_exact=True)

    bicycles.settings |= {"HEADRACE_IDLE_AFTER_S": "3"}
    bicycles.start("drift-0")
    bicycles.publish(bikes.longer(bikes.trips(LONGER, seed=4, first=COUNT, disorder_ms=20_000)), "rider")
    reached = next(_seen(bicycles, "minutes"))
    assert 0 <= reached - (bikes.START + COUNT * 10_000) < LONGER * 10_000


def _seen(project: Project, column: str) -> Iterator[int]:
    """Event times at which a column turned out to have changed, as incidents say so; waits for the first."""
    count = 0
    while True:
        count += 1
        row = project.await_count("control", count).to_pylist()[count - 1]
        evidence = dict(row["evidence"])
        if column in {change["column"] for change in json.loads(evidence.get("columns", "[]"))}:
            yield int(evidence["reached"])


@pytest.mark.parametrize("path", sources(), ids=name_of)
def test_services_know_no_use_case(path: Path) -> None:
    """No name in the code, and no text that code compares or looks up, is a word of a use case.

    Only the simulator of card transactions may know what they are; docstrings and messages may give examples.
    """
    place = path.relative_to(ROOT).as_posix()
    if place in ("headrace/domain/simulation/cards.py", "headrace/domain/simulation/simulators.py"):
        return
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        match node:
            case ast.Name(id=name) | ast.Attribute(attr=name) | ast.arg(arg=name) | ast.keyword(arg=str(name)):
                names.add(name)
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                names.add(name)
            case ast.Constant(value=str(text)) if re.fullmatch(r"[\w.-]+", text):
                names.add(text)
    # Where scorecards or model cards are made or shown, a card is one of them.
    cards = re.search("scorecard|model.?card", path.read_text(), re.IGNORECASE)
    words = WORDS - {"card", "cards"} if cards else WORDS
    wrong = {name for name in names if words & set(re.split(r"[^a-z]+", name.lower()))}
    assert wrong - KNOWN.get(place, set()) == set()
