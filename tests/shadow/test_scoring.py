"""Shadow: what dark models say, and what becomes of those that cannot."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import helper
from prometheus_client import CollectorRegistry

from headrace.domain.control.events import NO_PARTITION
from headrace.domain.models import ensembles
from headrace.domain.models.package import ModelPackage, pack
from headrace.domain.models.store import ModelStore
from headrace.domain.plans.plans import Arm, EnsembleMember
from headrace.errors import ContractError, Transient
from headrace.streaming.records.batch import Batch, Output
from headrace.streaming.watermarks.idleness import Quiet
from services.shadow.service import Shadow
from tests.models import graphs
from tests.models.parts import PREDICTIONS, arm, features, plans

Start = Callable[..., Shadow]
ONE = graphs.package()
TWO = pack(graphs.manifest(version="2", threshold=0.2), graphs.logistic((0.02, -0.25)))


def predictions(output: Output) -> list[dict[str, Any]]:
    """The shadow predictions emitted, in order."""
    found: list[dict[str, Any]] = []
    for emit in output.emits:
        if emit.topic == "shadow-predictions":
            assert emit.columns.schema == PREDICTIONS
            found += emit.columns.to_pylist()
    return found


def told(output: Output) -> list[dict[str, Any]]:
    """The control events emitted, with their evidence as a dictionary."""
    found = [row for emit in output.emits if emit.topic == "control" for row in emit.columns.to_pylist()]
    return [{**row, "evidence": dict(row["evidence"])} for row in found]


def through() -> ModelPackage:
    """A model that answers its first input."""
    node = helper.make_node("ReduceMax", ["features"], ["probability"], axes=[1], keepdims=1)
    return pack(graphs.manifest(version="7"), graphs.serialise([node], [graphs.vector("features", 2)]))


@pytest.fixture
def dark(store: ModelStore) -> Callable[..., list[Arm]]:
    """Makes a plan's arms: a champion, and packages in the dark, as challengers unless told otherwise."""

    def make(*packages: ModelPackage, name: str = "challenger", **others: Any) -> list[Arm]:
        rivals = [arm(package, store.put(package), name, **others) for package in packages]
        return [arm(ONE, store.put(ONE)), *rivals]

    return make


def at(batch: Batch, seconds: float, offset: int = 0) -> Batch:
    """The batch, written at this time, from this offset on."""
    stamps = np.full(len(batch), int(seconds * 1000))
    return replace(batch, timestamp=stamps, offset=np.arange(len(batch)) + offset)


def test_every_dark_model_scores_every_event(start: Start, store: ModelStore, dark: Callable[..., list[Arm]]) -> None:
    """Challengers and shadows answer in one pass; champion and canary are none of its business."""
    arms = [*dark(TWO), arm(ONE, store.put(ONE), "shadow"), arm(TWO, store.put(TWO), "canary", share=0.5)]
    service = start()
    service.learn(plans(("p", 4, arms)), now=0.0)
    found = predictions(service.process(features([100.0, 10.0], [0, 4]), now=12.5))
    assert [row["prediction_id"] for row in found] == [
        "e0/m@2/challenger",
        "e1/m@2/challenger",
        "e0/m@1/shadow",
        "e1/m@1/shadow",
    ]
    margins = [2.0, -0.8, 1.0, -1.9]
    np.testing.assert_allclose([row["score"] for row in found], 1 / (1 + np.exp(-np.array(margins))), rtol=1e-6)
    assert [row["decision"] for row in found] == [True, True, True, False]
    assert {row["plan_version"] for row in found} == {4}
    assert found[0]["model"] == {"name": "m", "version": "2", "digest": TWO.digest}
    assert found[0]["customer"] == {"nb_tx_1d": 0, "avg_amount_1d": 1.0}


def test_scores_that_depend_on_other_rows_are_left_out(start: Start, dark: Callable[..., list[Arm]]) -> None:
    """A dark model that nobody tried, whose rows are not scored apart, is left out and told of; the others play."""
    nodes = [
        helper.make_node("ReduceMax", ["features"], ["own"], axes=[1], keepdims=1),
        helper.make_node("Softmax", ["own"], ["probability"], axis=0),
    ]
    bad = pack(graphs.manifest(version="9"), graphs.serialise(nodes, [graphs.vector("features", 2)]))
    service = start()
    service.learn(plans(("p", 4, dark(TWO, bad))), now=0.0)
    output = service.process(features([100.0, 10.0], [0, 4]), now=1.0)
    assert {row["model"]["version"] for row in predictions(output)} == {"2"}
    event = told(output)[0]
    assert event["type"] == "model_failed"
    assert "score depends on the rows beside it" in event["evidence"]["problem"]


