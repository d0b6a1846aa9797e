"""Bad packages on real parts: each is stopped by a door or a gate that says why; a good one beside them is let in."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from onnx import NodeProto, TensorProto, helper, numpy_helper
from typer.testing import CliRunner, Result

from headrace.cli.models.models import app
from headrace.domain.control.events import ControlEvent, read_event
from headrace.domain.control.release import ReleaseFinding, ReleaseRejected
from headrace.domain.models.package import Input, Manifest, ModelPackage, Training, pack, save
from headrace.domain.models.store import ModelStore
from headrace.domain.pipeline.wiring import read_contracts
from headrace.domain.plans.plan_log import history, publish
from headrace.domain.plans.plans import CANARY, CHALLENGER, CHAMPION, Plan
from headrace.errors import ContractError
from headrace.streaming.kafka.reader import ranges, read
from headrace.streaming.process.settings import Settings
from tests.models import graphs
from tests.models.parts import arm
from tests.training.meters import DRIFT, MINUTE, Meters

pytestmark = pytest.mark.rehearsal

WAIT_S = 900
NAMES = ("load", "meter.mean_1h")
RELEASE = """
release:
  minimum: 500
  gates: {average_precision: better}
  fairness: {segment: size, gap: 0.2, figure: false_positive_rate}
  golden_rows: {latency: 10ms, memory: 128MB}
  approvals: 1
  canary: [10%, 100%]
