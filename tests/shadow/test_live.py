"""Shadow on a real broker: its own group, exactly once, with models that break and models that are too slow."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from headrace.domain.models.package import pack
from tests.members import ROOT
from tests.models import graphs
from tests.models.live import INPUTS, logistic, manifest, plan, publish
from tests.project import Project


@pytest.fixture
def project(kafka: str, redis_server: str, pipeline_name: str, tmp_path: Path) -> Iterator[Project]:
    """The card fraud pipeline under a name of its own."""
    source = ROOT / "pipelines/card_fraud.yaml"
    made = Project(source, pipeline_name, tmp_path / "project", kafka, redis_server, 3)
    yield made
    made.close()


BROKEN = pack(manifest("66"), b"no graph")
SLOW = pack(manifest("99"), graphs.deep(len(INPUTS), 1024, 8))


def events(project: Project) -> list[dict[str, Any]]:
    """What was said on the control topic."""
    rows = project.read("control").sort_by([("_partition", "ascending"), ("_offset", "ascending")]).to_pylist()
    return [{**row, "evidence": dict(row["evidence"])} for row in rows]


@pytest.mark.faults
def test_exactly_once_through_kills_and_a_broken_model(project: Project) -> None:
    """Two good models of three answer every event once, whoever is killed; nothing reaches the predictions."""
    plan(
        project,
        1,
        (logistic("1"), "champion", {}),
        (logistic("2"), "challenger", {}),
        (BROKEN, "shadow", {}),
        (logistic("3"), "shadow", {}),
    )
    rows = 30_000
    publish(project, 0, rows // 2)
    project.settings["HEADRACE_SHED_AFTER_S"] = "0"
    process = project.start("shadow-0", HEADRACE_BATCH_ROWS="500", HEADRACE_COMMIT_MS="20", HEADRACE_NICE="7")
    before = os.getpriority(os.PRIO_PROCESS, 0)
    for part in range(1, 4):
        project.await_count("shadow-predictions", part * 3_000)
        if part == 1:
            assert os.getpriority(os.PRIO_PROCESS, process.pid) == min(before + 7, 19), "it gives way to others"
        project.stop("shadow-0", signal.SIGKILL)
        project.start("shadow-0", HEADRACE_BATCH_ROWS="500", HEADRACE_COMMIT_MS="20")
    publish(project, rows // 2, rows // 2)
    project.await_count("shadow-predictions", 2 * rows)
    assert project.stop("shadow-0") == 0
    found = project.read("shadow-predictions")
    wanted = {f"{event}/rival@{model}" for event in range(rows) for model in ("2/challenger", "3/shadow")}
    ids = found["prediction_id"].to_pylist()
    assert len(ids) == len(wanted)
    assert set(ids) == wanted
    assert project.count("predictions") == 0
    assert project.count("dead-letters") == 0
    said = events(project)
    assert {event["type"] for event in said} == {"model_failed"}
    assert {event["evidence"]["model"] for event in said} == {"rival@66"}
    assert {event["evidence"]["member"] for event in said} == {"shadow-0"}


def test_what_is_shed_is_said_to_the_offset(project: Project) -> None:
    """A model that is too slow is left out and taken back, and lacks just the events between the offsets told."""
    plan(
        project,
        1,
        (logistic("1"), "champion", {}),
        (logistic("2"), "challenger", {"priority": 1}),
        (SLOW, "shadow", {}),
    )
    rows = 20_000
    publish(project, 0, rows)
    time.sleep(2.0)  # Records are as old as this when they are read, on however fast a machine: older than the bound.
    project.start("shadow-0", HEADRACE_SHED_AFTER_S="1", HEADRACE_BATCH_ROWS="200")
    await_event(project, "model_restored", "rival@99")
    before = project.count("shadow-predictions")
    publish(project, rows, 100)
    project.await_count("shadow-predictions", before + 200, seconds=60)
    assert project.stop("shadow-0") == 0
    features, said = project.read("features"), events(project)
    predictions = project.read("shadow-predictions").to_pylist()
    lacked = {}
    for version in ("2", "99"):
        missing = np.zeros(len(features), bool)
        offsets, partitions = features["_offset"].to_numpy(), features["_partition"].to_numpy()
        for partition, start, stop in gaps([e for e in said if e["evidence"]["model"] == f"rival@{version}"]):
            missing |= (partitions == partition) & (offsets >= start) & (offsets < stop)
        scored = {row["event_id"] for row in predictions if row["model"]["version"] == version}
        assert scored == set(features["event_id"].filter(pa.array(~missing)).to_pylist())
        lacked[version] = int(missing.sum())
    assert 0 < lacked["99"] < len(features)
    assert lacked["2"] <= lacked["99"], "the lower priority goes first and comes last"


def await_event(project: Project, kind: str, model: str) -> None:
    """Wait until the control topic holds such an event of a model."""
    count = 0
    while (kind, model) not in {(event["type"], event["evidence"]["model"]) for event in events(project)}:
        project.await_count("control", count + 1, seconds=60)
        count = project.count("control")


def gaps(said: list[dict[str, Any]]) -> Iterator[tuple[int, int, int]]:
    """Of one model, by its events in order: (partition, first offset without it, first offset with it again)."""
    since: dict[int, int] = {}
    for event in said:
        offsets = {int(partition): offset for partition, offset in json.loads(event["evidence"]["offsets"]).items()}
        if event["type"] == "model_shed":
            since |= offsets
        else:
            yield from ((partition, since.pop(partition), offset) for partition, offset in offsets.items())
    yield from ((partition, offset, 1 << 60) for partition, offset in since.items())
