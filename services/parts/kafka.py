"""A real Kafka (KRaft) on this machine, of one node or more, without Docker and without root."""

from __future__ import annotations

import base64
import json
import subprocess
import uuid
from collections.abc import Mapping
from pathlib import Path

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from services.kit.errors import ConfigurationError
from services.parts import process
from services.parts.maven import Report, fetch, java, silent
from services.parts.process import Process

_LOGGING = (
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSS",
)


class Kafka:
    """A cluster that lives in a directory: its ports, logs and data are found there again by the next invocation.

    Args:
        directory: takes `node-N.*` and the nodes' data; an existing cluster there is taken over as it is.
        nodes: how many, each broker and controller at once; replication factors follow.
        heap: of each node's Java machine, as in `-Xmx`.
        overrides: broker settings beside or instead of ours.
        with_parent: the kernel kills the nodes when the process that started them ends.
    """

    def __init__(
        self,
        directory: Path,
        nodes: int = 1,
        *,
        heap: str = "1g",
        overrides: Mapping[str, str] | None = None,
        with_parent: bool = False,
    ) -> None:
        self.directory = directory.absolute()
        self.heap = heap
        self.overrides = dict(overrides or {})
        self.with_parent = with_parent
        self.cluster_id, self.ports = self._identity(nodes)

    @property
    def nodes(self) -> range:
        """The node numbers, from 1."""
        return range(1, len(self.ports) + 1)

    @property
    def bootstrap(self) -> str:
        """For `bootstrap.servers`; stays the same over restarts."""
        return ",".join(f"127.0.0.1:{client}" for client, _ in self.ports)

    def start(self, within: float = 90.0, report: Report = silent) -> None:
        """Start the nodes that do not run and return when all of them answer a metadata request.

        Raises:
            ConfigurationError: Java or Maven is missing, or the jars cannot be fetched.
            ProcessDied: a node ended, or was not ready within `within` seconds; with the end of its log.
        """
        jars = fetch("kafka", report)
        report("starting kafka", 0.0)
        for node in self.nodes:
            if self.process(node) is None:
                self._start(node, jars)
        first, *others = [self._running(node) for node in self.nodes]
        for node, running in zip(self.nodes, (first, *others), strict=True):
            running.wait_until(lambda node=node: process.listening(self.ports[node - 1][0]), within)  # type: ignore[misc]  # the default binds the loop variable
        first.wait_until(self._answers, within)
        report("starting kafka", 1.0)

    def stop(self) -> None:
        """Shut all nodes down in order; nothing happens on a repeat."""
        for node in reversed(self.nodes):
            if running := self.process(node):
                running.stop()

    def kill(self, node: int = 1) -> None:
        """SIGKILL one node; `start` brings it back with its data."""
        if running := self.process(node):
            running.kill()

    def process(self, node: int = 1) -> Process | None:
        """The running process of a node, if any."""
        return process.find(f"node-{node}", self.directory)

    def running(self) -> bool:
        """Whether every node's process runs."""
        return all(self.process(node) is not None for node in self.nodes)

    def _running(self, node: int) -> Process:
        running = self.process(node)
        if running is None:
            raise process.ProcessDied(f"node {node} of Kafka ended at once; see {self.directory}/node-{node}.log")
        return running

    def _identity(self, nodes: int) -> tuple[str, list[tuple[int, int]]]:
        """Cluster id and (client, controller) ports of every node: those noted in the directory, else new ones."""
        note = self.directory / "cluster.json"
        if note.exists():
            noted = json.loads(note.read_text())
            if len(noted["ports"]) != nodes:
                raise ConfigurationError(
                    f"{self.directory} holds a cluster of {len(noted['ports'])} nodes, not {nodes}"
                )
            return noted["id"], [(client, controller) for client, controller in noted["ports"]]
        free = process.free_ports(2 * nodes)
        ports = list(zip(free[::2], free[1::2], strict=True))
        cluster_id = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        process.write(note, json.dumps({"id": cluster_id, "ports": ports}))
        return cluster_id, ports

    def _start(self, node: int, jars: Path) -> None:
        settings = self.directory / f"node-{node}.properties"
        settings.write_text("".join(f"{key}={value}\n" for key, value in self._settings(node).items()))
        base = [java(), "-cp", f"{jars}/*", *_LOGGING]
        if not (self.directory / f"data-{node}" / "meta.properties").exists():
            formatting = [*base, "-XX:TieredStopAtLevel=1", "kafka.tools.StorageTool", "format"]
            done = subprocess.run(
                [*formatting, "-t", self.cluster_id, "-c", str(settings)], capture_output=True, text=True, check=False
            )
            if done.returncode != 0:
                raise ConfigurationError(f"Kafka could not format its storage:\n{done.stdout}{done.stderr}")
        process.start(
            f"node-{node}",
            [*base, "-Xms256m", f"-Xmx{self.heap}", "kafka.Kafka", str(settings)],
            self.directory,
            with_parent=self.with_parent,
        )

    def _settings(self, node: int) -> dict[str, str]:
        client, controller = self.ports[node - 1]
        replicas, in_sync = (3, 2) if len(self.ports) >= 3 else (1, 1)
        voters = ",".join(f"{n}@127.0.0.1:{port}" for n, (_, port) in zip(self.nodes, self.ports, strict=True))
        return {
            "process.roles": "broker,controller",
            "node.id": str(node),
            "controller.quorum.voters": voters,
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
            "transaction.state.log.replication.factor": str(replicas),
            "transaction.state.log.min.isr": str(in_sync),
            "transaction.state.log.num.partitions": "4",
            "share.coordinator.state.topic.replication.factor": str(replicas),
            "share.coordinator.state.topic.min.isr": str(in_sync),
            "group.initial.rebalance.delay.ms": "0",
            **self.overrides,
        }

    def _answers(self) -> bool:
        """Whether the cluster names all its brokers in answer to a metadata request."""
        client = AdminClient({"bootstrap.servers": self.bootstrap, "log_level": 0})
        try:
            return len(client.list_topics(timeout=2.0).brokers) == len(self.ports)
        except KafkaException:
            return False
