"""Who writes and who reads each topic: what the files say is what the services are wired to."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest

from headrace.domain.pipeline.check import load
from headrace.domain.pipeline.notification.spec import Notify
from headrace.domain.pipeline.workspace import Workspace
from headrace.operations.services import EACH_VIEW, SERVICES, inputs
from headrace.streaming.contracts.topics import load_topics
from headrace.streaming.process.member import ServiceMember
from headrace.streaming.task.runner import Runner

ROOT = Path(__file__).parents[2]
TOPICS = load_topics([ROOT / "topics"])


@pytest.fixture(params=SERVICES)
def runner(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, ServiceMember]:
    """A service of the pipeline that comes with headrace; nothing is opened before it runs."""
    kind = SERVICES[request.param]
    pipeline = str(ROOT / "pipelines/card_fraud.yaml")
    cache = {"model_cache": tmp_path} if "model_cache" in kind.settings.model_fields else {}
    return request.param, kind.build(kind.settings(pipeline=pipeline, member="m", models=str(tmp_path), **cache))


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
    """Its input, facts and (with state) checkpoints are exactly the topics that name it as a consumer."""
    name, made = runner
    read = {topic_of(channel.logical) for channel in made.wiring.inputs} | {*made.wiring.facts}
    read |= {"checkpoints"} & {*made.written}
    assert read == {topic.topic for topic in TOPICS.values() if name in topic.consumers}
    if not isinstance(made, Runner):
        return
    assert tuple(channel.logical for channel in made.wiring.inputs) == made.service.inputs
    assert {*made.service.stateful} <= {*made.service.inputs}
    assert set(made.wiring.facts) == set(made.service.facts)


def test_the_registry_says_what_a_service_is(runner: tuple[str, ServiceMember]) -> None:
    """Its entry names all that the service is wired to, in order, and what it needs beside Kafka."""
    name, made = runner
    entry, path = SERVICES[name], ROOT / "pipelines/card_fraud.yaml"
    views = [f"view.{view.name}" for view in load(path, Workspace.of(path)).foreign_views]

    def named(topics: Iterable[str]) -> list[str]:
        return [each for topic in topics for each in (views if topic == EACH_VIEW else [topic])]

    assert [channel.logical for channel in made.wiring.inputs] == named(entry.reads)
    assert set(made.wiring.outputs) == set(named(entry.writes))
    assert set(made.wiring.facts) == set(entry.facts)
    assert bool(entry.state) == ("checkpoints" in made.written)
    assert (ROOT / "services" / name / "rescale.py").exists() == bool(entry.state)
    assert entry.models == ("model_cache" in entry.settings.model_fields)


def test_every_folder_of_services_is_in_the_registry() -> None:
    """And no entry is without one."""
    assert {path.parent.name for path in (ROOT / "services").glob("*/__main__.py")} == set(SERVICES)


def test_lag_is_measured_where_a_service_reads(runner: tuple[str, ServiceMember]) -> None:
    """`headrace lag` knows the group of every service, and all that it reads."""
    _, made = runner
    pipeline = load(ROOT / "pipelines/card_fraud.yaml", Workspace.of(ROOT / "pipelines/card_fraud.yaml"))
    read = inputs(replace(pipeline, notify=Notify()))
    assert read[made.wiring.group] == tuple(channel.name for channel in made.wiring.inputs)


def test_a_service_reads_all_that_its_topics_take(runner: tuple[str, ServiceMember]) -> None:
    """What we write is never too large for us to read; what strangers write is bounded below their topic's limit."""
    _, made = runner
    for channel in (*made.wiring.inputs, *made.wiring.outputs.values()):
        limit = int(TOPICS[topic_of(channel.logical)].config["max.message.bytes"])
        assert (channel.codec.max_bytes < limit) == (channel.logical in ("events", "labels"))


def test_no_topic_is_nobodys() -> None:
    """Each is written and read by somebody whom the tests above, or the command line's, hold to it."""
    known = {*SERVICES, "cli", "producers", "consumers"}
    for topic in TOPICS.values():
        assert {*topic.producers, *topic.consumers} <= known
