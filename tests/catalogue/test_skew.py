"""`headrace features skew`: training against serving, held against a plain count; serving against the log."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from math import log
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from headrace.domain.models.package import ModelPackage
from headrace.domain.models.store import ModelStore
from headrace.domain.training.bootstrap import train_offline
from headrace.operations.catalogue.serving_agreement import ServingAgreement, serving_agreement
from headrace.operations.plan_changes.plan_topic import publish_plan
from headrace.operations.progress import Silent
from headrace.operations.time_spans import TimeSpan
from headrace.streaming.process.settings import Settings
from tests.catalogue.live import Payments, payments
from tests.catalogue.made import BEGIN, DAY
from tests.cli.terminal import ROOT, Terminal
from tests.project import Project

COUNT = 1_500
TRAINED = BEGIN + 25 * DAY


@pytest.fixture(scope="module")
def answered(
    kafka: str, redis_server: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Project, Payments, ModelPackage]]:
    """Payments that were answered and scored by a model that was trained on the first days of them."""
    folder = tmp_path_factory.mktemp("scored")
    source = ROOT / "pipelines" / "card_fraud.yaml"
    project = Project(source, f"skew_{folder.name.replace('-', '_')}", folder / "project", kafka, redis_server, 3)
    made = payments(COUNT)
    project.publish(made.labels, "event_id", "labels")
    project.publish(made.events, "customer_id")
    for member in ("enrich-0", "views-0", "labels-0"):
        project.start(member)
    features = project.await_count("features", COUNT)
    store = ModelStore(str(project.directory / "models"), project.directory / "trained")
    early = features.filter(pa.array(features["event_time"].cast(pa.int64()).to_numpy() < TRAINED))
    package, uri = train_offline(
        project.contracts.pipeline, early, project.read("labels"), store, "1", trainer="decision_tree"
    )
    publish_plan(project.connection, project.contracts.channel("plans"), project.name, package, uri, "test")
    project.start("score-0")
    project.await_count("predictions", COUNT)
    yield project, made, package
    project.close()


def agreement(project: Project, span: TimeSpan) -> ServingAgreement:
    """As the command asks."""
    settings = Settings(pipeline=str(project.path), bootstrap=project.bootstrap)
    return serving_agreement(settings, project.contracts, span, Silent())


def skew_of(project: Project, folder: Path, *arguments: object) -> tuple[int, Any]:
    """Exit code, and what the command prints."""
    env = {"HEADRACE_HOME": str(folder / "home"), "HEADRACE_BOOTSTRAP": project.bootstrap}
    env["HEADRACE_MODELS"] = str(project.directory / "models")
    code, out, errors = Terminal(folder, env).run("features", "skew", project.path, *arguments, "--json")
    assert code in (0, 3), out + errors
    return code, json.loads(out)


@pytest.mark.slow  # four services
def test_what_was_served_is_what_the_log_gives(answered: tuple[Project, Payments, ModelPackage]) -> None:
    """Every feature of every event, labels as they were known among them, to the bit."""
    project, made, _ = answered
    found = agreement(project, TimeSpan())
    assert (found.served, found.anew, found.not_on_log, found.not_served) == (COUNT, COUNT, 0, 0)
    assert [each.feature for each in found.features if each.different - each.behind] == []
    assert {each.compared for each in found.features} == {COUNT}
    part = agreement(project, TimeSpan(BEGIN + 10 * DAY, BEGIN + 20 * DAY))
    assert part.anew == sum(BEGIN + 10 * DAY <= time < BEGIN + 20 * DAY for time in made.times)
    assert part.unexplained == 0


@pytest.mark.slow  # as above
def test_the_reference_is_held_against_what_was_served(
    answered: tuple[Project, Payments, ModelPackage], tmp_path: Path
) -> None:
    """Distance and shares are those of a plain count in the package's bins, of events it was not fitted on."""
    project, made, package = answered
    code, found = skew_of(project, tmp_path, "--from", TRAINED)
    assert code == 0
    told = found["reference"]
    assert told["model"] == package.title
    reference = package.reference
    assert reference is not None
    fitted = package.manifest.saw(np.array(made.times))
    amounts = [
        amount
        for amount, time, knows in zip(made.events["amount"].to_pylist(), made.times, fitted, strict=True)
        if time >= TRAINED and not knows
    ]
    (column,) = (each for each in told["columns"] if each["column"] == "amount")
    bins = reference.inputs["amount"].bins
    assert bins.edges is not None
    counts = [0] * len(bins.counts)
    for amount in amounts:
        counts[sum(edge < np.float32(amount) for edge in bins.edges)] += 1
    shares = [count / len(amounts) for count in counts]
    assert (column["rows"], column["served"]) == (len(amounts), pytest.approx(shares))
    known = [(count + 0.5) / (sum(bins.counts) + 0.5 * len(counts)) for count in bins.counts.tolist()]
    distance = sum(share * log(share / before) for share, before in zip(shares, known, strict=True) if share)
    assert column["divergence"] == pytest.approx(distance)
    assert not column["beyond"]  # amounts are drawn alike all the time
    assert told["left_out"] == ["calendar.weekend", "calendar.night"]


