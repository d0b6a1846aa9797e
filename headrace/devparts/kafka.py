"""A real Kafka (KRaft) on this machine, of one node or more, without Docker and without root."""

from __future__ import annotations

import base64
import hashlib
import os
import shlex
import subprocess
import tempfile
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import ClassVar

# Readiness is a metadata request, which is not the services' business: hence not by headrace.streaming.kafka.
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from headrace.devparts import process
from headrace.devparts.lock import exclusive
from headrace.devparts.maven import Report, fetch, java, java_version, silent
from headrace.devparts.part import Part
from headrace.errors import ConfigurationError

_LOGGING = (
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSS",
)
_UTF8 = {"LC_ALL": "C.UTF-8"}
"""In a plain C locale Java reads the names of files as ASCII, and makes others where a letter is none."""
_BRIEF = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")


def class_archive(jars: Path, report: Report = silent) -> Path:
    """What Java makes of the broker's classes, with which a broker starts in half the time; made by the first caller.

    Empty where this Java makes none, or none that is whole: it would not start. Given that of another one, Java does
    without.

    Reference: JEP 350, dynamic class-data sharing archives.
    """
    java_of = hashlib.sha256(java_version(java()).encode()).hexdigest()[:12]
    archive = jars.with_name(f"{jars.name}-java-{java_of}.jsa")
    if archive.exists():
        return archive
    with exclusive(jars.with_name("kafka-classes.lock")):
        if not archive.exists():
            report("preparing kafka", 0.0)
            with tempfile.TemporaryDirectory(dir=jars.parent, prefix="kafka-classes-") as scratch:
                draft = Path(scratch, "classes.jsa")
                broker = Kafka(Path(scratch, "broker"), brief=True, with_parent=True)
                broker._draft = draft
                try:
                    broker.start()
                finally:
                    broker.stop(120.0)
                on = ["-Xshare:on", "-XX:+VerifySharedSpaces", f"-XX:SharedArchiveFile={draft}", "-cp", f"{jars}/*"]
                if subprocess.run([java(), *on, "-version"], capture_output=True, check=False).returncode != 0:
                    draft.unlink(missing_ok=True)
                    draft.touch()
                draft.rename(archive)
            report("preparing kafka", 1.0)
    return archive


def _escaped(value: str) -> str:
    r"""A value as Java reads it from a properties file, which is Latin-1 and gives backslashes and blanks a meaning.

    >>> _escaped("C:/a b/ü")
    'C:/a b/\\u00fc'
    """
    units = value.encode("utf-16-be")
    letters = (int.from_bytes(units[at : at + 2], "big") for at in range(0, len(units), 2))
    text = "".join(chr(code) if 32 <= code < 127 and code != 92 else f"\\u{code:04x}" for code in letters)
    return "\\" + text if text.startswith(" ") else text


