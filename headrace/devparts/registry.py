"""A real schema registry with Confluent's API (Apicurio) on this machine."""

from __future__ import annotations

import urllib.request
from pathlib import Path

from headrace.devparts import process
from headrace.devparts.maven import Report, fetch, java, silent
from headrace.devparts.part import Part
from headrace.errors import ConfigurationError

# About 190 MB resident; it serves a few hundred requests in its life.
_JVM = ("-Xmx128m", "-XX:MaxMetaspaceSize=160m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xss512k")


class Registry(Part):
    """A registry whose schemas are in memory only: a restart forgets them."""

    name = "registry"

    @property
    def address(self) -> str:
        """What a Confluent client takes as `schema.registry.url`."""
        return f"http://127.0.0.1:{self.ports[0]}/apis/ccompat/v7"

    def start(self, within: float = 60.0, report: Report = silent) -> None:
        """As `Part.start`; ready when it says so."""
        unpacked = fetch("registry", report)
        report("starting registry", 0.0)
        (self.process() or self._start(unpacked)).wait_until(self._answers, within)
        self._require_compatibility()
        report("starting registry", 1.0)

    def _start(self, unpacked: Path) -> process.Process:
        # Not rglob: the archive carries attributes under PaxHeaders.X, in files of the same names.
        jars = sorted(unpacked.glob("apicurio-registry-app-*-runner.jar"))
        if not jars:
            raise ConfigurationError(f"{unpacked} holds no registry; delete the directory, it is fetched again")
        env = {
            "LC_ALL": "C.UTF-8",
            "QUARKUS_HTTP_HOST": "127.0.0.1",
            "QUARKUS_HTTP_PORT": str(self.ports[0]),
            "APICURIO_DATASOURCE_JDBC_INITIAL_SIZE": "2",
            "APICURIO_DATASOURCE_JDBC_MIN_SIZE": "2",
        }
        argv = [java(), *_JVM, "-jar", str(jars[0])]
        return process.start("registry-1", argv, self.directory, env=env, with_parent=self.with_parent)

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.ports[0]}/health/ready", timeout=2.0) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def _require_compatibility(self) -> None:
        """Have new versions read what old ones wrote, as Confluent does by default; Apicurio checks nothing."""
        # By request: the variable for it holds too, but GET /config would go on saying NONE.
        request = urllib.request.Request(
            f"{self.address}/config",
            data=b'{"compatibility": "BACKWARD"}',
            method="PUT",
            headers={"Content-Type": "application/vnd.schemaregistry.v1+json"},
        )
        with urllib.request.urlopen(request, timeout=10.0):
            pass
