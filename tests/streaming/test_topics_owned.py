"""Who writes and who reads each topic: what the files say is what the services are wired to."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest

from headrace.domain.pipeline.check import load
from headrace.domain.pipeline.feed.spec import EVENTS_FEED, LABELS_FEED
from headrace.domain.pipeline.kpi.spec import KpiRule
from headrace.domain.pipeline.notification.spec import Notify
from headrace.domain.pipeline.wiring import Contracts
from headrace.domain.pipeline.workspace import Workspace
from headrace.operations.services import EACH_VIEW, SERVICES, inputs
from headrace.streaming.contracts.topics import load_topics
from headrace.streaming.kafka.bindings import Channel
from headrace.streaming.process.member import ServiceMember
from headrace.streaming.task.runner import Runner

ROOT = Path(__file__).parents[2]
TOPICS = load_topics([ROOT / "topics"])
FEEDS = (EVENTS_FEED, LABELS_FEED)
READ_FOR = {
    "headrace/domain/training/job": "retrain",
    "headrace/domain/evaluation": "retrain",
    "headrace/domain/ledger": "release",
}
"""Modules that read topics by their names, and the service that has them do it."""


def pipeline_of(name: str) -> Path:
    """A pipeline that has work for a service."""
    fed = "tests/formats/web/pipelines/web.yaml"
    return ROOT / (fed if SERVICES[name].profile else "pipelines/card_fraud.yaml")


def built(name: str, folder: Path) -> ServiceMember:
    """A service of the pipeline that comes with headrace; nothing is opened before it runs."""
    kind = SERVICES[name]
    pipeline, ids = str(pipeline_of(name)), ROOT / "schemas/ids.json"
    cache = {"model_cache": folder} if "model_cache" in kind.settings.model_fields else {}
    return kind.build(kind.settings(pipeline=pipeline, member="m", schema_ids=ids, models=str(folder), **cache))


@pytest.fixture(params=SERVICES)
def runner(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, ServiceMember]:
    """A service of the pipeline that comes with headrace; nothing is opened before it runs."""
    return request.param, built(request.param, tmp_path)


def topic_of(logical: str) -> str:
    """The topic file of a logical name: one file serves all views."""
    return logical.partition(".")[0]


def test_a_service_writes_what_the_files_say(runner: tuple[str, ServiceMember]) -> None:
    """Its outputs, dead letters and (with state) checkpoints are exactly the topics that name it as a producer."""
    name, made = runner
    written = {topic_of(logical) for logical in made.written}
    assert "dead-letters" in written or not isinstance(made, Runner)
    assert written == {topic.topic for topic in TOPICS.values() if name in topic.producers}


def test_a_service_reads_what_the_files_say(runner: tuple[str, ServiceMember]) -> None:
    """Input, facts, what it reads aside and checkpoints are exactly the topics that name it as a consumer."""
    name, made = runner
    own = (channel.logical for channel in made.wiring.inputs if channel.logical not in FEEDS)
    read = {*map(topic_of, own)} | {*made.wiring.facts, *made.wiring.aside}
    read |= {"checkpoints"} & {*made.written}
    assert read == {topic.topic for topic in TOPICS.values() if name in topic.consumers}
    if not isinstance(made, Runner):
        return
    assert tuple(channel.logical for channel in made.wiring.inputs) == made.service.inputs
    assert {*made.service.stateful} <= {*made.service.inputs}
    assert set(made.wiring.facts) == set(made.service.facts)


def test_a_service_opens_no_topic_beside_its_wiring(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Whatever topic it takes from the contracts when it is made is one that its wiring names, and so its entry."""
    asked: set[str] = set()
    channel = Contracts.channel

    def noted(contracts: Contracts, logical: str) -> Channel:
        asked.add(logical)
        return channel(contracts, logical)

    monkeypatch.setattr(Contracts, "channel", noted)
    for name in SERVICES:
        asked.clear()
        wiring = built(name, tmp_path).wiring
        channels = (*wiring.inputs, *wiring.outputs.values(), *wiring.facts.values(), *wiring.aside.values())
        assert asked <= {*(each.logical for each in channels), "dead-letters", "checkpoints"}, name


