"""Score on a real broker: a canary whose share grows while members are killed."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from headrace.columnar.partitioner import partitions_of
from headrace.domain.plans.canary_split import shares
from headrace.streaming.kafka.admin import Admin
from tests.members import ROOT
from tests.models.live import logistic, plan, publish
from tests.project import Project


@pytest.fixture
def project(kafka: str, redis_server: str, pipeline_name: str, tmp_path: Path) -> Iterator[Project]:
    """The card fraud pipeline under a name of its own."""
    source = ROOT / "pipelines/card_fraud.yaml"
    made = Project(source, pipeline_name, tmp_path / "project", kafka, redis_server, 3)
    yield made
    made.close()


@pytest.mark.faults
def test_a_share_grows_while_members_are_killed(project: Project) -> None:
    """Each event is answered once, by the arm that the hash and its plan say; nobody goes back to the champion."""
    rows, part = 30_000, 7_500
    champion, canary = (logistic("1"), "champion", {}), logistic("2")
    for version, share in enumerate((0.2, 0.5), 1):
        plan(project, version, champion, (canary, "canary", {"share": share}))
        begin = (version - 1) * 2 * part
        publish(project, begin, part)
        project.start("score-0", HEADRACE_BATCH_ROWS="500", HEADRACE_COMMIT_MS="20")
        project.await_count("predictions", begin + 3_000)
        project.stop("score-0", signal.SIGKILL)
        project.start("score-0", HEADRACE_BATCH_ROWS="500", HEADRACE_COMMIT_MS="20")
        publish(project, begin + part, part)
        project.await_count("predictions", begin + 2 * part)
        assert project.stop("score-0") == 0
    found = project.read("predictions")
    assert sorted(map(int, found["event_id"].to_pylist())) == list(range(rows))
    places = shares(pa.concat_arrays(found["entity"].chunks), project.name)
    met: dict[str, set[str]] = {"champion": set(), "canary": set()}
    for row, place in zip(found.select(["arm", "plan_version", "entity", "event_id"]).to_pylist(), places, strict=True):
        assert row["arm"] == ("canary" if place < (0.2, 0.5)[row["plan_version"] - 1] else "champion")
        assert row["plan_version"] == 1 + (int(row["event_id"]) >= rows // 2)
        met[row["arm"]].add(f"{row['entity']}/{row['plan_version']}")
    before = {entity for entity in met["canary"] if entity.endswith("/1")}
    assert before
    assert {entity.replace("/1", "/2") for entity in before} < met["canary"]


def test_a_plan_in_a_partition_that_an_administrator_added_is_taken_up(project: Project) -> None:
    """The plans topic grows while a member runs: it sees that, begins anew, and answers by the plan that lies there."""
    plan(project, 1, (logistic("1"), "champion", {}))
    publish(project, 0, 1_000)
    running = project.start("score-0")
    project.await_count("predictions", 1_000)
    name = project.contracts.channel("plans").name
    total = next(n for n in range(2, 99) if partitions_of(pa.array([project.name.encode()]), n)[0] != 0)
    Admin(project.connection).add_partitions(name, total)
    assert running.wait(90) == 75, project.logs()
    plan(project, 2, (logistic("2"), "champion", {}))
    project.start("score-0")
    publish(project, 1_000, 1_000)
    table = project.await_count("predictions", 2_000)
    assert project.stop("score-0") == 0
    answered = {int(row["event_id"]): row["plan_version"] for row in table.to_pylist()}
    assert answered == {event: 1 + (event >= 1_000) for event in range(2_000)}


@pytest.mark.parametrize("mode", ["at_least_once", "exactly_once"])
def test_a_plan_changes_between_a_crash_and_the_repeat(project: Project, mode: str) -> None:
    """Repeats of at_least_once are the newer plan's, later in the partition; exactly_once shows one answer an event."""
    champions = logistic("1"), logistic("2")
    settings = {"HEADRACE_MODE": mode, "HEADRACE_COMMIT_MS": "10000" if mode == "at_least_once" else "20"}
    plan(project, 1, (champions[0], "champion", {}))
    publish(project, 0, 6_000)
    project.start("score-0", **settings)
    project.await_count("predictions", 6_000)
    project.stop("score-0", signal.SIGKILL)
    plan(project, 2, (champions[1], "champion", {}))
    publish(project, 6_000, 1_000)
    project.start("score-0", **settings | {"HEADRACE_COMMIT_MS": "20"})
    count = 7_000
    while (table := project.await_count("predictions", count)) is not None:
        # In each partition repeats come before what is new.
        if sum(int(event) >= 6_000 for event in table["event_id"].to_pylist()) == 1_000:
            break
        count = table.num_rows + 1
    assert project.stop("score-0") == 0
    answers: dict[str, list[tuple[int, str]]] = {}
    table = project.read("predictions").sort_by([("_partition", "ascending"), ("_offset", "ascending")])
    for row in table.select(["event_id", "plan_version", "prediction_id"]).to_pylist():
        answers.setdefault(row["event_id"], []).append((row["plan_version"], row["prediction_id"]))
    assert sorted(map(int, answers)) == list(range(7_000))
    for event, found in answers.items():
        versions = [version for version, _ in found]
        if int(event) >= 6_000:
            assert versions == [2]
        else:
            assert versions in ([[1], [1, 2]] if mode == "at_least_once" else [[1]])
        assert len({name for _, name in found}) == len(found), "another model is another prediction"
    if mode == "at_least_once":
        assert any(len(found) == 2 for found in answers.values()), "nothing was repeated, so nothing was proven"
