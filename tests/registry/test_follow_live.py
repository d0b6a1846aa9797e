"""An alias of a real MLflow server followed on a real broker, while the server is killed and comes back."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import lightgbm as lgb
import pytest

from headrace.cli.render.models.follow import look_lines
from headrace.domain.control.base import ControlFinding
from headrace.domain.control.events import ControlEvent
from headrace.domain.control.release import ApprovalGiven, PromotionAsked, ReleaseRequest, RollbackAsked
from headrace.domain.control.retrain import ModelEvaluated, ModelRegistered
from headrace.domain.models.store import ModelStore
from headrace.domain.pipeline.registry.spec import ModelRegistry
from headrace.domain.pipeline.spec import expand
from headrace.domain.registry.model_source import AliasSource
from headrace.operations.control_tail import ControlTail
from headrace.operations.ledger.ledger_topic import ledger_records
from headrace.operations.plan_changes.plan_topic import publish_plan
from headrace.operations.progress import Silent
from headrace.operations.registry.follower import RegistryFollower, RegistryLook
from headrace.operations.registry.mlflow_door import MlflowRegistry
from headrace.operations.release.requests import Asker, ask_release
from headrace.streaming.process.settings import Settings
from tests.cli.terminal import Terminal
from tests.members import ROOT
from tests.models.live import logistic
from tests.project import Project
from tests.registry.logged import frame, mlflow, register
from tests.registry.mlflow_server import MlflowServer

pytestmark = [pytest.mark.faults, pytest.mark.timeout(1_800)]

WITHIN_S = 600.0
NAME = "fraud"
EVERY_S = 1
"""Seconds between two looks; of `--every` the least."""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[MlflowServer]:
    """An MLflow server."""
    made = MlflowServer(tmp_path / "mlflow")
    made.start()
    yield made
    made.kill()


@pytest.fixture
def project(kafka: str, redis_server: str, pipeline_name: str, tmp_path: Path) -> Iterator[Project]:
    """The card fraud pipeline under a name of its own."""
    made = Project(ROOT / "pipelines/card_fraud.yaml", pipeline_name, tmp_path / "project", kafka, redis_server, 2)
    yield made
    made.close()


def booster(columns: list[str], trees: int) -> lgb.Booster:
    """A small model of these columns."""
    table, labels = frame(columns)
    parameters = {"objective": "binary", "verbosity": -1, "num_threads": 1}
    return lgb.train(parameters, lgb.Dataset(table, labels), num_boost_round=trees)


def now() -> int:
    """Milliseconds since the epoch."""
    return int(time.time() * 1000)


def test_a_version_comes_in_once_and_mlflow_is_told_what_became_of_it(
    server: MlflowServer, project: Project, tmp_path: Path
) -> None:
    """Brought in by the command, promoted and rolled back by people; decisions of an outage are told after it."""
    inputs = expand(project.contracts.pipeline)
    register(server.address, NAME, "lightgbm", booster(inputs, 5), inputs)
    client = mlflow.MlflowClient()
    client.set_registered_model_alias(NAME, "challenger", "1")
    models = str(project.directory / "models")
    store = ModelStore(models, project.directory / "put")
    settings = Settings(pipeline=str(project.path), bootstrap=project.bootstrap, models=models)
    env = {"HEADRACE_HOME": str(tmp_path / "home"), "HEADRACE_BOOTSTRAP": project.bootstrap, "HEADRACE_MODELS": models}
    follow = ("models", "follow", project.path, "models:/fraud@challenger", "--mlflow", server.address)
    terminal = Terminal(tmp_path, env)

    first = terminal.json(*follow, timeout=WITHIN_S)
    assert (first["outcome"], first["version"]) == ("registered", "models:/fraud/1")
    (package,) = store.packages()
    assert first["model"] == package.title
    manifest = store.manifest(package)
    assert manifest.parameters["mlflow"]["identity"].startswith("mlflow/fraud/1/")
    assert list(manifest.input_names) == inputs

    champion = logistic("1")
    uri = store.put(champion)
    publish_plan(project.connection, project.contracts.channel("plans"), project.name, champion, uri, "the first")
    project.start("release-0")

    def said(finding: ControlFinding) -> None:
        tail = ControlTail(project.connection, project.contracts.channel("control"))
        tail.say(ControlEvent(f"test/{finding.type}", project.name, now(), "retrain", finding))
        tail.close()

    def ask(kind: type[ReleaseRequest], **fields: str) -> list[str]:
        asker = Asker("ann", "a test", now())
        found = ask_release(settings, project.contracts, store, package.title, kind, asker, WITHIN_S, **fields)
        return [each.type for each in found.answers]

    follower = RegistryFollower(
        settings,
        project.contracts,
        store,
        MlflowRegistry(server.address),
        AliasSource(NAME, "challenger"),
        ModelRegistry(),
    )

    def look(until: Callable[[RegistryLook], bool]) -> RegistryLook:
        end = time.monotonic() + WITHIN_S
        while not until(found := follower.look(now(), Silent())):
            assert time.monotonic() < end, found
            time.sleep(0.2)
        return found

    def tags(version: int) -> dict[str, str]:
        return dict(client.get_model_version(NAME, str(version)).tags)

    def aliases() -> dict[str, int]:
        return {name: int(version) for name, version in client.get_registered_model(NAME).aliases.items()}

    again = look(lambda _: True)
    assert (again.outcome, again.digest) == ("known", first["digest"])
    said(ModelEvaluated(package.title, package.digest, verdict="passed"))
    look(lambda found: bool(found.told.versions))
    assert tags(1)["headrace.state"] in ("registered", "evaluated")
    assert aliases() == {"challenger": 1}
    ask(ApprovalGiven)
    assert "release_promoted" in ask(PromotionAsked, to="champion")
    moved = look(lambda found: bool(found.told.aliases))
    assert [(each.alias, each.version) for each in moved.told.aliases] == [("champion", 1)]
    assert aliases() == {"challenger": 1, "champion": 1}
    look(lambda _: tags(1)["headrace.state"] == "guarded")

    server.kill()
    assert "release_rolled_back" in ask(RollbackAsked)
    away = look(lambda found: found.told.waiting > 0)
    assert away.outcome == "away"
    assert away.told.away
    assert any("wait to be told, the oldest of" in line for line in look_lines(away))
    server.start()
    back = look(lambda found: found.told.away is None)
    assert [each.state for each in back.told.versions] == ["rolled_back"]
    assert aliases() == {"challenger": 1}
    told = tags(1)
    entry = next(
        each for _, each in ledger_records(settings, project.contracts).entries if each.type == "release_rolled_back"
    )
    assert (told["headrace.state"], told["headrace.ledger"]) == ("rolled_back", str(entry.number))
    assert "release_promoted" in "".join(told[name] for name in told if name.startswith("headrace.decision."))
    assert look(lambda _: True).told.versions == []
    assert tags(1) == told

    wrong = [*inputs[1:], "colour_of_card"]
    register(server.address, NAME, "lightgbm", booster(wrong, 3), wrong)
    client.set_registered_model_alias(NAME, "challenger", "2")
    refused = look(lambda found: found.outcome == "refused")
    assert "colour_of_card is no input of the pipeline's model" in str(refused.because)
    look(lambda _: tags(2).get("headrace.state") == "refused")
    assert len([one for one in store.packages() if one.version.startswith("mlflow-")]) == 1
    assert project.stop("release-0") == 0


def test_a_follower_that_looks_again_and_again_brings_each_version_in_once(
    server: MlflowServer, project: Project, tmp_path: Path
) -> None:
    """It is killed and started again, MLflow is away meanwhile, the alias moves; it ends when it is told to."""
    inputs = expand(project.contracts.pipeline)
    models = str(project.directory / "models")
    env = {"HEADRACE_HOME": str(tmp_path / "home"), "HEADRACE_BOOTSTRAP": project.bootstrap, "HEADRACE_MODELS": models}
    terminal = Terminal(tmp_path, env)
    told = ControlTail(project.connection, project.contracts.channel("control"))
    registered: list[str] = []

    def follow() -> subprocess.Popen[str]:
        source = ("models:/fraud@challenger", "--mlflow", server.address, "--every", f"{EVERY_S}s")
        return terminal.start("models", "follow", project.path, *source)

    def move(trees: int) -> None:
        version = register(server.address, NAME, "lightgbm", booster(inputs, trees), inputs)
        mlflow.MlflowClient().set_registered_model_alias(NAME, "challenger", str(version))

    def come(count: int, process: subprocess.Popen[str]) -> None:
        while len(registered) < count:
            assert process.poll() is None, process.communicate()
            events = told.gathered(lambda event: isinstance(event.finding, ModelRegistered), WITHIN_S, 0.0)
            assert events, registered
            registered.extend(str(event.finding.model) for event in events)

    def said(process: subprocess.Popen[str], text: str) -> list[str]:
        """Its lines until one of them has this text."""
        assert process.stdout is not None
        lines: list[str] = []
        while not (lines and text in lines[-1]):
            lines.append(process.stdout.readline())
            assert lines[-1], (lines, process.communicate())
        return lines

    def ended(process: subprocess.Popen[str]) -> str:
        process.terminate()
        out, errors = process.communicate(timeout=WITHIN_S)
        assert process.returncode == 0, errors
        return out

    move(3)
    first = follow()
    come(1, first)
    first.kill()
    first.communicate()
    move(4)
    second = follow()
    lines = said(second, "models:/fraud/2: it is")
    server.kill()
    lines += said(second, f"MLflow at {server.address}")
    server.start()
    move(5)
    lines += said(second, "models:/fraud/3: it is")
    come(3, second)
    text = "".join([*lines, ended(second)])
    assert text.count("models:/fraud/2: it is") == text.count("models:/fraud/3: it is") == 1
    third = follow()
    said(third, "brought in before")
    assert "and registered" not in ended(third)
    assert told.gathered(lambda event: isinstance(event.finding, ModelRegistered), 2.0, 0.0) == []
    assert len(registered) == len(set(registered)) == 3
    told.close()