def test_what_jobs_and_checks_read_is_what_services_have_them_read() -> None:
    """A topic whose records a module reads by its name (not by a wiring) is one that the service behind it names."""
    for folder, service in READ_FOR.items():
        text = "".join(path.read_text() for path in sorted((ROOT / folder).rglob("*.py")))
        named = set(re.findall(r'\.channel\("([a-z-]+)"\)(?!\.codec|\.name)', text))
        assert named, f"{folder} reads nothing by name: take it from this list"
        entry = SERVICES[service]
        assert named <= {*entry.reads, *entry.facts, *entry.aside}, folder
    domain = {*(ROOT / "headrace/domain").rglob("*.py")} - {*(ROOT / "headrace/domain/pipeline").rglob("*.py")}
    told = {path for folder in READ_FOR for path in (ROOT / folder).rglob("*.py")}
    for path in domain - told:
        assert not re.search(r'contracts\.channel\("', path.read_text()), f"{path}: for whom does it read?"


def test_the_registry_says_what_a_service_is(runner: tuple[str, ServiceMember]) -> None:
    """Its entry names all that the service is wired to, in order, and what it needs beside Kafka."""
    name, made = runner
    entry, path = SERVICES[name], pipeline_of(name)
    views = [f"view.{view.name}" for view in load(path, Workspace.of(path)).foreign_views]

    def named(topics: Iterable[str]) -> list[str]:
        return [each for topic in topics for each in (views if topic == EACH_VIEW else [topic])]

    assert [channel.logical for channel in made.wiring.inputs] == named(entry.reads)
    assert set(made.wiring.outputs) == set(named(entry.writes))
    assert set(made.wiring.facts) == set(entry.facts)
    assert tuple(made.wiring.aside) == entry.aside
    assert bool(entry.state) == ("checkpoints" in made.written)
    assert (ROOT / "services" / name / "rescale.py").exists() == bool(entry.state)
    assert entry.models == ("model_cache" in entry.settings.model_fields)


def test_every_folder_of_services_is_in_the_registry() -> None:
    """And no entry is without one."""
    assert {path.parent.name for path in (ROOT / "services").glob("*/__main__.py")} == set(SERVICES)


def test_lag_is_measured_where_a_service_reads(runner: tuple[str, ServiceMember]) -> None:
    """`headrace lag` knows the group of every service, and all that it reads."""
    name, made = runner
    pipeline = load(pipeline_of(name), Workspace.of(pipeline_of(name)))
    rule = KpiRule("r", "drift", "evidence", high=1)
    read = inputs(replace(pipeline, notify=Notify(), kpis={"r": rule}))
    assert read[made.wiring.group] == tuple(channel.name for channel in made.wiring.inputs)


def test_a_service_reads_all_that_its_topics_take(runner: tuple[str, ServiceMember]) -> None:
    """What we write is never too large for us to read; what strangers write is bounded below their topic's limit."""
    _, made = runner
    for channel in (*made.wiring.inputs, *made.wiring.outputs.values()):
        if channel.logical in FEEDS:  # No topic of ours: what is too large of it is a dead letter.
            continue
        limit = int(TOPICS[topic_of(channel.logical)].config["max.message.bytes"])
        assert (channel.codec.max_bytes < limit) == (channel.logical in ("events", "labels"))


def test_no_topic_is_nobodys() -> None:
    """Each is written and read by somebody whom the tests above, or the command line's, hold to it."""
    known = {*SERVICES, "cli", "producers", "consumers"}
    for topic in TOPICS.values():
        assert {*topic.producers, *topic.consumers} <= known
