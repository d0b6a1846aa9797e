"""The services `kpi` and `notify` as processes, on a real Kafka: a breach and its end, told once whatever is killed."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from tests.cli.terminal import Terminal
from tests.members import ROOT
from tests.notification.webhook import Webhook
from tests.project import Project

pytestmark = pytest.mark.faults

BOUND_S = 240.0
DAY = 86_400_000
FIRST = 1_527_811_200_000
SECTIONS = """
notify: {channels: {oncall: {env: ONCALL_URL, events: [harm]}}}
kpis:
  floor: {scorecard: average_precision, below: 0.5, for: 2 windows, severity: critical, tell: [oncall], retrain: true}
  moved: {drift: evidence, above: 1}
  lag: {operational: lag, service: labels, above: 5, for: 1m}
"""


def waited(found: Callable[[], bool], what: Callable[[], str]) -> None:
    """Wait until something is found."""
    end = time.monotonic() + BOUND_S
    while not found():
        assert time.monotonic() < end, what()
        time.sleep(0.2)  # It comes by Kafka: there is no event to wait for.


def card(pipeline: str, day: int, value: float, mature: bool = True) -> dict[str, Any]:
    """A card of the champion."""
    figure = {"name": "average_precision", "value": value, "low": None, "high": None, "note": None, "basis": "outcomes"}
    return {
        "pipeline": pipeline, "window_start": FIRST + day * DAY, "window_end": FIRST + (day + 1) * DAY,
        "model": {"name": "m", "version": "1", "digest": "sha256:00"}, "arm": "champion", "segment": "", "group": "",
        "time": FIRST + (day + 8) * DAY, "predictions": 100, "outcomes": 100 if mature else 10, "labelled": 10,
        "presumed": 90, "repeats": 0, "mature": mature, "exact": True, "relative_error": 0.0,
        "figures": [figure] if mature else [],
    }  # fmt: skip  # a record


def test_a_breach_and_its_end_are_told_once_though_members_are_killed(
    kafka: str, redis_server: str, pipeline_name: str, tmp_path: Path
) -> None:
    """Killed before and after a breach is told; people hear of both, and the command says how the rules stand."""
    (tmp_path / "pipelines").mkdir()
    source = tmp_path / "pipelines/card_fraud.yaml"
    text = (ROOT / "pipelines/card_fraud.yaml").read_text().replace("[drift, schedule]", "[scorecard, schedule]")
    source.write_text(text + SECTIONS)
    (tmp_path / "schemas").mkdir()
    project = Project(source, pipeline_name, tmp_path / "project", kafka, redis_server, 1)
    schema = project.contracts.channel("scorecards").codec.reader.arrow

    def publish(*cards: dict[str, Any]) -> None:
        project.publish(pa.RecordBatch.from_pylist(list(cards), schema=schema), "arm", "scorecards")

    def told() -> list[str]:
        return [row["type"] for row in project.read("control").to_pylist()]

    def asked(*options: str) -> tuple[int, Any]:
        code, out, err = Terminal(tmp_path, {"HEADRACE_BOOTSTRAP": kafka}).run("kpi", project.path, "--json", *options)
        assert code in (0, 3), err
        return code, json.loads(out)

    def states() -> dict[str, str]:
        return {each["rule"]: each["state"] for each in asked()[1]}

    webhook = Webhook()
    with webhook.at() as port:
        project.settings = {"ONCALL_URL": f"json://127.0.0.1:{port}/?rto=60", "HEADRACE_CHECKPOINT_S": "1"}
        try:
            for member in ("kpi-0", "notify-0"):
                project.start(member)
            publish(card(pipeline_name, 0, 0.9), card(pipeline_name, 1, 0.2))
            waited(lambda: states()["floor"] == "pending", project.logs)
            assert asked()[0] == 0
            project.stop("kpi-0", signal.SIGKILL)
            publish(card(pipeline_name, 2, 0.3))
            project.start("kpi-0")
            waited(lambda: told() == ["kpi_breached"], project.logs)
            project.stop("kpi-0", signal.SIGKILL)
            project.start("kpi-0")
            answers: list[tuple[int, Any]] = []

            def breached() -> bool:
                """By one answer: the lag is known only once Kafka was asked."""
                answers.append(asked())
                floor, _, lag = answers[-1][1]
                return bool(floor["state"] == "breached" and lag["state"] == "ok")

            waited(breached, project.logs)
            code, (floor, moved, lag) = answers[-1]
            assert code == 3
            assert (floor["value"], floor["told"], floor["breaches"], floor["model"]) == (0.3, ["oncall"], 1, "m@1")
            assert "told nothing of predictions" in moved["unknown"]
            assert moved["state"] == "unknown"
            assert lag["value"] == 0.0
            publish(card(pipeline_name, 3, 0.8))
            waited(lambda: len(told()) == 2, project.logs)
            waited(lambda: len(webhook.received) == 2, project.logs)
            assert [project.stop(member) for member in ("kpi-0", "notify-0")] == [0, 0]
        finally:
            project.close()
    assert told() == ["kpi_breached", "kpi_recovered"]
    assert [body["title"] for body in webhook.received] == [
        f"{pipeline_name}: floor is breached",
        f"{pipeline_name}: floor is not breached any more",
    ]
    assert [(each["type"], each["was"], each["retrain"]) for each in asked("--history")[1]] == [
        ("kpi_breached", "", True),
        ("kpi_recovered", "breached", False),
    ]
