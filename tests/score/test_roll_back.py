"""From a hard breach to the last prediction by the bad canary: score and release as processes, on a real broker."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from onnx import NodeProto, TensorProto, helper, numpy_helper

from headrace.domain.control.base import ControlFinding
from headrace.domain.control.breach import ArmBreached
from headrace.domain.control.events import ControlEvent, read_event
from headrace.domain.control.release import ApprovalGiven, PromotionAsked
from headrace.domain.control.retrain import ModelEvaluated, ModelRegistered
from headrace.domain.models.package import ModelPackage, pack
from headrace.domain.models.store import ModelStore
from headrace.operations.control_tail import ControlTail
from tests.members import ROOT
from tests.models import graphs
from tests.models.live import INPUTS, logistic, made_up, manifest, plan, send
from tests.project import Project

pytestmark = pytest.mark.faults

A_SECOND, BATCH = 3_000, 150
"""Events that are published, and of one of its writes."""
BAD, WITHIN_S = 1e6, 240.0


@pytest.fixture
def project(kafka: str, redis_server: str, pipeline_name: str, tmp_path: Path) -> Iterator[Project]:
    """The card fraud pipeline under a name of its own, whose canary answers half at once."""
    made = Project(ROOT / "pipelines/card_fraud.yaml", pipeline_name, tmp_path / "project", kafka, redis_server, 2)
    made.path.write_text(made.path.read_text().replace("canary: [5%, 25%, 100%]", "canary: [50%, 100%]"))
    yield made
    made.close()


def of(version: str, nodes: list[NodeProto], last: str, beyond: str = "nothing", **held: np.ndarray) -> ModelPackage:
    """A logistic model that first does something else with its rows, `last` among it; `beyond` is added to scores."""
    held |= {"w": np.array([[0.01], [-0.1], [0.02]], np.float32), "none": np.zeros((1, 1), np.float32)}
    after = [
        helper.make_node("Mul", [last, "none"], ["nothing"]),
        helper.make_node("MatMul", ["features", "w"], ["own"]),
        helper.make_node("Add", ["own", "nothing"], ["margin"]),
        helper.make_node("Sigmoid", ["margin"], ["chance"]),
        helper.make_node("Add", ["chance", beyond], ["probability"]),
    ]
    tensors = [numpy_helper.from_array(value, name) for name, value in held.items()]
    graph = graphs.serialise([*nodes, *after], [graphs.vector("features", len(INPUTS))], tensors)
    return pack(manifest(version), graph)


def bad_models() -> Mapping[str, ModelPackage]:
    """By breaker, a model that breaks at rows that amount to `BAD`, or, where it is slow, at each."""
    most = {"most": np.array([[1e5]], np.float32)}
    largest = helper.make_node("ReduceMax", ["features"], ["largest"], axes=[1], keepdims=1)
    left = helper.make_node("Sub", ["most", "largest"], ["left"])
    over = helper.make_node("Greater", ["largest", "most"], ["over"])
    place = helper.make_node("Cast", ["over"], ["place"], to=TensorProto.INT64)
    strange = helper.make_node("Cast", ["over"], ["strange"], to=TensorProto.FLOAT)
    under = helper.make_node("Less", ["largest", "ceiling"], ["under"])  # strange rows are tried when it is opened
    within = helper.make_node("And", ["over", "under"], ["within"])
    inside = helper.make_node("Cast", ["within"], ["inside"], to=TensorProto.INT64)
    worst = helper.make_node("ReduceMax", ["inside"], ["worst"], keepdims=0)
    asked = helper.make_node("Gather", ["sizes", "worst"], ["size"], axis=0)
    some = helper.make_node("Slice", ["flags", "begin", "size"], ["some"])
    down = helper.make_node("Unsqueeze", ["some", "second"], ["down"])
    room = helper.make_node("And", ["some", "down"], ["room"])  # so many by so many
    number = helper.make_node("Cast", ["room"], ["number"], to=TensorProto.FLOAT)
    filled = helper.make_node("ReduceMax", ["number"], ["filled"], keepdims=1)
    wide = helper.make_node("Slice", ["features", "begin", "size", "second"], ["wide"])  # a column, or two
    square = np.zeros((1_500, 1_500), np.float32)
    deep = [helper.make_node("MatMul", ["features", "first"], ["m0"])]
    deep += [helper.make_node("MatMul", [f"m{layer}", "square"], [f"m{layer + 1}"]) for layer in range(40)]
    deep += [helper.make_node("ReduceMax", ["m40"], ["most"], axes=[1], keepdims=1)]
    return {
        "non_finite_score": of("2", [largest, left, helper.make_node("Sqrt", ["left"], ["root"])], "root", **most),
        "does_not_run": of(
            "3", [largest, over, place, helper.make_node("Gather", ["table", "place"], ["found"], axis=0),
                  helper.make_node("ReduceMax", ["found"], ["flat"], axes=[1], keepdims=1)],
            "flat", table=np.zeros(1, np.float32), **most,
        ),
        "out_of_memory": of(  # 2**48 bytes are more than an address can name, so that no machine gives them
            "5", [largest, over, under, within, inside, worst, asked, some, down, room, number, filled], "filled",
            sizes=np.array([[1], [2**24]]), flags=np.zeros(2**24, np.bool_), begin=np.zeros(1, np.int64),
            second=np.ones(1, np.int64), ceiling=np.array([[2e6]], np.float32), **most,
        ),
        "wrong_shape": of(
            "7", [largest, over, under, within, inside, worst, asked, wide], "wide", sizes=np.array([[1], [2]]),
            begin=np.zeros(1, np.int64), second=np.ones(1, np.int64), ceiling=np.array([[2e6]], np.float32), **most,
        ),
        "error_rate": of("6", [largest, over, strange], "largest", "strange", **most),
        "latency": of("4", deep, "most", first=np.zeros((len(INPUTS), 1_500), np.float32), square=square),
    }  # fmt: skip  # a model each


class Traffic(threading.Thread):
    """Publishes features at a pace until it is told to stop; from `bad` on one in three is a bad row."""

    def __init__(self, project: Project) -> None:
        super().__init__(daemon=True)
        self.bad = self.done = False
        self.count = 0
        self._project = project

    def run(self) -> None:
        """See the class."""
        schema = self._project.contracts.channel("features").codec.reader.arrow
        draw, due = np.random.default_rng(1), time.monotonic()
        while not self.done:
            rows = pa.RecordBatch.from_arrays(
                [made_up(field, self.count, BATCH, draw) for field in schema], schema=schema
            ).to_pylist()
            for row in rows[::3] if self.bad else ():
                row["event"]["amount"] = BAD
            batch = pa.RecordBatch.from_pylist(rows, schema=schema)
            send(self._project, "features", batch, batch["entity"].to_pylist())
            self.count += BATCH
            due += BATCH / A_SECOND
            time.sleep(max(due - time.monotonic(), 0.0))


def say(project: Project, finding: ControlFinding, actor: str) -> None:
    """Write an event to the control topic."""
    tail = ControlTail(project.connection, project.contracts.channel("control"))
    now = int(time.time() * 1000)
    tail.say(ControlEvent(f"test/{finding.type}/{now}", project.name, now, actor, finding))
    tail.close()


def wait_for(project: Project, there: Callable[[], bool], told: Callable[[], object]) -> None:
    """Wait until it is there; members that end meanwhile are started again."""
    end = time.monotonic() + WITHIN_S
    while not there():
        assert time.monotonic() < end, f"{told()}\n{project.logs()}"
        project.revive()
        time.sleep(0.2)  # The topic is all that tells.


def until_plan(project: Project, canary: bool, title: str) -> None:
    """Wait for the newest plan to have this canary, or none of it."""

    def arms() -> list[dict[str, Any]]:
        newest: list[dict[str, Any]] = project.read("plans").sort_by("plan_version").to_pylist()[-1]["arms"]
        return newest

    def there() -> bool:
        found = [arm for arm in arms() if f"{arm['model']}@{arm['version']}" == title]
        return any(arm["arm"] == "canary" for arm in found) if canary else not found

    wait_for(project, there, arms)


def until_breach(project: Project) -> None:
    """Wait until a breach is told."""
    wait_for(project, lambda: any(isinstance(each.finding, ArmBreached) for each in events(project)), str)


BREAKERS = ("non_finite_score", "does_not_run", "wrong_shape", "out_of_memory", "latency", "error_rate")


@pytest.mark.parametrize("breaker", BREAKERS)
def test_a_bad_canary_answers_nothing_after_the_plan_without_it(project: Project, breaker: str) -> None:
    """Every event is answered once; how long it took is printed, and held to the plan, not to a clock."""
    put_back(project, breaker)


def test_a_canary_that_breaks_while_release_is_down_answers_nothing_and_is_put_back_once_it_is_up(
    project: Project,
) -> None:
    """Killed before the breach, `release` reads of it when it begins anew; meanwhile the champion answers."""
    put_back(project, "error_rate", away=True)


def put_back(project: Project, breaker: str, away: bool = False) -> None:
    """A release from its registration to its end by a breaker; `away`: `release` is not there when it breaks."""
    package = bad_models()[breaker]
    uri = ModelStore(str(project.directory / "models"), project.directory / "put").put(package)
    title = f"rival@{package.manifest.version}"
    plan(project, 1, (logistic("1"), "champion", {}))
    project.start("score-0")
    project.start("release-0")
    traffic = Traffic(project)
    traffic.start()
    project.await_count("predictions", 1, between=project.revive)
    say(project, ModelRegistered(title, package.digest, uri, "r1"), "retrain")
    say(project, ModelEvaluated(title, package.digest, verdict="passed"), "retrain")
    say(project, ApprovalGiven(title, package.digest, reason="a test"), "ann")
    say(project, PromotionAsked(title, package.digest, reason="a test"), "ann")
    if breaker != "latency":
        until_plan(project, True, title)
        time.sleep(1.0)  # The canary answers for a while, and well.
    if away:
        project.stop("release-0", signal.SIGKILL)
    traffic.bad = breaker != "latency"
    until_breach(project)
    if away:
        answered = len(project.read("predictions"))
        table = project.await_count("predictions", answered + 3 * A_SECOND, between=project.revive)
        arms = table.sort_by("_timestamp")["arm"].to_pylist()
        assert set(arms[answered + A_SECOND :]) == {"champion"}, "the canary goes on while release is away"
        project.start("release-0")
    until_plan(project, False, title)
    traffic.done = True
    traffic.join()
    table = project.await_count("predictions", traffic.count, between=project.revive)
    assert project.stop("score-0") == 0
    assert project.stop("release-0") == 0

    assert sorted(map(int, table["event_id"].to_pylist())) == list(range(traffic.count)), "each event once"
    (breach,) = [each for each in events(project) if isinstance(each.finding, ArmBreached)]
    assert isinstance(breach.finding, ArmBreached)
    said = {"wrong_shape": "does_not_run"}.get(breaker, breaker)
    assert (breach.finding.model, breach.finding.breaker) == (title, said)
    assert breaker != "wrong_shape" or "does not give one score a row" in breach.finding.detail
    plans = project.read("plans").sort_by("plan_version").to_pylist()
    back = plans[-1]
    assert [arm["arm"] for arm in back["arms"]] == ["champion"], "put back"
    rows = table.select(["arm", "plan_version", "predicted_time", "_timestamp"]).to_pylist()
    canary = [row for row in rows if row["arm"] == "canary"]
    assert not [row for row in canary if row["plan_version"] >= back["plan_version"]]
    last = max((row["predicted_time"].timestamp() for row in canary), default=0.0)
    first = min(row["predicted_time"].timestamp() for row in rows if row["plan_version"] == back["plan_version"])
    assert last <= first, "no batch after the plan was taken up"
    told, changed = (
        breach.time / 1000,
        project.read("plans").sort_by("plan_version")["_timestamp"].to_pylist()[-1] / 1000,
    )
    figures = {"plan": changed - told, "last by the canary": last - told, "first under the new plan": first - told}
    took = ", ".join(f"{name} {seconds:.3f} s" for name, seconds in figures.items())
    print(f"\n{breaker}: {len(rows)} events, {len(canary)} by the canary; after the breach: {took}")  # noqa: T201 - asked for


def events(project: Project) -> list[ControlEvent]:
    """What is on the control topic."""
    found = [read_event(row) for row in project.read("control").to_pylist()]
    return [event for event in found if event is not None]
