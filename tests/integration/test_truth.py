"""From events and labels to outcomes and scorecards, with a canary and a rival in the dark, on real parts."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from sklearn import metrics

from headrace.domain.models.store import ModelStore
from headrace.domain.plans.plan_log import publish
from headrace.domain.plans.plans import CANARY, CHALLENGER, CHAMPION, Arm, Plan
from headrace.domain.simulation.simulators import World, simulate
from headrace.domain.training.bootstrap import train_offline
from headrace.operations.tables import event_table as tables
from tests.members import ROOT
from tests.project import Project

DAYS = 12
TOLD = ["prediction_id", "revision", "event_id", "event_time", "arm", "score", "decision", "label"]
MEMBERS = ("enrich-0", "views-0", "score-0", "shadow-0", "labels-0", "labels-1", "scorecards-0", "scorecards-1")


@pytest.fixture
def project(kafka: str, redis_server: str, pipeline_name: str, tmp_path: Path) -> Iterator[Project]:
    """The pipeline that comes with headrace, under a name of its own."""
    made = Project(ROOT / "pipelines/card_fraud.yaml", pipeline_name, tmp_path / "project", kafka, redis_server, 3)
    made.settings["HEADRACE_PUBLISH_S"] = "1"
    yield made
    made.close()


def play(project: Project, features: pa.Table, labels: pa.Table) -> None:
    """A champion, a canary for a third of the entities, and a challenger."""
    store = ModelStore(str(project.directory / "models"), project.directory / "trained")
    arms = []
    for arm, version, share in ((CHAMPION, "1", 1.0), (CANARY, "2", 0.3), (CHALLENGER, "3", 1.0)):
        package, uri = train_offline(
            project.contracts.pipeline,
            features,
            labels,
            store,
            version,
            trainer="decision_tree",
            parameters={"max_depth": 2 + int(version)},
        )
        arms.append(Arm(arm, package.manifest.name, version, package.digest, uri, share))
    publish(
        project.connection,
        project.contracts.channel("plans"),
        project.name,
        lambda _: Plan(project.name, 0, tuple(arms)),
        time=int(time.time() * 1000),
        actor="test",
        reason="test",
    )


def newest(outcomes: pa.Table) -> pa.Table:
    """The last revision of each prediction."""
    outcomes = outcomes.select(TOLD)
    best = outcomes.group_by("prediction_id").aggregate([("revision", "max")])
    held = outcomes.join(best, ["prediction_id"]).filter(pc.equal(pc.field("revision"), pc.field("revision_max")))
    return held.combine_chunks()


def cards_of(project: Project) -> dict[tuple[str, int], dict[str, object]]:
    """The newest card of all rows, by arm and window."""
    found = {}
    for row in project.read("scorecards").to_pylist():
        if not row["segment"]:
            figures = {figure["name"]: figure["value"] for figure in row["figures"]}
            figures["why"] = [figure["note"] for figure in row["figures"] if figure["name"] == "shifted_effective_rows"]
            start = int(row["window_start"].timestamp() * 1000)
            found[row["arm"], start] = {**row, **figures}
    return found


@pytest.mark.slow  # eight processes, three of which are killed
def test_labels_become_outcomes_and_cards_that_scikit_learn_agrees_with(project: Project) -> None:
    """Each prediction of each arm has one outcome with the right label, and each day's card its figures, estimates by
    the rows in the model's package among them, in spite of kills: of members of labels, scorecards and shadow.
    """
    pipeline = project.contracts.pipeline
    table = simulate(pipeline, World(entities=600, others=1_200, days=DAYS, seed=3)).combine_chunks()
    events = tables.events(table, pipeline, project.contracts.channel("events").codec.reader.arrow, {})
    known = tables.labels(table, pipeline, project.contracts.channel("labels").codec.reader.arrow, {}, "test")
    count = len(events.times)
    for member in MEMBERS:
        project.start(member)
    project.publish(known.columns.combine_chunks().to_batches()[0], "event_id", "labels")
    project.publish(events.columns.combine_chunks().to_batches()[0], pipeline.events.key)
    features = project.await_count("features", count)
    play(project, features, known.columns)
    for member in ("labels-0", "scorecards-1", "shadow-0"):
        project.stop(member, signal.SIGKILL)
        project.start(member)
    project.await_count("predictions", count, between=project.revive)
    project.await_count("shadow-predictions", count, between=project.revive)
    outcomes = newest(project.await_count("outcomes", 2 * count, between=project.revive))
    assert outcomes.num_rows == 2 * count
    truth = dict(zip(known.columns["event_id"].to_pylist(), known.columns["value"].to_pylist(), strict=True))
    assert [truth[name] for name in outcomes["event_id"].to_pylist()] == outcomes["label"].to_pylist()

    rows = pl.DataFrame(pl.from_arrow(outcomes.select(["arm", "score", "label", "decision", "event_time"])))
    rows = rows.with_columns(window=pl.col("event_time").dt.epoch("ms") // 86_400_000 * 86_400_000)
    assert set(rows["arm"]) == {CHAMPION, CANARY, CHALLENGER}
    wanted = rows.partition_by("arm", "window", as_dict=True)
    end = time.monotonic() + 120
    while True:
        cards = cards_of(project)
        known = cards.keys() == wanted.keys() and all(cards[key]["outcomes"] == len(wanted[key]) for key in wanted)
        if known and all(card["shifted_effective_rows"] is not None for card in cards.values()):
            break
        assert time.monotonic() < end, f"{[(key, card['why']) for key, card in cards.items()]}\n{project.logs()}"
        project.revive()
        time.sleep(0.5)  # Asks the broker: there is no event to wait for.
    for key, part in wanted.items():
        card = cards[key]
        assert (card["mature"], card["predictions"]) == (True, len(part)), key
        if part["label"].n_unique() == 2:
            area = metrics.roc_auc_score(part["label"], part["score"])
            assert np.isclose(card["auc_roc"], area, rtol=1e-9), key
            average = metrics.average_precision_score(part["label"], part["score"])
            assert np.isclose(card["average_precision"], average, rtol=1e-9), key
        if card.get("shifted_accuracy") is not None:
            error = card["shifted_accuracy"] - card["accuracy"]
            assert card["shifted_error_accuracy"] == pytest.approx(error), key
        assert card["decision_rate"] == pytest.approx(part["decision"].mean()), key