@pytest.mark.slow  # as above, and a process for each line
def test_the_commands_of_the_page(answered: tuple[Project, Payments, ModelPackage], tmp_path: Path) -> None:
    """Every one of them ends well, in their order."""
    project, _, _ = answered
    env = {"HEADRACE_HOME": str(tmp_path / "home"), "HEADRACE_BOOTSTRAP": project.bootstrap}
    own = Terminal(tmp_path, {**env, "HEADRACE_MODELS": str(project.directory / "models")})
    page = (ROOT / "docs" / "catalogue.md").read_text()
    lines = [line for block in re.findall(r"```sh\n(.*?)```", page, re.DOTALL) for line in block.splitlines()]
    assert len(lines) > 10
    for line in lines:
        program, *words = shlex.split(line)
        assert program == "headrace"
        code, out, errors = own.run(*(str(project.path) if word == "card_fraud" else word for word in words))
        assert code == 0, f"{line}: {code}\n{out}\n{errors}"
        assert out.strip(), line
    assert {"card_fraud.html", "card_fraud.md", "card_fraud.json"} <= {path.name for path in tmp_path.iterdir()}


@pytest.mark.slow  # as above
def test_a_value_that_was_served_wrong_is_found(
    answered: tuple[Project, Payments, ModelPackage], kafka: str, redis_server: str, tmp_path: Path
) -> None:
    """A features topic with another value in a few rows: exactly these are told, the first of them with both values."""
    project, made, _ = answered
    source = ROOT / "pipelines" / "card_fraud.yaml"
    copied = Project(source, f"{project.name}_wrong", tmp_path / "copied", kafka, redis_server, 3)
    copied.publish(made.labels, "event_id", "labels")
    copied.publish(made.events, "customer_id")
    rows = project.read("features").drop_columns(["_partition", "_offset", "_timestamp"]).to_pylist()
    rows.sort(key=lambda row: row["event_time"])
    wrong = {700: 99.5, 900: float("nan")}
    right = {at: rows[at]["customer"]["avg_amount_7d"] for at in wrong}
    for at, value in wrong.items():
        rows[at]["customer"]["avg_amount_7d"] = value
    schema = copied.contracts.channel("features").codec.reader.arrow
    copied.publish(pa.RecordBatch.from_pylist(rows[:-10], schema=schema), "entity", "features")
    found = agreement(copied, TimeSpan())
    assert (found.served, found.not_served) == (COUNT - 10, 10)
    (bad,) = (each for each in found.features if each.different)
    assert (bad.feature, bad.different, bad.nulls) == ("customer.avg_amount_7d", 2, 1)
    assert bad.same_share == pytest.approx(1 - 2 / (COUNT - 10))
    assert bad.largest == pytest.approx(abs(99.5 - right[700]))
    assert [(each.event_id, each.served, each.anew) for each in bad.first] == [
        (rows[700]["event_id"], 99.5, right[700]),
        (rows[900]["event_id"], None, right[900]),
    ]
    code, told = skew_of(copied, tmp_path)
    assert code == 3
    assert "has no plan" in told["reference_unknown"]
    copied.close()