def test_nothing_in_the_dark(start: Start, dark: Callable[..., list[Arm]]) -> None:
    """Without a plan rows wait, as they do for the champion; without dark models in it they are read past."""
    service = start()
    assert service.ready() == "no plan"
    with pytest.raises(Transient):
        service.process(features([1.0], [1]), now=0.0)
    service.learn(plans(("p", 1, dark())), now=0.0)
    assert service.process(features([1.0], [1]), now=0.0).emits == ()
    assert service.ready() is None


def test_an_ensemble_in_the_dark(start: Start, store: ModelStore) -> None:
    """The weighted mean of two models is a model of its own, with its own identity and threshold."""
    members = tuple(
        EnsembleMember(p.manifest.name, p.manifest.version, p.digest, store.put(p), weight)
        for p, weight in ((ONE, 1.0), (TWO, 3.0))
    )
    digest = ensembles.digest_of("weighted", members)
    both = Arm("shadow", "both", "1", digest, "", threshold=0.9, combination="weighted", members=members)
    service = start()
    service.learn(plans(("p", 1, [arm(ONE, store.put(ONE)), both])), now=0.0)
    (row,) = predictions(service.process(features([100.0], [0]), now=0.0))
    wanted = (1 / (1 + np.exp(-1)) + 3 / (1 + np.exp(-2))) / 4
    assert row["score"] == pytest.approx(wanted, rel=1e-6)
    assert (row["prediction_id"], row["decision"]) == ("e0/both@1/shadow", False)
    assert row["model"] == {"name": "both", "version": "1", "digest": digest}


def test_a_broken_model_stops_no_other(
    start: Start, store: ModelStore, counters: CollectorRegistry, dark: Callable[..., list[Arm]]
) -> None:
    """A model that does not load is counted and said, with the place in the stream; its neighbours score."""
    broken = pack(graphs.manifest(version="3"), b"no graph")
    service = start()
    service.learn(plans(("p", 1, dark(broken, TWO))), now=5.0)
    output = service.process(features([1.0, 2.0, 3.0], [1, 2, 3], partition=[0, 0, 4]), now=6.0)
    assert {row["model"]["version"] for row in predictions(output)} == {"2"}
    first, place = told(output)
    assert (first["type"], first["pipeline"], first["actor"]) == ("model_failed", "p", "shadow")
    assert first["evidence"]["model"] == "m@3"
    assert first["evidence"]["member"] == "m"
    assert "m@3" in first["evidence"]["problem"]
    assert place["type"] == "model_failed"
    assert json.loads(place["evidence"]["offsets"]) == {"0": 100, "4": 102}
    (emit,) = [emit for emit in output.emits if emit.topic == "control"]
    assert set(emit.source.tolist()) == {NO_PARTITION}
    assert counters.get_sample_value("headrace_dark_failures_total", {"model": "m@3/challenger"}) == 1
    assert counters.get_sample_value("headrace_dark_models", {"state": "failed"}) == 1


def test_a_model_that_appears_later(start: Start, store: ModelStore, tmp_path: Path) -> None:
    """A failed model is tried again, ever less often, and said to be back; failures in between are only counted."""
    late = graphs.package(version="9")
    rival = Arm("shadow", "m", "9", late.digest, f"{tmp_path}/models/m/9/{late.digest[7:]}")
    service = start()
    service.learn(plans(("p", 1, [arm(ONE, store.put(ONE)), rival])), now=0.0)
    assert [event["type"] for event in told(service.tick(1.0, {}))] == ["model_failed"]
    assert told(service.tick(6.0, {})) == []
    store.put(late)
    assert told(service.tick(11.0, {})) == [], "the second wait is twice the first"
    assert [event["type"] for event in told(service.tick(17.0, {}))] == ["model_recovered"]
    assert len(predictions(service.process(features([1.0], [1]), now=18.0))) == 1


def test_rows_without_a_score(start: Start, counters: CollectorRegistry, dark: Callable[..., list[Arm]]) -> None:
    """A row for which a model gives no finite number is left out for that model alone, said once and counted always."""
    service = start()
    service.learn(plans(("p", 1, dark(through(), TWO))), now=0.0)
    batch = features([1.0, None, 3.0, float("inf")], [1, 2, 3, 4])
    output = service.process(batch, now=0.0)
    assert output.rejects == ()
    assert [row["event_id"] for row in predictions(output) if row["model"]["version"] == "7"] == ["e0", "e2"]
    # The champion has a score where a feature is infinite.
    assert [event["type"] for event in told(output)] == ["model_unanswered", "arm_breached", "model_unanswered"]
    assert told(service.process(batch, now=1.0)) == []
    assert counters.get_sample_value("headrace_dark_unanswered_total", {"model": "m@7/challenger"}) == 4


