"""A canary that is too slow, or says what cannot be: what is said of it, and what a noisy machine does not lead to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from onnx import helper, numpy_helper
from prometheus_client import CollectorRegistry

from headrace.domain.control.events import ControlEvents
from headrace.domain.models.package import ModelPackage, pack
from headrace.domain.models.sessions import SessionSettings
from headrace.domain.models.store import ModelStore
from headrace.streaming.records.batch import Batch
from services.score.metrics import ScoreMetrics
from services.score.service import Score
from tests.models import graphs
from tests.models.parts import FEATURES, PREDICTIONS, arm, features, plans
from tests.score.conftest import CONTROL
from tests.score.test_scoring import CANARY, answered, arms_of, breaches, canary_plan, crowd

Start = Callable[..., Score]


class Machine:
    """A machine on which models take as long as they are told to, by the clock and by the processor."""

    def __init__(self, store: ModelStore, chances: bool = True) -> None:
        self.clock = self.processor = 0.0
        self.figures = CollectorRegistry()
        events = ControlEvents("p", "score", "m", CONTROL)
        self.service = Score(
            "p", FEATURES, PREDICTIONS, events, store, SessionSettings("cpu", rows=4096), ScoreMetrics(self.figures),
            lambda: self.clock, 0.05, chances, lambda: self.processor,
        )  # fmt: skip  # as the service has them
        self.calls: list[str] = []

    def takes(self, **seconds: tuple[float, float]) -> None:
        """From now on the `champion` or the `canary` takes so long, by the clock and by the processor."""
        live = self.service._live
        assert live is not None
        assert live.canary is not None
        for name, opened in (("champion", live.champion), ("canary", live.canary)):
            self._slow(name, opened.models[0].session, *seconds.get(name, (0.0, 0.0)))

    def _slow(self, name: str, session: object, clock: float, processor: float) -> None:
        run = type(session).run  # type: ignore[attr-defined]  # a session has it

        def slowly(matrix: np.ndarray) -> np.ndarray:
            self.calls.append(name)
            self.clock += clock
            self.processor += processor
            found: np.ndarray = run(session, matrix)
            return found

        session.run = slowly  # type: ignore[attr-defined]  # no graph takes as long as it is told to


@pytest.fixture
def machine(store: ModelStore) -> Machine:
    """With a plan whose canary answers half of the entities."""
    made = Machine(store)
    made.service.learn(canary_plan(store, 0.5), now=0.0)
    return made


def said(machine: Machine, batches: int) -> list[str]:
    """Breakers that are told of in so many batches, each of which is answered whole."""
    found = []
    for _ in range(batches):
        output = machine.service.process(crowd(50), now=1.0)
        assert "champion" in arms_of(output)
        found += [f"{each.model} {each.breaker}: {each.detail}" for each in breaches(output)]
    return found


def test_a_slow_canary_is_said_at_the_third_batch(machine: Machine) -> None:
    """Once, and with what both took; from then on the champion answers alone, until there is another plan."""
    machine.takes(canary=(0.08, 0.06), champion=(0.01, 0.01))
    assert said(machine, 2) == []
    assert machine.figures.get_sample_value("headrace_canary_share") == 0.5
    (told,) = said(machine, 1)
    assert told == (
        "m@2 latency: 3 batches in a row took longer than the target of 50 ms, the last one 60 ms, and the champion "
        "10 ms for its rows"
    )
    machine.calls.clear()
    assert said(machine, 5) == []
    assert machine.calls == ["champion"] * 5
    assert machine.figures.get_sample_value("headrace_canary_share") == 0.0


@pytest.mark.parametrize(
    "seconds",
    [
        {"canary": (0.045, 0.045), "champion": (0.001, 0.001)},  # it costs much, and not too much
        {"canary": (5.0, 0.002), "champion": (0.001, 0.001)},  # others have the processor, or the process stands still
        {"canary": (0.08, 0.08), "champion": (0.06, 0.06)},  # too many rows for either
        {"canary": (0.01, 0.09), "champion": (0.001, 0.001)},  # many threads at a time
    ],
)
def test_what_is_none_of_the_canarys_doing_is_not_said(
    machine: Machine, seconds: dict[str, tuple[float, float]]
) -> None:
    """However often it happens."""
    machine.takes(**seconds)
    assert said(machine, 30) == []


def test_a_canary_in_time_costs_no_work_of_the_champion(machine: Machine) -> None:
    """Its rows are scored once."""
    machine.takes()
    said(machine, 3)
    assert machine.calls == ["champion", "canary"] * 3


def test_another_share_goes_on_with_what_was_seen(machine: Machine, store: ModelStore) -> None:
    """Of the same two models; the next canary begins anew."""
    machine.takes(canary=(0.06, 0.06))
    assert said(machine, 2) == []
    machine.service.learn(canary_plan(store, 0.75, version=2), now=0.0)
    machine.takes(canary=(0.06, 0.06))
    assert len(said(machine, 1)) == 1
    other = pack(graphs.manifest(version="4"), graphs.logistic((0.01, -0.1)))
    machine.service.learn(canary_plan(store, 0.5, version=3, package=other), now=0.0)
    machine.takes(canary=(0.06, 0.06))
    assert said(machine, 2) == []
    assert [each.partition(":")[0] for each in said(machine, 1)] == ["m@4 latency"]


def test_one_batch_of_a_second_is_enough(machine: Machine) -> None:
    """Twenty targets."""
    machine.takes(canary=(1.0, 1.0))
    assert len(said(machine, 1)) == 1


def test_a_slow_canary_is_known_in_the_middle_of_a_batch(machine: Machine) -> None:
    """It is given a slice at a time, however many rows there are; the rows that it did not come to are the champion's,
    and each has one prediction, those of an entity in their order.
    """
    live = machine.service._live
    assert live is not None
    assert live.canary is not None
    call = live.canary.models[0].session.batch.rows
    batch = crowd(20 * call)
    machine.takes(canary=(0.4, 0.4))
    output = machine.service.process(batch, 0.0)
    (told,) = breaches(output)
    assert told.detail.startswith("a batch took 24 times the target of 50 ms, 1200 ms")
    assert machine.calls.count("canary") == 3
    said_of = [emit for emit in output.emits if emit.topic == "predictions"]
    arms = [arm for emit in said_of for arm in emit.columns["arm"].to_pylist()]
    assert len(arms) == len(batch)
    assert 0 < arms.count("canary") <= 3 * call
    ids = [event for emit in said_of for event in emit.columns["event_id"].to_pylist()]
    assert sorted(ids) == sorted(batch.columns["event_id"].to_pylist())
    place = {event: at for at, event in enumerate(batch.columns["event_id"].to_pylist())}
    tried = [place[event] for event, arm in zip(ids, arms, strict=True) if arm == "canary"]
    after = [place[event] for emit in said_of[2:] for event in emit.columns["event_id"].to_pylist()]
    assert max(tried) < min(after), "the champion came behind the canary"


def test_slices_grow_while_a_canary_is_in_time(machine: Machine) -> None:
    """A quick one is cut into a few pieces at first, and then into none."""
    live = machine.service._live
    assert live is not None
    assert live.canary is not None
    machine.takes()
    batch = crowd(20 * live.canary.models[0].session.batch.rows)
    for _ in range(3):
        machine.calls.clear()
        machine.service.process(batch, 0.0)
    assert machine.calls.count("canary") == 1


def linear(version: str) -> ModelPackage:
    """A model that says the amount, which is no chance where it is above 1."""
    w = numpy_helper.from_array(np.array([[1.0], [0.0]], np.float32), "w")
    nodes = [helper.make_node("MatMul", ["features", "w"], ["probability"])]
    return pack(graphs.manifest(version=version), graphs.serialise(nodes, [graphs.vector("features", 2)], [w]))


def amounts(values: list[float], first: int = 0) -> Batch:
    """A batch in which every row is another entity's."""
    batch = features(values, [1] * len(values))
    entities = pa.array([f"c{first + row}" for row in range(len(values))])
    return replace(batch, columns=batch.columns.set_column(1, FEATURES.field("entity"), entities))


