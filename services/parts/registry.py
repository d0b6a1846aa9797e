"""A real schema registry with Confluent's API (Apicurio) on this machine."""

from __future__ import annotations

import urllib.request
from pathlib import Path

from services.kit.errors import ConfigurationError
from services.parts import process
from services.parts.maven import Report, fetch, java, silent
from services.parts.process import Process

# About 190 MB resident; it serves a few hundred requests in a session.
_JVM = ["-Xmx128m", "-XX:MaxMetaspaceSize=160m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xss512k"]


class Registry:
    """A registry that lives in a directory: its port is found there again; its schemas are in memory only.

    Args:
        directory: takes `registry.port` and the log.
        with_parent: the kernel kills it when the process that started it ends.
    """

    def __init__(self, directory: Path, *, with_parent: bool = False) -> None:
        self.directory = directory.absolute()
        self.with_parent = with_parent
        note = self.directory / "registry.port"
        if not note.exists():
            process.write(note, str(process.free_ports(1)[0]))
        self.port = int(note.read_text())

    @property
    def url(self) -> str:
        """What a Confluent client takes as `schema.registry.url`; stays the same over restarts."""
        return f"http://127.0.0.1:{self.port}/apis/ccompat/v7"

    def start(self, within: float = 60.0, report: Report = silent) -> None:
        """Start it unless it runs and return when it is ready.

        Raises:
            ConfigurationError: Java or Maven is missing, or it cannot be fetched.
            ProcessDied: it ended, or was not ready within `within` seconds; with the end of its log.
        """
        unpacked = fetch("registry", report)
        report("starting registry", 0.0)
        running = self.process() or self._start(unpacked)
        running.wait_until(self._answers, within)
        report("starting registry", 1.0)

    def stop(self) -> None:
        """End it; nothing happens on a repeat."""
        if running := self.process():
            running.stop()

    def kill(self) -> None:
        """SIGKILL."""
        if running := self.process():
            running.kill()

    def process(self) -> Process | None:
        """Its running process, if any."""
        return process.find("registry", self.directory)

    def running(self) -> bool:
        """Whether its process runs."""
        return self.process() is not None

    def _start(self, unpacked: Path) -> Process:
        # The archive carries attributes under PaxHeaders.X, in files of the same names.
        jars = sorted(unpacked.glob("apicurio-registry-app-*-runner.jar"))
        if not jars:
            raise ConfigurationError(f"{unpacked} holds no registry; delete the directory, it is fetched again")
        env = {
            "QUARKUS_HTTP_HOST": "127.0.0.1",
            "QUARKUS_HTTP_PORT": str(self.port),
            "APICURIO_RULES_GLOBAL_COMPATIBILITY": "BACKWARD",  # Confluent's default; Apicurio's is NONE
            "APICURIO_DATASOURCE_JDBC_INITIAL_SIZE": "2",
            "APICURIO_DATASOURCE_JDBC_MIN_SIZE": "2",
        }
        argv = [java(), *_JVM, "-jar", str(jars[0])]
        return process.start("registry", argv, self.directory, env=env, with_parent=self.with_parent)

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health/ready", timeout=2.0) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False
