"""Releases on a real broker: people ask, the service is killed between any two events, and the ledger has it all."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from headrace.domain.control.base import ControlFinding
from headrace.domain.control.events import ControlEvent
from headrace.domain.control.release import ApprovalGiven, PromotionAsked, ReleaseRequest, RollbackAsked
from headrace.domain.control.retrain import ModelEvaluated
from headrace.domain.models.store import ModelStore
from headrace.domain.plans.plan_log import history
from headrace.errors import ConfigurationError
from headrace.operations.control_tail import ControlTail
from headrace.operations.ledger.ledger_check import check_ledger
from headrace.operations.ledger.ledger_query import LedgerWish, ledger_entries
from headrace.operations.ledger.live_plan import live_plan
from headrace.operations.plan_changes.plan_topic import publish_plan
from headrace.operations.release.requests import Asker, ReleaseAnswer, ask_release, register
from headrace.streaming.kafka.admin import Admin
from headrace.streaming.kafka.client import Producer
from headrace.streaming.kafka.reader import messages, ranges
from headrace.streaming.process.settings import Settings
from tests.members import ROOT
from tests.models.live import logistic
from tests.project import Project

pytestmark = pytest.mark.faults

WITHIN_S = 120.0
TITLE = "rival@2"


@pytest.fixture
def project(kafka: str, redis_server: str, pipeline_name: str, tmp_path: Path) -> Iterator[Project]:
    """The card fraud pipeline under a name of its own."""
    made = Project(ROOT / "pipelines/card_fraud.yaml", pipeline_name, tmp_path / "project", kafka, redis_server, 2)
    yield made
    made.close()


def test_a_model_comes_and_goes_while_the_service_is_killed(project: Project) -> None:
    """Registered, judged, approved, promoted and taken out by people; the service dies in between, and answers once."""
    store = ModelStore(str(project.directory / "models"), project.directory / "put")
    settings = Settings(pipeline=str(project.path), bootstrap=project.bootstrap)
    plans = project.contracts.channel("plans")
    for version in ("1", "2"):
        package = logistic(version)
        uri = store.put(package)
        if version == "1":
            publish_plan(project.connection, plans, project.name, package, uri, "the first")

    def ask(kind: type[ReleaseRequest], actor: str, **fields: str) -> ReleaseAnswer:
        asker = Asker(actor, "a test", int(time.time() * 1000))
        return ask_release(settings, project.contracts, store, TITLE, kind, asker, WITHIN_S, **fields)

    def said(finding: ControlFinding) -> None:
        tail = ControlTail(project.connection, project.contracts.channel("control"))
        tail.say(ControlEvent(f"test/{finding.type}", project.name, int(time.time() * 1000), "retrain", finding))
        tail.close()

    project.start("release-0")
    early = ask(ApprovalGiven, "ann")
    assert early.refused
    assert "no package" in early.answers[0].why
    project.stop("release-0", signal.SIGKILL)
    register(settings, project.contracts, store, TITLE, Asker("ben", "a better one", int(time.time() * 1000)))
    said(ModelEvaluated(TITLE, package.digest, verdict="passed"))
    project.start("release-0")
    assert [each.type for each in ask(ApprovalGiven, "ann").answers] == ["release_started"]
    promoted = ask(PromotionAsked, "ann", to="champion")
    assert [each.type for each in promoted.answers] == ["release_promoted"]
    project.stop("release-0", signal.SIGKILL)
    publish_plan(project.connection, plans, project.name, logistic("1"), uri, "by hand, while it is away")
    project.start("release-0")
    back = ask(RollbackAsked, "ben")
    assert back.refused, "who wrote the plan by hand ended it"
    facts = history(project.connection, plans, project.name)
    assert [(fact.version, fact.actor == "release") for fact in facts] == [
        (1, False), (2, True), (3, True), (4, False),
    ]  # fmt: skip  # a row of plans
    end = time.monotonic() + WITHIN_S
    while (found := check_ledger(settings, project.contracts)).behind and time.monotonic() < end:
        time.sleep(0.2)
    assert project.stop("release-0") == 0
    assert (list(found.faults), list(found.behind)) == ([], [])
    entries = ledger_entries(settings, project.contracts, LedgerWish(model=TITLE))
    live = live_plan(settings, project.contracts, facts[2].time)
    assert (live.plan_version, live.decision and live.decision.type) == (3, "release_promoted")
    arms = {arm.arm: (arm.model, [each.actor for each in arm.people]) for arm in live.arms}
    assert arms == {"champion": (TITLE, ["ann"] * 3), "challenger": ("rival@1", [])}
    with pytest.raises(ConfigurationError, match="has no plan of 1970-01-01"):
        live_plan(settings, project.contracts, 0)
    assert [entry.type for entry in entries if entry.actor == "release" and entry.type != "plan"] == [
        "release_refused", "approval_requested", "release_started", "release_promoted", "release_superseded",
        "release_refused",
    ]  # fmt: skip  # a row of kinds
    assert verified(project)[0] == 0
    cut_end_off(project, 2)
    code, found = verified(project)
    assert code == 1
    assert {fault["kind"] for fault in found["faults"]} == {"cut off"}
    assert len(found["faults"]) == 2
    assert found["behind"] == []


def verified(project: Project) -> tuple[int, dict[str, Any]]:
    """Exit code and findings of `headrace ledger verify`."""
    words = ["ledger", "verify", str(project.path), "--bootstrap", project.bootstrap, "--json"]
    argv = [sys.executable, "-m", "headrace.cli", *words]
    ran = subprocess.run(argv, cwd=project.directory, capture_output=True, text=True)
    return ran.returncode, json.loads(ran.stdout)


def cut_end_off(project: Project, entries: int) -> None:
    """Write the ledger's topic anew, without its last entries."""
    channel, admin = project.contracts.channel("ledger"), Admin(project.bootstrap)
    there = ranges(project.connection, channel.name)
    kept = [message.value() or b"" for part in messages(project.connection, channel.name, there) for message in part]
    admin.delete([channel.name])
    end = time.monotonic() + WITHIN_S
    while channel.name in admin.topics():
        assert time.monotonic() < end
        time.sleep(0.1)  # Asks the broker: there is no event to wait for.
    admin.create(channel.name, 1, 1, {"cleanup.policy": "delete"})
    producer = Producer(project.connection)
    producer.send(channel.name, [project.name] * (len(kept) - entries), kept[:-entries])
    producer.flush()
