"""Who takes part in the Handbook's table, and how each is trained: from the topics, as `headrace train` does it."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pyarrow as pa

from headrace.domain.models.package import ModelPackage, load
from headrace.domain.models.store import ModelStore
from headrace.domain.plans.plans import CHAMPION, SHADOW, Arm
from headrace.domain.training.bootstrap import train_offline
from headrace.operations.models.training import revision, used
from headrace.streaming.kafka.reader import read_topic
from loadtests.protocol import AS_OF, TRAINED, Contender
from tests.members import ROOT
from tests.project import Project


@dataclass(frozen=True, slots=True)
class Entry:
    """A model that takes part: a contender with a seed."""

    contender: Contender
    seed: int

    @property
    def version(self) -> str:
        """Of its package."""
        return f"{self.contender.title.lower().replace(',', '').replace(' ', '-')}-{self.seed}"


def trained(
    project: Project, entries: Sequence[Entry], champion: Entry, features: pa.Table, say: Callable[[str], None]
) -> tuple[list[Arm], tuple[int, int]]:
    """Train all; the champion by the command as well, which must make the same model. Also rows and frauds."""
    labels, _ = read_topic(project.connection, project.contracts.channel("labels"))
    offsets = {f"{project.name}.{name}": used(rows) for name, rows in (("features", features), ("labels", labels))}
    store = ModelStore(str(project.directory / "models"), project.directory / "trained")
    code = revision()
    arms, trained = [], (0, 0)
    for entry in sorted(entries, key=lambda entry: entry != champion):  # first what may differ
        contender, begin = entry.contender, time.monotonic()
        package, uri = train_offline(
            project.contracts.pipeline,
            features,
            labels,
            store,
            entry.version,
            trainer=contender.trainer,
            parameters=contender.parameters,
            seed=entry.seed,
            holdout=0.0,
            as_of=AS_OF,
            revision=code,
            offsets=offsets,
        )
        say(f"  {entry.version}: {time.monotonic() - begin:.1f} s")
        manifest = package.manifest
        assert manifest.training is not None
        trained = manifest.training.rows, manifest.training.positives
        if entry == champion:
            made = load(store.fetch(*_by_command(project, entry)))
            assert made.graph == package.graph, f"headrace train made another {entry.version}"
        arms.append(_arm(package, uri, CHAMPION if entry == champion else SHADOW))
    return arms, trained


def _arm(package: ModelPackage, uri: str, kind: str) -> Arm:
    return Arm(kind, package.manifest.name, package.manifest.version, package.digest, uri)


def _by_command(project: Project, entry: Entry) -> tuple[str, str]:
    """Where `headrace train` puts what it makes of the same topics and choices, and its digest."""
    contender = entry.contender
    command = [sys.executable, "-m", "headrace.cli", "train", str(project.path), "--no-plan", "--json"]
    days = {"from": TRAINED[0], "to": TRAINED[1], "as-of": AS_OF}
    command += [text for name, at in days.items() for text in (f"--{name}", str(at))]
    command += ["--trainer", contender.trainer, "--holdout", "0", "--seed", str(entry.seed)]
    command += ["--model-version", entry.version]
    command += [text for name, value in contender.parameters.items() for text in ("--param", f"{name}={value}")]
    environment = project.environment("train", HEADRACE_HOME=str(project.directory / "home"))
    ran = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600, check=False)
    assert ran.returncode == 0, ran.stdout[-1000:] + ran.stderr[-3000:]
    told = json.loads(ran.stdout)
    return told["uri"], told["digest"]
