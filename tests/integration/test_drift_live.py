"""Drift on a real Kafka: the same incidents at the same rows, whoever is killed, and what the command says of them."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from headrace.domain.models.package import Input, Manifest, pack
from headrace.domain.models.store import ModelStore
from headrace.domain.records.watched_columns import ModelIdentity
from headrace.operations.plan_changes.plan_topic import publish_plan
from tests.drift import predictions as made
from tests.members import ROOT
from tests.models import graphs
from tests.project import Project

pytestmark = pytest.mark.faults

ROWS = 24_000
SHIFTED, FLIPPED = 8_000, 14_000
SECOND = 1_000
STEPS = 40
DARK = 12_000
"""Rows that a challenger scores too, of the first ones."""
EVERY = 40
"""Predictions of which one is asked what its inputs contributed."""
REFUSED_AT, REFUSED = 20, 4
"""A step in which some events of one partition are refused."""
WATCHED = {"predictions": ROWS, "shadow-predictions": DARK, "outcomes": ROWS, "dead-letters": REFUSED}


@pytest.fixture
def projects(kafka: str, redis_server: str, pipeline_name: str, tmp_path: Path) -> Iterator[Callable[[str], Project]]:
    """Pipelines that know the same model, each under a name of its own."""
    several: list[Project] = []

    def named(suffix: str) -> Project:
        source = ROOT / "pipelines/card_fraud.yaml"
        project = Project(source, f"{pipeline_name}_{suffix}", tmp_path / suffix, kafka, redis_server, 3)
        # Silence says nothing of an event, so outcomes count at once.
        project.path.write_text(project.path.read_text().replace(", unlabelled_is: 0", ""))
        project.settings |= {"HEADRACE_PUBLISH_S": "0.5", "HEADRACE_IDLE_AFTER_S": "8"}
        project.settings |= {"HEADRACE_CHECKPOINT_S": "2"}
        several.append(project)
        return project

    yield named
    for project in several:
        project.close()


def package(project: Project) -> ModelIdentity:
    """A model with a reference, in the project's store, the champion of a plan."""
    manifest = Manifest(name="m", version="1", inputs=tuple(Input(name=name) for name in made.INPUTS))
    graph, draw = graphs.logistic((1.0, 1.0, 0.0)), np.random.default_rng(12)
    background, held_out = (draw.normal(size=(rows, len(made.INPUTS))) for rows in (16, 2_000))
    profile = made.attributed(made.reference(), pack(manifest, graph), background, held_out, EVERY)
    found = pack(manifest, graph, profile)
    uri = ModelStore(str(project.directory / "models"), project.directory / "cache").put(found)
    publish_plan(project.connection, project.contracts.channel("plans"), project.name, found, uri, "test")
    return ModelIdentity("m", "1", found.digest)


def records(model: ModelIdentity) -> tuple[pa.RecordBatch, pa.RecordBatch]:
    """Predictions and outcomes, a second a row: an input moves by half a deviation, later labels flip."""
    draw = np.random.default_rng(11)
    rows = draw.normal(size=(ROWS, len(made.INPUTS)))
    rows[SHIFTED:, 2] += 0.5
    truth = made.labels(rows, draw)
    truth[FLIPPED:] = 1 - truth[FLIPPED:]
    times, ids = made.START + np.arange(ROWS) * SECOND, np.arange(ROWS)
    return (
        made.columns("predictions", rows, times, ids, model),
        made.columns("outcomes", rows, times, ids, model, truth),
    )


def watched(project: Project) -> dict[str, int]:
    """How many rows of each stream were watched."""
    found = dict.fromkeys(WATCHED, 0)
    for row in project.read("drift").to_pylist():
        if row["column"] == "" and row["state"] != "course":
            found[row["stream"]] = row["events"]
    return found


def play(project: Project, model: ModelIdentity, between: Callable[[int], None]) -> None:
    """Publish all in steps, do something between them, and wait until all is watched."""
    parts = records(model)
    for step in range(STEPS):
        for logical, columns in zip(("predictions", "outcomes"), parts, strict=True):
            rows = ROWS // STEPS
            part = columns.slice(step * rows, rows)
            project.publish(part, "entity", logical)
            if logical == "predictions" and step * rows < DARK:
                project.publish(part, "entity", "shadow-predictions")
        if step == REFUSED_AT:
            refused = 20_000 + 10 * np.arange(REFUSED)
            letters = made.letters(refused, made.START + refused * SECOND, "out_of_range", pipeline=project.name)
            project.publish(letters, "topic", "dead-letters")
        between(step)
    end = time.monotonic() + 300
    while watched(project) != WATCHED:
        assert time.monotonic() < end, f"{watched(project)}\n{project.logs()}"
        project.revive()
        time.sleep(0.5)  # Polls the broker: there is no event to wait for.


def told(project: Project) -> list[tuple[str, dict[str, str]]]:
    """What the control topic tells, without when: by stream, in its order there."""
    rows = project.read("control").to_pylist()
    found = [(row["event_id"].replace(project.name, "pipeline"), dict(row["evidence"])) for row in rows]
    return sorted(found, key=lambda each: each[1]["stream"])