@pytest.mark.parametrize("name", ["challenger", "shadow"])
def test_a_row_that_only_the_champion_scores_is_a_breach(
    start: Start, dark: Callable[..., list[Arm]], name: str
) -> None:
    """Said once for a plan; a row that neither scores is a missing feature, and none."""
    broken = pack(graphs.manifest(version="8"), graphs.roots())
    service = start()
    service.learn(plans(("p", 3, dark(broken, TWO, name=name))), now=0.0)
    assert [event["type"] for event in told(service.process(features([None], [4]), now=0.0))] == [
        "model_unanswered"
    ] * 2
    output = service.process(features([9.0, -1.0, 16.0], [4, 1, 4], partition=[2, 2, 2]), now=1.0)
    (event,) = told(output)
    assert event["type"] == "arm_breached"
    said = event["evidence"]
    assert (said["model"], said["arm"], said["breaker"]) == ("m@8", name, "non_finite_score")
    assert (said["plan_version"], said["rows"], said["offsets"]) == ("3", "1", '{"2": 101}')
    assert said["detail"] == "1 of 3 rows have a score by the champion and none by it"
    assert told(service.process(features([-1.0], [1]), now=2.0)) == []


@pytest.mark.parametrize(
    ("error", "breaker"), [(ContractError("m@2 does not run: no"), "does_not_run"), (MemoryError(), "out_of_memory")]
)
def test_a_model_that_does_not_run_is_a_breach_where_the_champion_does(
    start: Start, dark: Callable[..., list[Arm]], error: Exception, breaker: str
) -> None:
    """It is left out and tried again as before."""
    service = start()
    service.learn(plans(("p", 1, dark(TWO))), now=0.0)
    (model,) = service._dark.playing
    assert model.opened is not None

    def broken(matrix: np.ndarray) -> np.ndarray:
        raise error

    model.opened.models[0].session.run = broken  # type: ignore[method-assign]  # no graph that passed its checks fails
    events = told(service.process(features([1.0], [1]), now=0.0))
    assert [event["type"] for event in events] == ["model_failed", "arm_breached"]
    assert (events[1]["evidence"]["breaker"], events[1]["evidence"]["detail"]) == (breaker, str(error))


def test_a_model_named_twice(start: Start, dark: Callable[..., list[Arm]]) -> None:
    """Two arms of one model and kind would give their predictions one id: the first is played, for good."""
    service = start()
    service.learn(plans(("p", 1, dark(TWO, TWO))), now=0.0)
    output = service.process(features([1.0], [1]), now=0.0)
    assert len(predictions(output)) == 1
    assert "names m@2/challenger twice" in told(output)[0]["evidence"]["problem"]
    assert service.tick(1e6, {0: Quiet(0.0, 1e6)}).emits == ()


def test_a_batch_that_takes_too_long(start: Start, dark: Callable[..., list[Arm]]) -> None:
    """A model that would hang the loop for longer than it may is left out, the one before it is not."""
    ticks = iter(range(0, 1000, 10))
    service = start(clock=lambda: float(next(ticks)), longest=15.0)
    service.learn(plans(("p", 1, dark(ONE, TWO))), now=0.0)
    output = service.process(features([1.0], [1]), now=0.0)
    assert [row["model"]["version"] for row in predictions(output)] == ["1"]
    assert "HEADRACE_BATCH_ROWS" in told(output)[0]["evidence"]["problem"]


class Stream:
    """A live stream of 100 records a second, played by a service on a clock that what is done moves."""

    def __init__(self, service: Shadow, clock: list[float]) -> None:
        self.service = service
        self.clock = clock
        self.offset = 0
        self.events: list[dict[str, Any]] = []
        self.versions: set[str] = set()

    def play(self, until: float, rows: int = 100) -> None:
        """Batch after batch, each as soon as it is written and the one before is done."""
        while self.clock[0] < until:
            written = (self.offset + rows) / 100
            self.clock[0] = max(self.clock[0], written)
            stamps = (np.arange(rows) + self.offset) * 10
            batch = replace(features([1.0] * rows, [1] * rows), timestamp=stamps, offset=np.arange(rows) + self.offset)
            output = self.service.process(batch, now=self.clock[0])
            self.offset += rows
            self.clock[0] += rows * 1e-4
            self.events += told(output)
            self.versions = {row["model"]["version"] for row in predictions(output)}
            self.service.tick(self.clock[0], {})


@pytest.fixture
def slow(start: Start) -> tuple[Shadow, list[float], list[float]]:
    """A service, its clock, and what reading the clock costs: seconds for each row of a model, half of it beside."""
    clock, cost = [0.0], [0.0]

    def passing() -> float:
        clock[0] += cost[0] * 50  # Read once a batch of 100 rows, and twice a model: the half is what goes by beside.
        return clock[0]

    return start(bound=30.0, clock=passing, longest=60.0), clock, cost


