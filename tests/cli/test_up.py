"""A whole pipeline in the background."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path

import pytest

from headrace.operations.local.fleet import scrape
from tests.cli.terminal import Terminal
from tests.cli.test_publish import transactions

ROOT = Path(__file__).parents[2]


@pytest.fixture
def own(kafka: str, tmp_path: Path) -> str:
    """A project with a pipeline file of its own, `mine.yaml`; `kafka` skips where no broker can be had."""
    (tmp_path / "pipelines").mkdir()
    text = (ROOT / "pipelines" / "card_fraud.yaml").read_text().replace("pipeline: card_fraud", "pipeline: mine")
    (tmp_path / "pipelines" / "mine.yaml").write_text(text)
    shutil.copytree(ROOT / "schemas", tmp_path / "schemas", ignore=shutil.ignore_patterns("ids.json", "examples"))
    return "mine"


@pytest.mark.slow
def test_up_and_down(terminal: Terminal, own: str, tmp_path: Path) -> None:
    """`up` brings parts, topics and services; commands here find them; a repeat changes nothing; `down` ends it all."""
    try:
        up = terminal.json("up", own, "--partitions", 2, timeout=600)
        members = {member["name"]: member for member in up["members"]}
        assert set(members) == {
            "enrich-0",
            "views-terminal-0",
            "score-0",
            "shadow-0",
            "labels-0",
            "scorecards-0",
            "drift-0",
            "release-0",
            "retrain-0",
        }
        assert members["enrich-0"]["ready"]
        assert "no plan" in members["score-0"]["missing"]
        for name, member in members.items():  # who waits for calm, and every alert on lag, asks all of them
            end = time.monotonic() + 60
            while not {"headrace_lag_seconds", "headrace_lag_records"} <= scrape(member["port"]).keys():
                assert time.monotonic() < end, f"{name} does not tell its lag"
                time.sleep(0.2)
        again = terminal.json("up", own, timeout=400)
        assert [member["pid"] for member in again["members"]] == [member["pid"] for member in up["members"]]
        changes_are_refused(terminal, tmp_path / "pipelines" / "mine.yaml")
        transactions(tmp_path / "in.parquet", 100)
        assert terminal.json("publish", own, "in.parquet", "--map", "amount=tx_amount")["sent"] == 100
        code, out, _ = terminal.run("status")
        assert code == 3  # score is not ready
        assert "no plan" in out
        assert "left out" not in out
        assert terminal.json("publish", own, "in.parquet", "--map", "amount=tx_amount")["sent"] == 100
        end = time.monotonic() + 120
        while "100 repeats left out" not in out:
            assert time.monotonic() < end, out
            out = terminal.run("status")[1]
        told = " ".join(terminal.run("lag", own)[1].split())
        assert "since the services here started: 100 repeats left out" in told
    finally:
        down = terminal.run("down", "--forget", timeout=400)
    assert down[0] == 0
    assert terminal.run("status")[0] == 3
    assert '"drained"' in (tmp_path / "home" / "logs" / own / "enrich-0.log").read_text()
    assert not list((tmp_path / "home").glob("supervisor-*.json"))


def changes_are_refused(terminal: Terminal, path: Path) -> None:
    """What nobody reads while services run is not passed over: it is told, with the remedy."""
    text = path.read_text()
    for old, new, wanted in (
        ("threshold: 0.5", "threshold: 0.4", "headrace down, then headrace up mine"),
        ("mean(amount)", "max(amount)", "Features depend on what changed (customer.avg_amount_1d,"),
        (
            "pipeline: mine",
            "pipeline: mine\nrevision: 2",
            "mine runs, and the file is revision 2. headrace revise mine",
        ),
    ):
        assert old in text
        path.write_text(text.replace(old, new))
        code, _, err = terminal.run("up", "mine", timeout=400)
        assert code == 2
        assert wanted in " ".join(err.split())
    path.write_text(text + "# nothing else\n")
    assert terminal.run("up", "mine", timeout=400)[0] == 0
    path.write_text(text)


@pytest.mark.slow
def test_the_next_revision_comes_up_beside_the_one_that_runs(terminal: Terminal, own: str, tmp_path: Path) -> None:
    """What both files have goes on with the new one, and the switch ends what is left of the former."""
    path = tmp_path / "pipelines" / "next.yaml"
    text = (tmp_path / "pipelines" / "mine.yaml").read_text()
    for old, new in (
        ("pipeline: mine", "pipeline: mine\nrevision: 2"),
        ("    key: terminal_id\n", "    key: terminal_id\n    revision: 2\n"),
        ("    windows: [1d, 7d, 30d]\n    delay", "    windows: [1d, 3d, 30d]\n    delay"),
    ):
        assert old in text
        text = text.replace(old, new)
    path.write_text(text)
    try:
        terminal.json("up", own, "--partitions", 2, timeout=600)
        transactions(tmp_path / "in.parquet", 100)
        assert terminal.json("publish", own, "in.parquet", "--map", "amount=tx_amount")["sent"] == 100
        code, _, err = terminal.run("up", "next", timeout=400)
        assert code == 2
        assert "mine runs, and the file is revision 2" in " ".join(err.split())
        assert terminal.run("schemas", "register", "next", timeout=400)[0] == 0
        code, out, err = terminal.run("revise", "next", "--build", "--reason", "another window", timeout=400)
        assert code == 0, out + err
        code, out, err = terminal.run("revise", "next", "--switch", "--reason", "early", "--within", "2", timeout=400)
        assert code != 0
        assert "mine.enrich.r2 has no members" in " ".join((out + err).split())
        up = terminal.json("up", "next", timeout=600)
        names = {member["name"] for member in up["members"]}
        assert {"enrich-0", "views-terminal-0", "labels-0", "labels-terminal-0", "score-0"} <= names
        here = json.loads(terminal.run("status", "--json")[1])["pipelines"][own]
        assert [one["name"] for one in here if one["pid"] is not None] == ["enrich-0", "views-terminal-0"]
        code, out, err = terminal.run("revise", "next", "--switch", "--reason", "built", timeout=400)
        assert code == 0, out + err
        assert "stopped, as headrace up had started it: mine" in " ".join(out.split())
        assert list(json.loads(terminal.run("status", "--json")[1])["pipelines"]) == ["mine.r2"]
        again = terminal.json("up", "next", timeout=400)
        assert [member["pid"] for member in again["members"]] == [member["pid"] for member in up["members"]]
    finally:
        terminal.run("down", "--forget", timeout=400)
