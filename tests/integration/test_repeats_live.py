"""Events that are published twice, on real parts with kills: counted once in features, outcomes and scorecards."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import numpy as np
import pyarrow as pa
import pytest

from tests.members import ROOT
from tests.project import WEEK, Project

ROWS, REPEATS = 600, 40
DAY = 86_400_000
BEGIN = 1_522_540_800_000
"""2018-04-01, milliseconds."""
MEMBERS = ("enrich-0", "views-0", "score-0", "labels-0", "scorecards-0")


def source(directory: Path, repeats: str) -> Path:
    """Card fraud, with what the file says of repeats."""
    (directory / "pipelines").mkdir(parents=True)
    (directory / "schemas").symlink_to(ROOT / "schemas")
    path = directory / "pipelines/card_fraud.yaml"
    told = (ROOT / "pipelines/card_fraud.yaml").read_text()
    assert "  late: reject " in told
    path.write_text(told.replace("  late: reject ", f"  repeats: {repeats}\n  late: reject ", 1))
    return path


def transactions() -> pa.RecordBatch:
    """So many of one day, a few minutes apart."""
    draw = np.random.default_rng(5)
    times = BEGIN + np.arange(ROWS) * 120_000
    return pa.RecordBatch.from_pydict(
        {
            "transaction_id": pa.array(np.arange(ROWS)),
            "tx_datetime": pa.array(times, pa.timestamp("ms", tz="UTC")),
            "customer_id": pa.array(draw.integers(0, 50, ROWS)),
            "terminal_id": pa.array(draw.integers(0, 20, ROWS)),
            "amount": pa.array(draw.lognormal(3, 1, ROWS).round(2)),
        }
    )


def labels(events: pa.RecordBatch) -> pa.RecordBatch:
    """What each turned out to be, known a week later."""
    known = events["tx_datetime"].cast(pa.int64()).to_numpy() + WEEK
    return pa.RecordBatch.from_pydict(
        {
            "event_id": events["transaction_id"].cast(pa.string()),
            "value": pa.array((np.arange(ROWS) % 9 == 0).astype(float)),
            "label_time": pa.array(known, pa.timestamp("ms", tz="UTC")),
            "source": pa.array(["bank"] * ROWS),
        }
    )


def until(project: Project, what: Callable[[], bool], seconds: float = 240) -> None:
    """Wait for something to come true, starting members again that ended."""
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, project.logs()
        project.revive()
        time.sleep(0.5)  # Polls the broker: there is no event to wait for.


def card(project: Project) -> dict[str, Any]:
    """The newest card of all rows; empty while there is none."""
    rows = [row for row in project.read("scorecards").to_pylist() if not row["segment"]]
    return dict(rows[-1]) if rows else {}


def remarks(project: Project) -> str:
    """What enrich counts of its remarks."""
    lines = (project.directory / "enrich-0.log").read_text().splitlines()
    port = [entry["port"] for entry in map(json.loads, lines) if entry.get("event") == "listening"][-1]
    with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        text = str(answer.read().decode())
    return "\n".join(line for line in text.splitlines() if line.startswith("headrace_remarks_total"))


@pytest.mark.slow
@pytest.mark.parametrize("repeats", ["drop", "keep"])
def test_events_published_twice_count_once(
    repeats: str, kafka: str, redis_server: str, pipeline_name: str, tmp_path: Path
) -> None:
    """The window matures, with as many predictions as events, whether repeats are left out at once or not, and whoever
    is killed meanwhile; how many there were is told.
    """
    project = Project(source(tmp_path / "source", repeats), pipeline_name, tmp_path / "project", kafka, redis_server)
    project.settings = {"HEADRACE_IDLE_AFTER_S": "2", "HEADRACE_PUBLISH_S": "1", "HEADRACE_CHECKPOINT_S": "2"}
    try:
        check(project, repeats)
    finally:
        project.close()


def check(project: Project, repeats: str) -> None:
    """See the test."""
    events = transactions()
    draw = np.random.default_rng(3)
    project.champion()
    for member in MEMBERS:
        project.start(member)
    project.publish(labels(events), "event_id", "labels")
    told, sent = 0, 0
    for start in range(0, ROWS, 150):
        part = events.slice(start, 150)
        # Of the last few minutes: by event time they are never too late.
        again = part.take(pa.array(np.sort(draw.choice(np.arange(146, 150), REPEATS // 4, replace=True))))
        for rows in (part, again):
            project.publish(rows, "customer_id")
        told, sent = told + 150, sent + REPEATS // 4
        wanted = told + (sent if repeats == "keep" else 0)
        until(project, lambda wanted=wanted: project.count("features") >= wanted)  # type: ignore[misc]  # of this turn
        if start < 450:
            for member in draw.choice(MEMBERS, 2, replace=False).tolist():
                project.stop(member, signal.SIGKILL)
                project.start(member)
    cards: list[dict[str, Any]] = []

    def matured() -> bool:
        cards.append(card(project))
        return bool(cards[-1].get("mature")) and cards[-1]["predictions"] == ROWS

    until(project, matured)
    found = cards[-1]
    left = sent if repeats == "keep" else 0
    assert (found["predictions"], found["outcomes"], found["repeats"]) == (ROWS, ROWS, left)
    assert {figure["name"] for figure in found["figures"]} >= {"auc_roc", "recall", "value"}
    outcomes = project.read("outcomes").to_pylist()
    assert len({row["prediction_id"] for row in outcomes if row["revision"] >= 0}) == ROWS
    assert sum(row["state"] == "repeated" for row in outcomes) == left
    assert project.count("predictions") == ROWS + left
    assert project.count("dead-letters") == 0
    if repeats == "drop":
        counts = project.read("features")["customer"].combine_chunks().field("nb_tx_1d").to_pylist()
        times = events["tx_datetime"].cast(pa.int64()).to_numpy()
        who = events["customer_id"].to_numpy()
        ids = [int(name) for name in project.read("features")["event_id"].to_pylist()]
        assert counts == [int(np.sum((who[: at + 1] == who[at]) & (times[: at + 1] > times[at] - DAY))) for at in ids]
        assert 'headrace_remarks_total{remark="repeated"}' in remarks(project)