@pytest.mark.slow
def test_shed_and_taken_back(
    slow: tuple[Shadow, list[float], list[float]], counters: CollectorRegistry, store: ModelStore
) -> None:
    """Too slow for its stream, it leaves out the model of the lowest priority, says where, and takes it back later."""
    service, clock, cost = slow
    arms = [arm(ONE, store.put(ONE)), arm(TWO, store.put(TWO), "shadow", priority=-1)]
    arms.append(arm(ONE, store.put(ONE), "shadow", priority=1))
    service.learn(plans(("p", 1, arms)), now=0.0)
    stream = Stream(service, clock)
    stream.play(until=20)
    assert stream.versions == {"1", "2"}
    assert stream.events == []
    cost[0] = 0.005  # Two models take 12.5 ms a row, one takes 7.5 ms; a row comes every 10 ms.
    stream.play(until=200)
    assert stream.versions == {"1"}
    (event,) = stream.events
    assert (event["type"], event["evidence"]["model"]) == ("model_shed", "m@2")
    assert 30 < float(event["evidence"]["lag_s"]) < 40
    assert json.loads(event["evidence"]["offsets"])["0"] % 100 == 0
    cost[0] = 0.0001
    stream.play(until=900)  # Its cost was measured in bad times, so it is the long patience that takes it back.
    assert [event["type"] for event in stream.events] == ["model_shed", "model_restored"]
    assert stream.versions == {"1", "2"}
    assert counters.get_sample_value("headrace_dark_sheds_total", {"model": "m@2/shadow"}) == 1
    assert counters.get_sample_value("headrace_dark_restores_total", {"model": "m@2/shadow"}) == 1


def test_all_shed_it_keeps_up(slow: tuple[Shadow, list[float], list[float]], dark: Callable[..., list[Arm]]) -> None:
    """When no model is quick enough all go, nothing is written, and it catches up by reading on."""
    service, clock, cost = slow
    service.learn(plans(("p", 1, dark(TWO, through()))), now=0.0)
    stream = Stream(service, clock)
    cost[0] = 0.02
    stream.play(until=300)
    assert {event["type"] for event in stream.events} == {"model_shed"}
    assert stream.versions == set()
    assert clock[0] - stream.offset / 100 < 1


def test_a_partition_that_comes_while_a_model_is_out(
    slow: tuple[Shadow, list[float], list[float]], dark: Callable[..., list[Arm]]
) -> None:
    """The gap's beginning is said for it too; one that left and came back is told again."""
    service, clock, cost = slow
    service.learn(plans(("p", 1, dark(TWO))), now=0.0)
    stream = Stream(service, clock)
    cost[0] = 0.02
    stream.play(until=100)
    batch = at(features([1.0], [1], partition=[7]), clock[0], offset=55)
    (event,) = told(service.process(batch, now=clock[0]))
    assert (event["type"], json.loads(event["evidence"]["offsets"])) == ("model_shed", {"7": 55})
    assert told(service.process(at(batch, clock[0], 56), now=clock[0])) == []
    service.drop(7)
    assert len(told(service.process(at(batch, clock[0], 90), now=clock[0]))) == 1


def test_a_new_plan_keeps_what_was_shed(
    slow: tuple[Shadow, list[float], list[float]], dark: Callable[..., list[Arm]]
) -> None:
    """A plan that changes something else does not bring a shed model back into a member that lags."""
    service, clock, cost = slow
    service.learn(plans(("p", 1, dark(TWO))), now=0.0)
    stream = Stream(service, clock)
    cost[0] = 0.02
    stream.play(until=100)
    cost[0] = 0.0001
    stream.play(until=105)
    assert stream.versions == set()
    service.learn(plans(("p", 2, dark(TWO, through()))), now=clock[0])
    stream.play(until=clock[0] + 0.1)
    assert stream.versions == {"7"}


def test_idle_members_take_models_back(
    slow: tuple[Shadow, list[float], list[float]], dark: Callable[..., list[Arm]]
) -> None:
    """With all partitions read to their end for as long as the bound, models come back without a record."""
    service, clock, cost = slow
    service.learn(plans(("p", 1, dark(TWO))), now=0.0)
    stream = Stream(service, clock)
    cost[0] = 0.02
    stream.play(until=100)
    now = clock[0]
    found = [told(service.tick(now + second, {0: Quiet(now, now + second)})) for second in range(60)]
    assert [event["type"] for events in found for event in events] == ["model_restored"]
    assert told(service.tick(now + 100, {})) == [], "a partition that is not at its end is not idle"