def command(project: Project, *words: str) -> subprocess.CompletedProcess[str]:
    """`headrace drift`, with what follows the pipeline."""
    return subprocess.run(
        [sys.executable, "-m", "headrace.cli", "drift", str(project.path), *words, "--bootstrap", project.bootstrap],
        cwd=ROOT,
        env=project.environment("cli"),
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
def test_kills_joins_and_leaves_change_nothing(projects: Callable[[str], Project]) -> None:
    """One member in peace, and one to three and back to one with a kill now and then: the same incidents."""
    calm, torn = projects("calm"), projects("torn")
    model = package(calm)
    assert package(torn) == model
    calm.start("drift-0")
    play(calm, model, lambda step: None)
    wanted = told(calm)
    assert {evidence["stream"] for _, evidence in wanted} == set(WATCHED)

    torn.start("drift-0")
    killed: list[str] = []

    def between(step: int) -> None:
        torn.revive()
        if step in (5, 12):
            torn.start(f"drift-{1 if step == 5 else 2}")
        elif step in (30, 34):
            torn.stop(f"drift-{2 if step == 30 else 1}")
        elif step % 4 == 2:
            victim = sorted(torn.processes)[len(killed) % len(torn.processes)]
            torn.stop(victim, signal.SIGKILL)
            torn.start(victim)
            killed.append(victim)
        time.sleep(0.3)  # The publisher's pace: kills and joins fall among rows, whether members keep up or not.

    play(torn, model, between)
    assert len(killed) >= 8
    assert told(torn) == wanted

    found = json.loads(command(torn, "--json").stdout)
    by_stream = {each["stream"]: each for each in found["incidents"]}
    for stream, column, row in (("predictions", "terminal.risk_30d", SHIFTED), ("outcomes", "model loss", FLIPPED)):
        incident = by_stream[stream]
        assert incident["columns"][0]["column"].startswith(column)
        assert abs((incident["began"] - made.START) / SECOND - row) < 100
        assert 0 <= (incident["opened"] - made.START) / SECOND - row < 500
    shown = command(torn)
    assert shown.returncode == 3
    assert "terminal.risk_30d" in shown.stdout
    columns = {each["column"]: each for each in found["models"][0]["columns"]}
    contributed = {name: each["events"] for name, each in columns.items() if name.startswith("contribution of ")}
    assert contributed.keys() == {"contribution of amount", "contribution of customer.avg_amount_7d"}
    assert min(contributed.values()) == max(contributed.values()) == pytest.approx(ROWS / EVERY, rel=0.2)
    assert f"contributions are those of a sample: {max(contributed.values()):,} predictions" in shown.stdout
    assert by_stream["shadow-predictions"]["beside"] == [by_stream["predictions"]["incident"]]
    of_refused = by_stream["dead-letters"]
    assert [each["model"] for each in of_refused["columns"]] == ["events@out_of_range"]
    assert of_refused["closed"] is not None
    assert "refused" in command(torn, of_refused["incident"]).stdout
    assert command(torn, of_refused["incident"], "--witnesses").returncode == 2
    one = command(torn, by_stream["predictions"]["incident"])
    assert "shift +" in one.stdout
    picture = torn.directory / "drift.png"
    drawn = command(torn, "--plot", str(picture))
    assert f"drawn in {picture}" in drawn.stdout
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert max(evidence for _, evidence in found["models"][0]["course"]) >= 1.0
    supposed = json.loads(command(torn, "--suppose", "amount + 1", "--json").stdout)
    assert (supposed["rows"], supposed["changed"]) == (ROWS, ROWS // 3)
    assert supposed["seen"]["rows"] < 100
    assert "amount" in supposed["seen"]["columns"]
    live = sorted({column["reached"] for column in by_stream["predictions"]["columns"]})
    # By event time alone, where services go by how far each partition had come: some rows stand a little otherwise.
    # The second alarm is of a change so small that its evidence creeps, and what little differs moves it by minutes.
    others = [alarm["time"] for alarm in supposed["others"]]
    assert others[0] == pytest.approx(live[0], abs=60 * SECOND)
    assert others == pytest.approx(live, abs=3_600 * SECOND)
    heard = json.loads(command(torn, by_stream["outcomes"]["incident"], "--witnesses", "--json").stdout)["witnesses"]
    assert {each["name"] for each in heard} == {"ADWIN", "PageHinkley", "KSWIN", "DDM", "EDDM", "HDDMA", "HDDMW"}
    assert next(each for each in heard if each["name"] == "ADWIN")["after"] < 1_000
    wrong = command(torn, "--suppose", "amonut * 2")
    assert wrong.returncode == 2
    assert "did you mean amount" in wrong.stderr
    refused = command(torn, by_stream["predictions"]["incident"], "--accept")
    assert refused.returncode == 2
    assert "--reason" in refused.stderr
    assert command(torn, by_stream["predictions"]["incident"], "--accept", "--reason", "a new tariff").returncode == 0
    torn.await_count("control", len(wanted) + 1, between=torn.revive)
    (closed,) = [said for name, said in told(torn) if "predictions/1/drift_closed" in name]
    assert closed["because"].endswith(": a new tariff")
    none = command(torn, "predictions/99")
    assert none.returncode == 2
    assert "has no incident predictions/99" in none.stderr