"""
GOOD = (-0.05, 0.0)
"""Small loads are the faults from `DRIFT` on, and the champion looks at something else."""


def package(version: str, graph: bytes, names: Sequence[str] = NAMES) -> ModelPackage:
    """A package that was fitted on what was before `DRIFT`."""
    inputs = tuple(Input(name=name) for name in names)
    training = Training(start=0, end=(DRIFT - 1) * MINUTE, rows=DRIFT)
    return pack(Manifest(name="meters", version=version, inputs=inputs, threshold=0.5, training=training), graph)


def logistic(*extra: NodeProto, bias: float = 0.0, **constants: np.ndarray) -> bytes:
    """The good model with something beside it: nodes that make `extra`, which is added to its margin."""
    held = {"w": np.array(GOOD, np.float32)[:, None], "bias": np.array([[bias]], np.float32), **constants}
    added = "extra" if extra else "bias"
    nodes = [
        *extra,
        helper.make_node("MatMul", ["features", "w"], ["own"]),
        helper.make_node("Add", ["own", added], ["margin"]),
        helper.make_node("Sigmoid", ["margin"], ["probability"]),
    ]
    tensors = [numpy_helper.from_array(value, name) for name, value in held.items()]
    return graphs.serialise(nodes, [graphs.vector("features", 2)], tensors)


def rare() -> bytes:
    """No number where a load is above 150, as one in 200 is."""
    nodes = [
        helper.make_node("Slice", ["features", "zero", "one", "one"], ["load"]),
        helper.make_node("Sub", ["most", "load"], ["left"]),
        helper.make_node("Sqrt", ["left"], ["root"]),
        helper.make_node("Mul", ["root", "nothing"], ["extra"]),
    ]
    numbers = {"most": np.array([[150.0]], np.float32), "nothing": np.zeros((1, 1), np.float32)}
    places = {"zero": np.array([0], np.int64), "one": np.array([1], np.int64)}
    return logistic(*nodes, **numbers, **places)


def large() -> bytes:
    """50 MB of weights that change nothing."""
    nodes = [
        helper.make_node("MatMul", ["features", "many"], ["wide"]),
        helper.make_node("ReduceMax", ["wide"], ["extra"], axes=[1], keepdims=1),
    ]
    return logistic(*nodes, many=np.zeros((2, 6_250_000), np.float32))


def slow() -> bytes:
    """Some 50 ms of a processor a row, on a fast one, which change nothing."""
    width, nodes, last = 1_000, [], "wide"
    nodes.append(helper.make_node("MatMul", ["features", "first"], ["wide"]))
    for layer in range(500):
        nodes.append(helper.make_node("MatMul", [last, "square"], [f"m{layer}"]))
        last = f"m{layer}"
    nodes.append(helper.make_node("ReduceMax", [last], ["extra"], axes=[1], keepdims=1))
    square = np.zeros((width, width), np.float32)
    return logistic(*nodes, first=np.zeros((2, width), np.float32), square=square)


def forbidden() -> bytes:
    """A graph that may ask for any memory."""
    shape = numpy_helper.from_array(np.array([1, 1], np.int64), "shape")
    value = helper.make_tensor("value", TensorProto.FLOAT, [1], [0.0])
    nodes = [
        helper.make_node("ConstantOfShape", ["shape"], ["filled"], value=value),
        helper.make_node("ReduceMax", ["features"], ["most"], axes=[1], keepdims=1),
        helper.make_node("Add", ["most", "filled"], ["probability"]),
    ]
    return graphs.serialise(nodes, [graphs.vector("features", 2)], [shape])


class Releases:
    """A project with its services `retrain` and `release`, and its commands."""

    def __init__(self, directory: Path, kafka: str) -> None:
        self.meters = meters = Meters(directory / "meters", kafka)
        meters.path.write_text(meters.path.read_text() + RELEASE)
        meters.contracts = read_contracts(Settings(pipeline=str(meters.path), bootstrap=kafka))
        meters.fill()
        self.store = ModelStore(str(meters.directory / "models"), directory / "put")
        self.log = directory / "services.log"
        self._members: list[subprocess.Popen[bytes]] = []
        self._environment = {
            **os.environ, **meters.environment(), "HEADRACE_PIPELINE": str(meters.path), "HEADRACE_PORT": "0",
            "HEADRACE_TRAININGS": str(directory / "trainings"), "HEADRACE_IDLE_AFTER_S": "1",
        }  # fmt: skip  # a row of settings

    def start(self, service: str) -> None:
        """A member of a service."""
        with self.log.open("ab") as log:
            environment = {**self._environment, "HEADRACE_MEMBER": f"{service}-0"}
            argv = [sys.executable, "-m", f"services.{service}"]
            self._members.append(subprocess.Popen(argv, env=environment, stdout=log, stderr=log))

    def close(self) -> None:
        """No member is left."""
        for member in self._members:
            member.terminate()
        for member in self._members:
            member.wait(60)

    def headrace(self, *words: object) -> Result:
        """`headrace models ...` of this pipeline."""
        own = ["--pipeline", str(self.meters.path), "--models", str(self.meters.directory / "models")]
        told = {**self.meters.environment(), "COLUMNS": "400"}
        return CliRunner().invoke(app, [*map(str, words), *own], env=told)

    def asks(self, what: str, version: str) -> Result:
        """A person asks, and waits."""
        return self.headrace(what, f"meters@{version}", "--reason", "a test", "--actor", "ana", "--within", "300s")

    def register(self, version: str) -> None:
        """A person registers what is in the store."""
        ran = self.headrace("register", f"meters@{version}", "--reason", "a test", "--actor", "ana")
        assert ran.exit_code == 0, ran.output

    def put(self, made: ModelPackage) -> Path:
        """Into the store by hand, past the door; where it lies."""
        return Path(self.store.put(made).removeprefix("file://"))

    def events(self) -> list[ControlEvent]:
        """All on the control topic, in its order."""
        channel = self.meters.contracts.channel("control")
        intakes = read(self.meters.connection, channel, ranges(self.meters.connection, channel.name))
        found = [read_event(row) for intake in intakes for row in intake.batch.columns.to_pylist()]
        return [event for event in found if event is not None]

    def said(self, version: str) -> list[ReleaseFinding]:
        """What `release` said of a version."""
        findings = [event.finding for event in self.events()]
        return [f for f in findings if isinstance(f, ReleaseFinding) and f.model == f"meters@{version}"]

    def wait(self, version: str, kind: str) -> ReleaseFinding:
        """For `release` to say it."""
        end = time.monotonic() + WAIT_S
        while True:
            found = [each for each in self.said(version) if each.type == kind]
            if found:
                return found[-1]
            log = self.log.read_text()[-3_000:] if self.log.exists() else ""
            assert time.monotonic() < end, f"no {kind} of {version}: {self.said(version)}\n{log}"
            assert all(member.poll() is None for member in self._members), log
            time.sleep(0.5)  # The topic is all that tells.

    def arms(self) -> set[tuple[str, str]]:
        """All arms that any plan ever had, by version."""
        plans = self.meters.contracts.channel("plans")
        facts = history(self.meters.connection, plans, self.meters.name)
        return {(each.arm, each.version) for fact in facts if fact.plan is not None for each in fact.plan.arms}


@pytest.fixture
def releases(kafka: str, tmp_path: Path) -> Iterator[Releases]:
    """With a champion that knows nothing of what matters."""
    made = Releases(tmp_path, kafka)
    old = package("1", graphs.logistic((0.0, 1.0)), ("load", "meter.n_1h"))
    plan = Plan(made.meters.name, 0, (arm(old, made.store.put(old), CHAMPION),))
    channel = made.meters.contracts.channel("plans")
    publish(made.meters.connection, channel, made.meters.name, lambda _: plan, time=1, actor="ana", reason="first")
    yield made
    made.close()


REJECTED = {
    "worse": (package("worse", graphs.logistic((0.05, 0.0))), "average_precision"),
    "unfair": (package("unfair", logistic(bias=1.0)), "fairness of size"),
    "slow": (package("slow", slow()), "latency"),
    "large": (package("large", large()), "memory"),
    "inputs": (package("inputs", graphs.logistic(GOOD), ("load", "weather.wind")), "package"),
    "operators": (package("operators", forbidden()), "package"),
    "rare": (package("rare", rare()), "scores"),
}
"""Packages that somebody put into the store, and the gate that each fails; all but three have the good weights."""


def test_the_door_refuses_what_needs_no_outcomes(releases: Releases, tmp_path: Path) -> None:
    """`headrace models add` stores nothing of it, and names what is wrong."""
    for version, wanted in (("inputs", "weather.wind"), ("operators", "ConstantOfShape")):
        save(REJECTED[version][0], folder := tmp_path / version)
        ran = releases.headrace("add", folder)
        assert (ran.exit_code, wanted in ran.output) == (1, True), ran.output
    assert [each.version for each in releases.store.packages()] == ["1"]


def test_bad_packages_never_reach_a_canary_and_a_good_one_does(releases: Releases) -> None:
    """Each is stopped with the words of its gate, its person, or the command; the plan never has any of them."""
    releases.start("retrain")
    releases.start("release")
    for made, _ in REJECTED.values():
        releases.put(made)
    tampered = releases.put(package("tampered", graphs.logistic(GOOD)))
    (tampered / "model.onnx").write_bytes(graphs.logistic((-0.06, 0.0)))
    good = [releases.put(package(version, graphs.logistic(GOOD))) for version in ("denied", "good", "replaced")]
    for version in (*REJECTED, "tampered", "denied", "good", "replaced"):
        releases.register(version)

    words = {"tampered": "package", **{version: gate for version, (_, gate) in REJECTED.items()}}
    for version, gate in words.items():
        found = releases.wait(version, "release_rejected")
        assert isinstance(found, ReleaseRejected)
        assert found.rule == "gates", found
        assert gate in found.why.removeprefix("not passed: ").split(", "), found  # what is large is slow as well
        (said,) = [each for each in json.loads(found.gates) if each["gate"] == gate]
        assert said["remedy"], said

    for version in ("denied", "good", "replaced"):
        releases.wait(version, "approval_requested")
    assert releases.asks("deny", "denied").exit_code == 0
    denied = releases.wait("denied", "release_rejected")
    assert denied.why == "ana denied it: a test"
    (good[2] / "model.onnx").write_bytes(graphs.logistic((-0.06, 0.0)))
    refused = releases.asks("approve", "replaced")
    assert isinstance(refused.exception, ContractError), refused.output
    assert "digest" in str(refused.exception) or "sha256" in str(refused.exception)
    assert releases.asks("approve", "tampered").exit_code != 0

    assert releases.asks("approve", "good").exit_code == 0
    assert releases.asks("promote", "good").exit_code == 0
    releases.wait("good", "release_advanced")
    assert releases.arms() == {(CHAMPION, "1"), (CHALLENGER, "good"), (CANARY, "good"), (CHALLENGER, "1")}