def test_scores_that_are_no_chances_are_counted_and_said(store: ModelStore) -> None:
    """Where the champion has none of them, after a few entities; not after a few rows of one."""
    machine = Machine(store)
    machine.service.learn(canary_plan(store, 0.2, package=linear("3")), now=0.0)
    outputs = [machine.service.process(features([2.0] * 50, [1] * 50), now=0.0) for _ in range(20)]
    assert not any(map(breaches, outputs)), "three entities"
    outputs = [machine.service.process(amounts([2.0] * 10, 10 * batch), now=0.0) for batch in range(10)]
    (breach,) = [each for output in outputs for each in breaches(output)]
    assert (breach.model, breach.breaker) == ("m@3", "error_rate")
    assert "scores outside 0 and 1:" in breach.detail
    assert "and 0 by the champion, of which it answers 20%" in breach.detail
    assert breach.rows >= 1
    assert machine.figures.get_sample_value("headrace_scores_out_of_range_total", {"arm": "canary"}) == 7
    assert {answer["arm"] for answer in answered(outputs[-1]).values()} == {"champion"}, "it answers nothing more"
    assert machine.figures.get_sample_value("headrace_scores_out_of_range_total", {"arm": "champion"}) is None


def test_a_champion_that_errs_alike_convicts_nobody(store: ModelStore) -> None:
    """Both say what cannot be for the same rows, and it is counted."""
    machine = Machine(store)
    champion, canary = linear("1"), linear("3")
    arms = [arm(champion, store.put(champion)), arm(canary, store.put(canary), "canary", share=0.3)]
    machine.service.learn(plans(("p", 1, arms)), now=0.0)
    outputs = [machine.service.process(amounts([2.0] * 50, 50 * batch), now=0.0) for batch in range(20)]
    assert not any(map(breaches, outputs))
    assert (machine.figures.get_sample_value("headrace_scores_out_of_range_total", {"arm": "champion"}) or 0) > 100


