"""`headrace check` and `headrace topics` as a person or a script meets them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from headrace.cli.pipeline import topics
from headrace.cli.pipeline.check import check
from headrace.operations.topics.topic_plan import topics_of
from headrace.streaming.contracts.topics import load_topics
from headrace.streaming.kafka.admin import Admin

ROOT = Path(__file__).resolve().parents[2]
STRANGER = ROOT / "tests" / "pipeline" / "stranger"


@pytest.fixture
def app() -> typer.Typer:
    """The two commands, as the headrace command has them."""
    app = typer.Typer()
    app.command()(check)
    app.add_typer(topics.app, name="topics")
    return app


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pipeline_name: str) -> Path:
    """The stranger's project as the current folder, its pipeline under a name of this test's own."""
    folder = tmp_path / "project"
    shutil.copytree(STRANGER, folder)
    path = folder / "pipelines" / "bike_demand.yaml"
    path.write_text(path.read_text().replace("pipeline: bike_demand", f"pipeline: {pipeline_name}"))
    monkeypatch.chdir(folder)
    return folder


def test_a_good_pipeline_exits_with_zero(app: typer.Typer, project: Path) -> None:
    """By name or by path, a good file is said to be good."""
    for name in ("bike_demand", "pipelines/bike_demand.yaml", "card_fraud"):
        result = CliRunner().invoke(app, ["check", name])
        assert result.exit_code == 0, result.output
        assert "is good" in result.output


def test_mistakes_are_shown_with_place_and_remedy(app: typer.Typer, project: Path) -> None:
    """A terminal shows file:line:column, what is wrong and what to write; the exit code is 1."""
    path = project / "pipelines" / "bike_demand.yaml"
    path.write_text(path.read_text().replace("id: trip", "id: tripp").replace("[30m, 6h]", "[30m, 6]"))
    result = CliRunner().invoke(app, ["check", "bike_demand"])
    assert result.exit_code == 1
    assert "pipelines/bike_demand.yaml:3:33 events.id" in result.output
    assert "did you mean trip?" in result.output
    assert "views.rider.windows[1]" in result.output
    assert "half a day is 12h)" in result.output
    assert "2 mistakes" in result.output


def test_mistakes_are_data_for_a_script(app: typer.Typer, project: Path) -> None:
    """--json prints one object with every problem's place, message and remedy."""
    path = project / "pipelines" / "bike_demand.yaml"
    path.write_text(path.read_text().replace("id: trip", "id: tripp"))
    result = CliRunner().invoke(app, ["check", "bike_demand", "--json"])
    answer = json.loads(result.output)
    assert (result.exit_code, answer["ok"]) == (1, False)
    assert answer["problems"] == [
        {
            "line": 3,
            "column": 33,
            "path": "events.id",
            "message": "the event has no field tripp",
            "remedy": "did you mean trip?",
        }
    ]


def test_an_unknown_pipeline_is_named(app: typer.Typer, project: Path) -> None:
    """A name that no file has gets a hint, not a trace."""
    result = CliRunner().invoke(app, ["check", "bike_demnad"])
    assert result.exit_code == 1
    assert "did you mean bike_demand?" in result.output


def test_markup_in_a_file_is_shown_as_text(app: typer.Typer, project: Path) -> None:
    """What a file holds cannot colour or break the terminal's output."""
    path = project / "pipelines" / "bike_demand.yaml"
    path.write_text(path.read_text().replace("id: trip", "id: '[/][red]trip'"))
    result = CliRunner().invoke(app, ["check", "bike_demand"])
    assert "[/][red]trip" in result.output


def test_topics_are_planned_and_applied(app: typer.Typer, project: Path, kafka: str, pipeline_name: str) -> None:
    """Plan shows a diff and changes nothing, apply does it, and after that there is nothing to do."""
    runner = CliRunner()
    options = ["bike_demand", "--bootstrap", kafka, "--replication", "1", "--partitions", "2"]

    planned = runner.invoke(app, ["topics", "plan", *options])
    assert planned.exit_code == 0, planned.output
    assert f"+ {pipeline_name}.view.station" in planned.output
    needed = len(topics_of("bike_demand")[1])
    assert f"{needed} changes to apply" in planned.output
    assert runner.invoke(app, ["topics", "plan", *options, "--detailed-exitcode"]).exit_code == 2

    applied = runner.invoke(app, ["topics", "apply", *options, "--json"])
    assert applied.exit_code == 0, applied.output
    answer = json.loads(applied.output)
    assert answer["applied"]
    assert len(answer["changes"]) == needed

    again = runner.invoke(app, ["topics", "apply", *options])
    assert (again.exit_code, again.output.strip()) == (0, "no changes")
    assert runner.invoke(app, ["topics", "plan", *options, "--detailed-exitcode"]).exit_code == 0

    options[-1] = "3"
    refused = runner.invoke(app, ["topics", "apply", *options])
    assert refused.exit_code == 1
    assert f"! {pipeline_name}.events" in refused.output
    assert "partitions: 2 -> 3" in refused.output
    assert refused.output.count("keys would move") == 1
    assert refused.output.count("--allow-repartition") == 1
    assert "nothing was changed" in refused.output
    allowed = runner.invoke(app, ["topics", "apply", *options, "--allow-repartition"])
    assert allowed.exit_code == 0, allowed.output
    fixed = sum(topic.fixed for topic in load_topics([ROOT / "topics"]).values())
    assert f"{needed - fixed} changes applied" in allowed.output
    counts = {name.removeprefix(f"{pipeline_name}."): state.partitions for name, state in Admin(kafka).topics().items()}
    assert {topic: counts[topic] for topic in ("events", "view.station", "exchange", "scorecard-parts", "plans")} == {
        "events": 3,
        "view.station": 3,
        "exchange": 3,
        "scorecard-parts": 3,
        "plans": 1,
    }
    nothing = runner.invoke(app, ["topics", "apply", *options, "--json"])
    assert (nothing.exit_code, json.loads(nothing.output)["changes"]) == (0, [])


def test_a_script_tells_pending_from_broken(app: typer.Typer, project: Path) -> None:
    """With --detailed-exitcode a broken pipeline file exits with 1, as 2 means that there is something to apply."""
    (project / "pipelines" / "bike_demand.yaml").write_text("pipeline: bike_demand")
    result = CliRunner().invoke(app, ["topics", "plan", "bike_demand", "--detailed-exitcode"])
    assert result.exit_code == 1
    assert "events is missing" in result.output