class Kafka(Part):
    """A cluster whose data is in its directory.

    Args:
        directory: takes `kafka-N.*` and `data-N` of each node; an existing cluster there is taken over with its data.
        nodes: how many, each broker and controller at once; replication factors follow (3 from three nodes on).
        heap: of each node's Java machine, as in `-Xmx`.
        brief: compile the broker's code soon and not well, which is less work for a cluster that lives for minutes;
            otherwise as KAFKA_JVM_PERFORMANCE_OPTS says, which Kafka's own scripts go by.
        overrides: broker settings beside or instead of ours.
        with_parent: the kernel kills the nodes when the process that started them ends.
    """

    name = "kafka"
    ports_each: ClassVar[int] = 2  # for clients, for controllers

    def __init__(
        self,
        directory: Path,
        nodes: int = 1,
        *,
        heap: str = "1g",
        brief: bool = False,
        overrides: Mapping[str, str] | None = None,
        with_parent: bool = False,
    ) -> None:
        if "," in str(directory.absolute()):
            raise ConfigurationError(f"{directory}: Kafka takes no comma in the name of a directory; use another one")
        super().__init__(directory, nodes, with_parent=with_parent)
        self._draft: Path | None = None
        self.heap = heap
        self.brief = brief
        self.overrides = dict(overrides or {})

    @property
    def address(self) -> str:
        """For `bootstrap.servers`."""
        return ",".join(f"127.0.0.1:{port}" for port in self.ports[::2])

    def start(self, within: float = 90.0, report: Report = silent) -> None:
        """As `Part.start`; ready when every node is named in the answer to a metadata request."""
        jars = fetch("kafka", report)
        report("starting kafka", 0.0)
        nodes = [self.process(node) or self._start(node, jars, report) for node in range(1, self.count + 1)]
        for running, port in zip(nodes, self.ports[::2], strict=True):
            running.wait_until(partial(process.listening, port), within)
        nodes[0].wait_until(self._answers, within)
        report("starting kafka", 1.0)

    def _start(self, node: int, jars: Path, report: Report) -> process.Process:
        settings = self.directory / f"kafka-{node}.properties"
        settings.write_text(
            "".join(f"{key}={_escaped(value)}\n" for key, value in self._settings(node).items()), "ascii"
        )
        archive = class_archive(jars, report) if self._draft is None else None
        shared = (f"-XX:SharedArchiveFile={archive}",) if archive and archive.stat().st_size else ()
        base = [java(), "-cp", f"{jars}/*", *shared, *_LOGGING]
        if not (self.directory / f"data-{node}" / "meta.properties").exists():
            self._format([*base, *_BRIEF], settings)
        brief = _BRIEF if self.brief else shlex.split(os.environ.get("KAFKA_JVM_PERFORMANCE_OPTS", ""))
        dump = () if self._draft is None else (f"-XX:ArchiveClassesAtExit={self._draft}",)
        argv = [*base, *dump, *brief, "-Xms256m", f"-Xmx{self.heap}", "kafka.Kafka", str(settings)]
        return process.start(f"kafka-{node}", argv, self.directory, env=_UTF8, with_parent=self.with_parent)

    def _format(self, java_argv: list[str], settings: Path) -> None:
        cluster = base64.urlsafe_b64encode(self.identity.bytes).decode().rstrip("=")
        tool = [*java_argv, "kafka.tools.StorageTool", "format", f"--cluster-id={cluster}"]
        # Formatted meanwhile: by the tool of a start that was killed, which itself went on.
        argv = [*tool, "--ignore-formatted", "-c", str(settings)]
        env = {**os.environ, **_UTF8}
        done = subprocess.run(argv, capture_output=True, text=True, check=False, env=env, encoding="utf-8")
        if done.returncode != 0:
            raise ConfigurationError(f"Kafka could not format its storage:\n{done.stdout}{done.stderr}")

    def _settings(self, node: int) -> dict[str, str]:
        clients, controllers = self.ports[::2], self.ports[1::2]
        client, controller = clients[node - 1], controllers[node - 1]
        replicas, in_sync = (3, 2) if self.count >= 3 else (1, 1)
        return {
            "process.roles": "broker,controller",
            "node.id": str(node),
            "controller.quorum.voters": ",".join(f"{n}@127.0.0.1:{port}" for n, port in enumerate(controllers, 1)),
            "listeners": f"PLAINTEXT://127.0.0.1:{client},CONTROLLER://127.0.0.1:{controller}",
            "advertised.listeners": f"PLAINTEXT://127.0.0.1:{client}",
            "controller.listener.names": "CONTROLLER",
            "inter.broker.listener.name": "PLAINTEXT",
            "log.dirs": str(self.directory / f"data-{node}"),
            "auto.create.topics.enable": "false",
            "default.replication.factor": str(replicas),
            "min.insync.replicas": str(in_sync),
            "offsets.topic.replication.factor": str(replicas),
            "offsets.topic.num.partitions": "4",
            # As long as records are kept at most: state is found by the group's offsets, which a pause must not lose.
            "offsets.retention.minutes": "576000",
            "transaction.state.log.replication.factor": str(replicas),
            "transaction.state.log.min.isr": str(in_sync),
            "transaction.state.log.num.partitions": "4",
            "share.coordinator.state.topic.replication.factor": str(replicas),
            "share.coordinator.state.topic.min.isr": str(in_sync),
            "group.initial.rebalance.delay.ms": "0",
            **self.overrides,
        }

    def _answers(self) -> bool:
        client = AdminClient({"bootstrap.servers": self.address, "log_level": 0})
        try:
            return len(client.list_topics(timeout=2.0).brokers) == self.count
        except KafkaException:
            return False
