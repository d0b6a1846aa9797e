"""Services as supervised processes, on real parts."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from headrace.operations.local.home import STATE
from headrace.operations.services import inputs
from headrace.operations.topics.tail import documents
from headrace.streaming.kafka.lag import measure
from tests.cli.terminal import Terminal
from tests.cli.test_publish import transactions
from tests.project import Project

ROWS = 5_000


def wait_for(ready: Callable[[], object], what: str, seconds: float = 60) -> None:
    """Look again and again, for a bounded time."""
    end = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < end, f"not {what} within {seconds} s"
        time.sleep(0.1)  # Another process's doing: there is no event to wait for.


def members(path: Path) -> dict[str, dict[str, object]]:
    """What a supervisor that logs to files says of its members."""
    return {each["name"]: each for each in json.loads(path.read_text())} if path.exists() else {}


def whole(card: dict[str, object]) -> bool:
    """Whether a card is one of all rows, and not of a group of them."""
    return (card["segment"], card["group"]) == ("", "")


def only_marks(project: Project, lag: dict[str, Any]) -> bool:
    """Whether what a group has not read is nothing but marks of idle partitions, for `views`."""
    if lag["topic"] != f"{project.name}.view.terminal":
        return False
    rows = project.read("view.terminal").to_pylist()
    unread = [row for row in rows if row["_partition"] == lag["partition"] and row["_offset"] >= lag["committed"]]
    return len(unread) == lag["records"] and all(row["idle"] and not row["keys"] for row in unread)


@pytest.mark.slow
def test_from_events_to_predictions_until_idle(headrace: Terminal, project: Project, tmp_path: Path) -> None:
    """All services run until all of them have nothing left to do; then every event has its prediction, and lag is 0."""
    transactions(tmp_path / "in.parquet", ROWS)
    headrace.json("publish", project.path, "in.parquet", "--map", "amount=tx_amount")
    groups = inputs(project.contracts.pipeline)
    enrich = f"{project.name}.enrich"
    before = measure(project.connection, {enrich: groups[enrich]}, time.time())
    assert sum(lag.records for lag in before) == ROWS
    assert all(lag.committed is None and 0 < lag.seconds < 120 for lag in before)
    project.champion()
    services = ("enrich", "views", "score", "labels", "scorecards", "drift")
    options = (f"--pipeline={project.path}", "--until-idle=1s", "--scale=enrich=2", "--json")
    code, out, errors = headrace.run("run", *services, *options, timeout=600)
    assert code == 0, errors
    assert "compiled late" not in errors
    told = json.loads(out)
    names = [member["name"] for member in told["members"]]
    assert names == ["enrich-0", "enrich-1", "views-terminal-0", "score-0", "labels-0", "scorecards-0", "drift-0"]
    assert all(member["fate"]["code"] == 0 for member in told["members"])
    predictions = project.read("predictions")
    assert sorted(map(int, predictions["event_id"].to_pylist())) == list(range(ROWS))
    cards = {row["window_start"]: row["predictions"] for row in project.read("scorecards").to_pylist() if whole(row)}
    assert sum(cards.values()) == ROWS, "cards are told before all is idle"
    after = headrace.json("lag", project.path)
    idle = {
        f"{project.name}.{group}" for group in ("shadow", "scorecards", "labels", "release", "retrain", "notify")
    }  # did not run, or on its own marks
    assert {lag["group"] for lag in after} == set(groups)
    behind = [lag for lag in after if lag["records"] and lag["group"] not in idle]
    # Before it ends, `enrich` may say once more that nothing comes: that is no work.
    assert [lag for lag in behind if not only_marks(project, lag)] == []
    code, out, _ = headrace.run("lag", project.path)
    lines = out.splitlines()
    assert (code, [line.split()[0] for line in lines[1 : 1 + len(groups)]]) == (0, list(groups))
    assert "they count themselves" in "".join(lines[1 + len(groups) :])
    assert "has never committed" in next(line for line in lines if f"{project.name}.shadow " in line)
    code, out, _ = headrace.run("lag", project.path, "--partitions")
    assert (code, sum(project.name in line for line in out.splitlines())) == (0, len(after))
    code, out, _ = headrace.run("predictions", project.path, "--limit", 3, "--json")
    lines = [json.loads(line) for line in out.splitlines()]
    newest = sorted(documents(predictions), key=lambda row: row["_timestamp"])[-3:]
    assert (code, len(lines), {row["arm"] for row in lines}) == (0, 3, {"champion"})
    assert {len(row) for row in newest} == {len(lines[0]) + 3}


@pytest.mark.faults
def test_a_killed_member_comes_back_and_ctrl_c_drains(headrace: Terminal, project: Project, tmp_path: Path) -> None:
    """A member that is killed is started again under its name; SIGINT ends all after a drain, exit code 0."""
    state = tmp_path / "logs" / STATE
    supervisor = headrace.start("run", "enrich", f"--pipeline={project.path}", "--logs=logs")
    with supervisor:
        wait_for(lambda: members(state).get("enrich-0", {}).get("pid"), "started")
        first = members(state)["enrich-0"]["pid"]
        assert isinstance(first, int)
        os.kill(first, signal.SIGKILL)
        wait_for(lambda: members(state)["enrich-0"]["pid"] not in (first, None), "started again")
        again = members(state)["enrich-0"]
        assert again["fate"] == {"failures": 1, "restarts": 1, "due": None, "code": -9, "over": False}
        log = tmp_path / "logs" / "enrich-0.log"
        wait_for(lambda: '"assigned"' in log.read_text(), "assigned")
        supervisor.send_signal(signal.SIGINT)
        _, errors = supervisor.communicate(timeout=60)
    assert supervisor.returncode == 0, errors
    assert '"drained"' in log.read_text()
    assert "drained, started again 1 time" in errors


def test_members_do_not_outlive_their_supervisor(headrace: Terminal, project: Project, tmp_path: Path) -> None:
    """When a supervisor is killed, the kernel ends its members: none is left that nobody would stop."""
    state = tmp_path / "logs" / STATE
    with headrace.start("run", "enrich", f"--pipeline={project.path}", "--logs=logs") as supervisor:
        wait_for(lambda: members(state).get("enrich-0", {}).get("pid"), "started")
        pid = members(state)["enrich-0"]["pid"]
        supervisor.kill()
        supervisor.communicate(timeout=30)
    wait_for(lambda: not running(pid), "gone")


def running(pid: object) -> bool:
    """Whether a process runs; a zombie that nobody has reaped does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_wrong_settings_are_said_before_anything_starts(headrace: Terminal, project: Project) -> None:
    """A setting that does not exist, or an unknown service, is a mistake with a remedy."""
    code, _, errors = headrace.run("run", "enrich", f"--pipeline={project.path}", "--set", "linger=5")
    assert (code, "did you mean linger_ms?" in errors) == (2, True)
    code, _, errors = headrace.run("run", "enrch", f"--pipeline={project.path}")
    assert (code, "did you mean enrich?" in errors) == (2, True)


def test_a_member_that_gives_up_ends_the_run(headrace: Terminal, project: Project) -> None:
    """Topics that are not there are no reason to try again: the run ends with the member's exit code."""
    code, _, errors = headrace.run("run", "enrich", "--pipeline=card_fraud")
    assert code == 2
    assert "misconfigured (2)" in errors


def test_stopping_at_once_is_no_failure(headrace: Terminal, project: Project, tmp_path: Path) -> None:
    """Ctrl-C while members are only starting: they had begun nothing, so the exit code is 0 and says so."""
    state = tmp_path / "logs" / STATE
    with headrace.start("run", "enrich", f"--pipeline={project.path}", "--logs=logs") as supervisor:
        wait_for(lambda: members(state).get("enrich-0", {}).get("pid"), "started")
        supervisor.send_signal(signal.SIGINT)
        _, errors = supervisor.communicate(timeout=60)
    assert supervisor.returncode == 0, errors
    assert "stopped while it was starting" in errors or "drained" in errors