def test_values_have_no_range(store: ModelStore) -> None:
    """Of a pipeline whose models tell values nothing is too large."""
    machine = Machine(store, chances=False)
    machine.service.learn(canary_plan(store, 0.2, package=linear("3")), now=0.0)
    outputs = [machine.service.process(amounts([2.0] * 50, 50 * batch), now=0.0) for batch in range(10)]
    assert not any(map(breaches, outputs))
    assert machine.figures.get_sample_value("headrace_scores_out_of_range_total", {"arm": "canary"}) is None


def test_memory_that_is_not_there_has_a_name_of_its_own(start: Start, store: ModelStore) -> None:
    """ONNX Runtime has no error of its own for it."""
    width = 10_000_000
    wide = numpy_helper.from_array(np.zeros((1, width), np.float32), "wide")
    nodes = [
        helper.make_node("ReduceMax", ["features"], ["own"], axes=[1], keepdims=1),
        helper.make_node("MatMul", ["own", "wide"], ["many"]),
        helper.make_node("ReduceMax", ["many"], ["probability"], axes=[1], keepdims=1),
    ]
    graph = graphs.serialise(nodes, [graphs.vector("features", 2)], [wide])
    package = pack(graphs.manifest(version="3"), graph)
    service = start()
    service.learn(canary_plan(store, 1.0, package=package), now=0.0)
    assert service._live is not None
    assert service._live.canary is not None
    session = service._live.canary.models[0].session
    session.batch = replace(session.batch, rows=4_096)
    output = service.process(crowd(4_000), now=0.0)
    assert [each.breaker for each in breaches(output)] == ["out_of_memory"]
    assert "allocate memory" in breaches(output)[0].detail
    assert set(arms_of(output)) == {"champion"}


def test_watching_begins_with_a_canary(start: Start, store: ModelStore) -> None:
    """A champion alone is not watched, and neither is what its canary left behind."""
    service = start()
    service.learn(canary_plan(store, 0.5, package=CANARY), now=0.0)
    assert service._live is not None
    assert service._live.watch is not None
    champion = graphs.package()
    service.learn(plans(("p", 2, [arm(champion, store.put(champion))])), now=0.0)
    assert service._live.watch is None
