"""`headrace replay` on a real broker: what a model said then it says again, and no service takes it for news."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headrace.domain.models.package import Training, pack
from headrace.domain.models.store import ModelStore
from headrace.operations.services import SERVICES
from tests.cli.terminal import Terminal
from tests.members import ROOT
from tests.models import graphs
from tests.models.live import logistic, manifest, plan, publish
from tests.project import Project

ROWS = 4_000
SPAN = ("--from", "1970-01-01T00:10:00", "--to", "1970-01-01T00:50:00")
FIRST, LAST = 600, 2_999
"""Events of the span: one happens each second."""


@pytest.fixture(scope="module")
def played(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """Features that `score` answered: first by a champion alone, then by it and a canary."""
    source = ROOT / "pipelines/card_fraud.yaml"
    project = Project(source, "replayed", tmp_path_factory.mktemp("replay") / "p", kafka, "redis://none", 2)
    champion = (logistic("1"), "champion", {"threshold": 0.4})
    plan(project, 1, champion)
    publish(project, 0, ROWS // 2)
    project.start("score-0")
    project.await_count("predictions", ROWS // 2)
    plan(project, 2, champion, (logistic("2"), "canary", {"share": 0.25}))
    publish(project, ROWS // 2, ROWS // 2)
    project.await_count("predictions", ROWS)
    assert project.stop("score-0") == 0
    yield project
    project.close()


@pytest.fixture
def command(terminal: Terminal, played: Project) -> Terminal:
    """The command line at that broker."""
    own = {"HEADRACE_BOOTSTRAP": played.bootstrap, "HEADRACE_MODELS": str(played.directory / "models")}
    return Terminal(terminal.directory, {**terminal.env, **own, "COLUMNS": "100"})


def test_a_replay_is_what_the_model_predicted(command: Terminal, played: Project) -> None:
    """Every recorded score of the champion comes again, to the bit, with the same decision; nothing is written."""
    done = command.json("replay", played.path, "--model", "champion", *SPAN, "--compare")
    then = played.read("predictions")
    mine = [row for row in then.select(["event_id", "arm"]).to_pylist() if FIRST <= int(row["event_id"]) <= LAST]
    champions = sum(row["arm"] == "champion" for row in mine)
    assert done["scored"] == LAST - FIRST + 1 == len(mine)
    assert done["agreement"] == {
        "recorded": champions,
        "compared": champions,
        "unreplayed": 0,
        "unrecorded": len(mine) - champions,
        "different": 0,
        "largest": 0.0,
        "mean": 0.0,
        "decisions": 0,
        "unreadable": 0,
        "examples": [],
    }
    assert 0 < champions < len(mine), "the canary had a part, or nothing is unrecorded"
    assert (done["written_to"], done["written"]) == ("", 0)


def test_a_replay_is_written_once_for_whoever_counts_ids(command: Terminal, played: Project) -> None:
    """Its records are marked, a repeat carries the same ids and scores, and another range is another run."""
    first = command.json("replay", played.path, "--model", "rival@2", *SPAN)
    again = command.json("replay", played.path, "--model", "rival@2", *SPAN)
    assert first["run"] == again["run"]
    assert first["written"] == again["written"] == LAST - FIRST + 1
    table = played.read("replays")
    assert table.num_rows == 2 * first["written"]
    own = table.select(["prediction_id", "score", "decision", "arm", "plan_version"])
    once = own.group_by(own.column_names).aggregate([])
    assert once.num_rows == first["written"]
    assert set(table["arm"].to_pylist()) == {"replay"}
    assert set(table["plan_version"].to_pylist()) == {0}
    wanted = {f"{event}/rival@2/replay/{first['run']}" for event in range(FIRST, LAST + 1)}
    assert set(table["prediction_id"].to_pylist()) == wanted
    asked = ("replay", played.path, "--model", "rival@2", "--offsets", "0:0-100", "--compare", "--json")
    code, out, _ = command.run(*asked)
    part = json.loads(out)
    assert code == 3, "the canary answered none of these, so there is nothing to compare"
    assert part["run"] != first["run"]
    assert (part["offsets"], part["scored"], part["agreement"]["unrecorded"]) == ([[0, 0, 100]], 100, 100)


def test_a_file_has_the_place_of_each_feature(command: Terminal, played: Project, tmp_path: Path) -> None:
    """Predictions with where their features lie; the topic gets none of them."""
    before = played.count("replays")
    out = tmp_path / "replay.parquet"
    done = command.json("replay", played.path, "--model", "rival@1", "--out", out)
    table = pq.read_table(out)
    assert done["written"] == table.num_rows == ROWS
    assert played.count("replays") == before
    features = played.read("features")
    places = {
        (row["_partition"], row["_offset"]): row["event_id"]
        for row in features.select(["event_id", "_partition", "_offset"]).to_pylist()
    }
    for row in table.select(["event_id", "_partition", "_offset"]).to_pylist():
        assert places[row["_partition"], row["_offset"]] == row["event_id"]
    amounts = pa.chunked_array([chunk.field("amount") for chunk in table["event"].chunks]).to_numpy()
    assert len(np.unique(amounts)) > 10
    assert table["trained_on"].to_pylist() == [False] * ROWS
    assert done["origin_unknown"] == ["the package of rival@1 does not say what it was fitted on"]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--model", "rival@9"), "did you mean rival@"),
        (("--model", "challenger"), "nobody plays it in the newest plan"),
        (("--model", "rival@1", "--from", "2030-01-01"), "nothing was written"),
        (("--model", "rival@1", "--offsets", "0:5-5"), "write PARTITION:FROM-TO"),
        (("--model", "rival@1", "--offsets", "7:0-5"), "does not hold the records that are named"),
        (("--model", "rival@1", "--topic", "predictions"), "would take replays on predictions for predictions"),
        (("--model", "rival@1", "--topic", "events"), "has no predictions but event"),
        (("--model", "rival@1", "--from", "2018-01-01", "--to", "2018-01-01"), "--from must be before --to"),
    ],
)
def test_what_cannot_be_replayed_is_said(
    command: Terminal, played: Project, options: tuple[str, ...], told: str
) -> None:
    """Nothing is written, and it is said why, and what to write instead."""
    before = played.count("replays")
    code, out, errors = command.run("replay", played.path, *options)
    assert (code, out) == (2, "")
    assert told in errors
    assert played.count("replays") == before


def test_what_a_model_was_fitted_on_is_counted(command: Terminal, played: Project) -> None:
    """Events of the training's times are marked in the file and counted."""
    training = Training(start=0, end=999_999, rows=10, positives=1)
    made = manifest("3").model_copy(update={"training": training})
    store = ModelStore(str(played.directory / "models"), played.directory / "put")
    store.put(pack(made, graphs.logistic((0.01, -0.1, 0.03))))
    done = command.json("replay", played.path, "--model", "rival@3", *SPAN, "--out", "fitted.parquet")
    assert done["trained_on"] == 400
    marked = pq.read_table(command.directory / "fitted.parquet").filter(pa.compute.field("trained_on"))
    assert sorted(map(int, marked["event_id"].to_pylist())) == list(range(600, 1000))


def test_no_service_reads_replays() -> None:
    """They count for no outcome, card or drift."""
    for service in SERVICES.values():
        assert "replays" not in {*service.reads, *service.facts, *service.aside, *service.writes}


def test_lineage_names_the_models_of_each_plan(command: Terminal, played: Project) -> None:
    """What is on the topics and in the store becomes run events."""
    out = command.directory / "lineage.jsonl"
    done = command.json("lineage", played.path, "--out", out)
    events = [json.loads(line) for line in out.read_text().splitlines()]
    assert done["events"] == len(events)
    newest = [event for event in events if event["eventType"] == "COMPLETE"][-1]
    assert (newest["job"]["name"], newest["outputs"][0]["name"]) == ("replayed.plan", "replayed.plans")
    assert [model["facets"]["headrace_model"]["title"] for model in newest["inputs"]] == ["rival@1", "rival@2"]
