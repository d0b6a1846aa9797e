"""Score: which plan is played, and what a prediction says."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from onnx import helper
from prometheus_client import CollectorRegistry

from headrace.domain.control.breach import ArmBreached
from headrace.domain.control.events import ControlEvents, read_event
from headrace.domain.models import ensembles
from headrace.domain.models.package import ModelPackage, pack
from headrace.domain.models.sessions import SessionSettings
from headrace.domain.models.store import ModelStore
from headrace.domain.plans.canary_split import shares
from headrace.domain.plans.plans import Arm, EnsembleMember
from headrace.errors import ContractError, Transient
from headrace.streaming.records.batch import Batch, Output
from services.score.metrics import ScoreMetrics
from services.score.service import Score
from tests.models import graphs
from tests.models.parts import FEATURES, PREDICTIONS, arm, features, plans
from tests.score.conftest import CONTROL

Start = Callable[..., Score]
OTHER = pack(graphs.manifest(version="2", threshold=0.0), graphs.logistic((0.0, 0.0)))


def rows(output: Output) -> list[dict[str, Any]]:
    """The predictions emitted."""
    (emit,) = (emit for emit in output.emits if emit.topic == "predictions")
    assert emit.columns.schema == PREDICTIONS
    found: list[dict[str, Any]] = emit.columns.to_pylist()
    return found


def test_not_ready_without_a_plan(start: Start) -> None:
    """Before the first plan the service says what is missing and scores nothing."""
    service = start()
    assert service.ready() == "no plan for p"
    with pytest.raises(Transient, match="no plan for p"):
        service.process(features([1.0], [1]), now=0.0)


def test_prediction(start: Start) -> None:
    """A prediction carries its identity, model, plan, score, decision, features and times."""
    package = graphs.package(threshold=0.6)
    service = start(package)
    assert service.ready() is None
    first, second = rows(service.process(features([100.0, 10.0], [0, 4]), now=12.5))
    assert first["prediction_id"] == "e0/m@1/champion"
    assert first["model"] == {"name": "m", "version": "1", "digest": package.digest}
    assert (first["arm"], first["plan_version"], first["entity"]) == ("champion", 1, "c0")
    assert first["predicted_time"].timestamp() == 12.5
    assert first["event"] == {"amount": 100.0, "channel": "web"}
    assert first["customer"] == {"nb_tx_1d": 0, "avg_amount_1d": 1.0}
    assert first["score"] == pytest.approx(1 / (1 + np.exp(-1)), rel=1e-6)
    assert second["score"] == pytest.approx(1 / (1 + np.exp(1.9)), rel=1e-6)
    assert (first["decision"], second["decision"]) == (True, False)


def test_keys_and_sources(start: Start) -> None:
    """Predictions keep their record's key and the partition they answer for."""
    batch = features([1.0, 2.0, 3.0], [1, 2, 3], partition=[0, 2, 2])
    (emit,) = start(graphs.package()).process(batch, now=0.0).emits
    assert emit.key == batch.keys
    np.testing.assert_array_equal(emit.source, [0, 2, 2])
    assert emit.partition is None


def test_repeats_carry_the_same_identity(start: Start) -> None:
    """The same event scored again, later and among others, has the same id and score."""
    service = start(graphs.package())
    whole = rows(service.process(features([1.0, 2.0, 3.0], [1, 2, 3]), now=0.0))
    again = rows(service.process(features([1.0, 2.0, 3.0], [1, 2, 3]).slice(slice(1, 2)), now=99.0))
    assert (again[0]["prediction_id"], again[0]["score"]) == (whole[1]["prediction_id"], whole[1]["score"])


def test_a_repeat_under_a_newer_plan_says_so(start: Start, store: ModelStore) -> None:
    """What is answered again after a plan changed is that plan's answer: the event's id joins them, no other does."""
    batch = features([100.0, 10.0], [0, 4])
    service = start(graphs.package())
    before = rows(service.process(batch, now=0.0))
    service.learn(plans(("p", 2, [arm(OTHER, store.put(OTHER))])), now=1.0)
    after = rows(service.process(batch, now=1.0))
    assert [row["event_id"] for row in before] == [row["event_id"] for row in after]
    assert not {row["prediction_id"] for row in before} & {row["prediction_id"] for row in after}
    assert {row["plan_version"] for row in before} == {1}
    assert {row["plan_version"] for row in after} == {2}


def test_new_plan_between_batches(start: Start, store: ModelStore) -> None:
    """A newer plan is played from the next batch on, without a restart."""
    service = start(graphs.package())
    before = rows(service.process(features([100.0], [0]), now=0.0))
    service.learn(plans(("p", 5, [arm(OTHER, store.put(OTHER))])), now=0.0)
    after = rows(service.process(features([100.0], [0]), now=0.0))
    assert [r["model"]["version"] for r in before + after] == ["1", "2"]
    assert after[0]["plan_version"] == 5
    assert after[0]["score"] == 0.5


def test_stale_and_foreign_plans(start: Start, store: ModelStore) -> None:
    """Facts of other pipelines and of older versions change nothing; of several the highest version holds."""
    package = graphs.package()
    old, new = [arm(package, store.put(package))], [arm(OTHER, store.put(OTHER))]
    service = start()
    service.learn(plans(("other", 9, old), ("p", 2, old), ("p", 3, new), ("p", 1, old)), now=0.0)
    service.learn(plans(("p", 3, old), ("p", 2, old)), now=0.0)
    (row,) = rows(service.process(features([1.0], [1]), now=0.0))
    assert (row["plan_version"], row["model"]["version"]) == (3, "2")


def broken_arm(store: ModelStore, how: str) -> Arm:
    """An arm whose model cannot be had."""
    package = graphs.package(version="3")
    if how == "inputs":
        package = pack(graphs.manifest(("amount", "terminal.risk_7d"), version="3"), graphs.logistic())
    if how == "text":
        package = pack(graphs.manifest(("amount", "channel"), version="3"), graphs.logistic())
    if how == "graph":
        package = pack(graphs.manifest(version="3"), b"no graph")
    found = arm(package, store.put(package))
    if how == "uri":
        found = replace(found, uri=found.uri + "gone")
    if how == "digest":
        found = replace(found, digest=graphs.package(version="4").digest)
    if how == "name":
        found = replace(found, version="7")
    return found


BROKEN = {
    "inputs": "terminal.risk_7d",
    "text": "channel.*string",
    "graph": "m@3",
    "uri": "has no",
    "digest": "was named",
    "name": "m@7",
}


@pytest.mark.parametrize("how", BROKEN)
def test_a_plan_that_cannot_be_played(start: Start, store: ModelStore, counters: CollectorRegistry, how: str) -> None:
    """The model before goes on answering, whole, and the failure is counted and told."""
    service = start(graphs.package())
    service.learn(plans(("p", 2, [broken_arm(store, how)])), now=0.0)
    (row,) = rows(service.process(features([1.0], [1]), now=0.0))
    assert (row["plan_version"], row["model"]["version"]) == (1, "1")
    assert service.ready() is None
    assert service.problem is not None
    assert re.search(BROKEN[how], service.problem)
    assert counters.get_sample_value("headrace_plan_failures_total", {"reason": "ContractError"}) == 1


def test_first_plan_cannot_be_played(start: Start, store: ModelStore) -> None:
    """With nothing to fall back on the service is not ready, and says why."""
    service = start()
    service.learn(plans(("p", 2, [broken_arm(store, "graph")])), now=0.0)
    assert "plan 2 of p" in str(service.ready())


def test_tried_again(start: Start, store: ModelStore, tmp_path: Path) -> None:
    """A package that appears later is taken up by itself."""
    late = graphs.package(version="9")
    service = start()
    service.learn(plans(("p", 1, [arm(late, f"{tmp_path}/models/m/9/{late.digest[7:]}")])), now=0.0)
    assert service.ready() is not None
    store.put(late)
    service.tick(1.0, {})
    assert service.ready() is not None, "not before its time"
    service.tick(60.0, {})
    assert service.ready() is None


@pytest.mark.parametrize(("arms", "reason"), [((), "no_champion"), (("champion", "champion"), "no_champion")])
def test_plan_without_a_champion(
    start: Start, store: ModelStore, counters: CollectorRegistry, arms: tuple[str, ...], reason: str
) -> None:
    """A plan needs one champion; without, the one before goes on."""
    package = graphs.package()
    service = start(package)
    fact = [arm(OTHER, store.put(OTHER), name) for name in arms]
    service.learn(plans(("p", 2, fact)), now=0.0)
    assert rows(service.process(features([1.0], [1]), now=0.0))[0]["plan_version"] == 1
    assert counters.get_sample_value("headrace_plan_failures_total", {"reason": reason}) == 1


def test_other_arms_wait(start: Start, store: ModelStore) -> None:
    """Arms in the dark are read and not played."""
    package = graphs.package()
    service = start()
    fact = [arm(OTHER, store.put(OTHER), "shadow"), arm(package, store.put(package))]
    service.learn(plans(("p", 1, fact)), now=0.0)
    assert rows(service.process(features([1.0], [1]), now=0.0))[0]["arm"] == "champion"


def through() -> ModelPackage:
    """A model that answers its first input."""
    node = helper.make_node("ReduceMax", ["features"], ["probability"], axes=[1], keepdims=1)
    return pack(graphs.manifest(), graphs.serialise([node], [graphs.vector("features", 2)]))


def test_non_finite_scores(start: Start) -> None:
    """Rows without a finite score go to the dead letters, their neighbours are predicted."""
    batch = features([1.0, None, 3.0, float("inf")], [1, 2, 3, 4])
    output = start(through()).process(batch, now=0.0)
    assert [r["event_id"] for r in rows(output)] == ["e0", "e2"]
    assert [(r.partition, r.offset, r.reason) for r in output.rejects] == [
        (0, 101, "non_finite_score"),
        (0, 103, "non_finite_score"),
    ]


def test_nulls_are_missing(start: Start) -> None:
    """A null feature reaches the model as NaN, whatever its type."""
    output = start(graphs.package()).process(features([1.0, 1.0], [None, 1]), now=0.0)
    assert len(output.rejects) == 1


def test_slices(start: Start) -> None:
    """A slice of a batch gives what the whole gives for these rows."""
    service = start(graphs.package())
    batch = features(list(np.arange(10.0)), list(range(10)))
    whole = rows(service.process(batch, now=0.0))
    part = rows(service.process(batch.slice(slice(3, 7)), now=0.0))
    for row in (*whole, *part):
        row.pop("compute_micros")  # measured
    assert part == whole[3:7]


def test_empty_batch(start: Start) -> None:
    """No rows give no predictions."""
    assert rows(start(graphs.package()).process(features([], []), now=0.0)) == []


def test_large_batch(start: Start) -> None:
    """Thousands of rows go through inner batches and come out in order."""
    amounts = np.random.default_rng(0).normal(50, 20, 10_000)
    scored = rows(start(graphs.package()).process(features(list(amounts), [1] * 10_000), now=0.0))
    np.testing.assert_allclose([r["score"] for r in scored], 1 / (1 + np.exp(-(amounts * 0.01 - 0.5))), rtol=1e-5)


@pytest.mark.parametrize(
    ("features_schema", "named"),
    [
        (FEATURES.remove(FEATURES.get_field_index("entity")), "entity"),
        (FEATURES.set(0, pa.field("event_id", pa.int64())), "event_id is int64"),
    ],
)
def test_predictions_need_their_columns(store: ModelStore, features_schema: pa.Schema, named: str) -> None:
    """A predictions schema with columns that nobody provides is refused when the service is made."""
    with pytest.raises(ContractError, match=named):
        Score(
            "p",
            features_schema,
            PREDICTIONS,
            ControlEvents("p", "score", "m", CONTROL),
            store,
            SessionSettings(),
            ScoreMetrics(CollectorRegistry()),
            time.perf_counter,
        )


CANARY = pack(graphs.manifest(version="2", threshold=0.2), graphs.logistic((0.02, -0.25)))


def canary_plan(
    store: ModelStore, share: float, version: int = 1, salt: str = "", package: ModelPackage = CANARY
) -> Batch:
    """A plan whose canary answers this share."""
    champion = graphs.package()
    arms = [arm(champion, store.put(champion)), arm(package, store.put(package), "canary", share=share)]
    return plans(("p", version, arms), salt=salt)


def crowd(rows: int = 2_000) -> Batch:
    """A batch in which every row is another entity's."""
    batch = features([100.0] * rows, [1] * rows)
    entities = pa.array([f"c{row}" for row in range(rows)])
    return replace(batch, columns=batch.columns.set_column(1, FEATURES.field("entity"), entities))


def answered(output: Output) -> dict[str, dict[str, Any]]:
    """Predictions by event."""
    found = [row for emit in output.emits if emit.topic == "predictions" for row in emit.columns.to_pylist()]
    by_event = {row["event_id"]: row for row in found}
    assert len(by_event) == len(found), "an event was answered twice"
    return by_event


def test_canary(start: Start, store: ModelStore, counters: CollectorRegistry) -> None:
    """Each event is answered once: by the canary for its share of the entities, else by the champion."""
    service = start()
    service.learn(canary_plan(store, 0.3), now=0.0)
    batch = crowd()
    found = answered(service.process(batch, now=0.0))
    assert len(found) == len(batch)
    tried = shares(batch.columns["entity"], "p") < 0.3
    assert [found[f"e{row}"]["arm"] == "canary" for row in range(len(batch))] == tried.tolist()
    one, two = (next(row for row in found.values() if row["arm"] == kind) for kind in ("champion", "canary"))
    assert one["score"] == pytest.approx(1 / (1 + np.exp(-0.5)), rel=1e-6)
    assert two["score"] == pytest.approx(1 / (1 + np.exp(-1.75)), rel=1e-6)
    assert two["prediction_id"] == f"{two['event_id']}/m@2/canary"
    assert counters.get_sample_value("headrace_answers_total", {"arm": "canary"}) == tried.sum()
    assert counters.get_sample_value("headrace_canary_share") == 0.3


def test_canary_keys_and_sources(start: Start, store: ModelStore) -> None:
    """Either arm's predictions keep their records' keys and partitions."""
    service = start()
    service.learn(canary_plan(store, 0.5), now=0.0)
    batch = replace(crowd(40), partition=np.repeat(np.arange(4, dtype=np.int32), 10))
    for emit in service.process(batch, now=0.0).emits:
        rows = [int(event[1:]) for event in emit.columns["event_id"].to_pylist()]
        assert rows == sorted(rows)
        assert emit.key is not None
        assert emit.key.to_pylist() == [str(row).encode() for row in rows]
        np.testing.assert_array_equal(emit.source, np.array(rows) // 10)


def test_a_share_grows(start: Start, store: ModelStore) -> None:
    """With a larger share entities come to the canary and none goes back; with another salt all are dealt anew."""
    service = start()
    arms = []
    for version, (share, salt) in enumerate([(0.05, ""), (0.10, ""), (0.10, "p"), (0.10, "autumn")], 1):
        service.learn(canary_plan(store, share, version, salt), now=0.0)
        found = answered(service.process(crowd(), now=0.0))
        arms.append({event for event, row in found.items() if row["arm"] == "canary"})
    assert arms[0] < arms[1]
    assert arms[1] == arms[2], "no salt is the pipeline's name"
    assert arms[2] != arms[3]


@pytest.mark.parametrize(("share", "arms"), [(0.0, {"champion"}), (1.0, {"canary"})])
def test_no_share_and_all(start: Start, store: ModelStore, share: float, arms: set[str]) -> None:
    """A share of 0 leaves all to the champion, one of 1 nothing."""
    service = start()
    service.learn(canary_plan(store, share), now=0.0)
    found = answered(service.process(crowd(100), now=0.0))
    assert len(found) == 100
    assert {row["arm"] for row in found.values()} == arms


def test_a_canary_that_cannot_be_played(start: Start, store: ModelStore) -> None:
    """A plan whose canary does not load is not taken up, not even its champion; it is said, so that it is put back."""
    service = start(graphs.package())
    broken = pack(graphs.manifest(version="3"), b"no graph")
    service.learn(canary_plan(store, 0.5, 2, package=broken), now=0.0)
    output = service.process(crowd(50), now=0.0)
    found = answered(output)
    assert {(row["arm"], row["plan_version"]) for row in found.values()} == {("champion", 1)}
    assert [(each.model, each.plan_version) for each in breaches(output)] == [("m@3", 2)]
    assert "m@3" in str(service.problem)


def together(version: str) -> ModelPackage:
    """A model whose score of a row is its place among the rows of its call."""
    nodes = [
        helper.make_node("ReduceMax", ["features"], ["own"], axes=[1], keepdims=1),
        helper.make_node("Softmax", ["own"], ["probability"], axis=0),
    ]
    return pack(graphs.manifest(version=version), graphs.serialise(nodes, [graphs.vector("features", 2)]))


@pytest.mark.parametrize("kind", ["champion", "canary", "member", "stacking"])
def test_a_plan_of_scores_that_depend_on_other_rows(start: Start, store: ModelStore, kind: str) -> None:
    """A fact that nobody tried its model for is not taken up; the plan before it goes on, and the reason is told."""
    package, bad = graphs.package(), together("9")
    service = start(package)
    named = arm(package, store.put(package))
    if kind == "champion":
        arms = [arm(bad, store.put(bad))]
    elif kind == "canary":
        arms = [named, arm(bad, store.put(bad), "canary", share=0.5)]
    else:
        members = tuple(EnsembleMember("m", p.manifest.version, p.digest, store.put(p)) for p in (package, CANARY))
        if kind == "member":
            members = (members[0], EnsembleMember("m", "9", bad.digest, store.put(bad)))
            both = Arm("champion", "both", "1", ensembles.digest_of("mean", members), "", 1.0, 0, 0.5, "mean", members)
        else:
            parameters = {"members": [member.digest for member in members]}
            titles = [member.title for member in members]
            bad = pack(graphs.manifest(titles, version="9", threshold=0.5, parameters=parameters), bad.graph)
            both = Arm("champion", "m", "9", bad.digest, store.put(bad), 1.0, 0, 0.5, "stacking", members)
        arms = [both]
    service.learn(plans(("p", 2, arms)), now=0.0)
    assert service.problem is not None
    assert "score depends on the rows beside it" in service.problem
    assert service.ready() is None
    assert rows(service.process(features([1.0], [1]), now=0.0))[0]["plan_version"] == 1


def test_a_broken_dark_model_is_not_ours(start: Start, store: ModelStore) -> None:
    """What is wrong with a shadow does not keep score from the plan."""
    package = graphs.package()
    service = start()
    dark = replace(arm(OTHER, "nowhere", "shadow"), digest="nonsense", combination="odd")
    service.learn(plans(("p", 1, [dark, arm(package, store.put(package))])), now=0.0)
    assert service.ready() is None


def broken_at_positive(version: str = "3") -> ModelPackage:
    """A model that gives no number where its largest input is above 0."""
    nodes = [
        helper.make_node("ReduceMax", ["features"], ["largest"], axes=[1], keepdims=1),
        helper.make_node("Neg", ["largest"], ["negative"]),
        helper.make_node("Log", ["negative"], ["probability"]),
    ]
    return pack(graphs.manifest(version=version), graphs.serialise(nodes, [graphs.vector("features", 2)]))


def breaches(output: Output) -> list[ArmBreached]:
    """What was said on the control topic."""
    told = [read_event(row) for emit in output.emits if emit.topic == "control" for row in emit.columns.to_pylist()]
    return [event.finding for event in told if event is not None and isinstance(event.finding, ArmBreached)]


def arms_of(output: Output) -> list[str]:
    """Who answered each event; each is answered once."""
    rows = [row for emit in output.emits if emit.topic == "predictions" for row in emit.columns.to_pylist()]
    assert len({row["event_id"] for row in rows}) == len(rows)
    return [row["arm"] for row in sorted(rows, key=lambda row: int(row["event_id"][1:]))]


def test_a_canary_without_a_finite_score_is_said_and_the_champion_answers(start: Start, store: ModelStore) -> None:
    """Once for a plan: no event suffers, and who releases can put it back."""
    package = broken_at_positive()
    service = start()
    service.learn(canary_plan(store, 0.5, package=package), now=0.0)
    batch = crowd(100)
    output = service.process(batch, now=7.0)
    tried = np.flatnonzero(shares(batch.columns["entity"], "p") < 0.5)
    assert not output.rejects
    assert arms_of(output) == ["champion"] * 100
    (breach,) = breaches(output)
    assert (breach.model, breach.arm, breach.digest) == ("m@3", "canary", package.digest)
    assert (breach.plan_version, breach.member, breach.breaker) == (1, "m", "non_finite_score")
    assert (breach.rows, breach.offsets) == (len(tried), {0: int(batch.offset[tried[0]])})
    assert "have a score by m@1 and none by it" in breach.detail
    assert not breaches(service.process(batch, now=8.0))
    service.learn(canary_plan(store, 0.5, 2, package=package), now=9.0)
    assert [each.plan_version for each in breaches(service.process(batch, now=9.0))] == [2]


def test_a_row_that_nobody_can_score_is_no_breach(start: Start, store: ModelStore) -> None:
    """A missing feature is none of the canary's doing: the row goes to the dead letters."""
    service = start()
    service.learn(canary_plan(store, 1.0, package=broken_at_positive()), now=0.0)
    output = service.process(features([float("nan"), 1.0], [1, 1]), now=0.0)
    assert [(reject.offset, reject.reason) for reject in output.rejects] == [(100, "non_finite_score")]
    assert "m@3" in output.rejects[0].detail
    assert [each.rows for each in breaches(output)] == [1]
    assert arms_of(output) == ["champion"]


def test_an_entity_is_answered_in_order_by_whom_it_is(start: Start, store: ModelStore) -> None:
    """The champion's answers for rows that the canary fails at stand where these rows do, with their keys."""
    service = start()
    service.learn(canary_plan(store, 1.0, package=broken_at_positive()), now=0.0)
    batch = features([-2.0, 1.0, -3.0, 4.0, -5.0], [-1, 1, -1, 1, -1], partition=[0, 0, 0, 2, 2])
    emit = service.process(batch, now=0.0).emits[0]
    assert emit.columns["event_id"].to_pylist() == ["e0", "e1", "e2", "e3", "e4"]
    assert emit.columns["arm"].to_pylist() == ["canary", "champion", "canary", "champion", "canary"]
    assert emit.key is not None
    assert emit.key.to_pylist() == batch.keys.to_pylist()
    np.testing.assert_array_equal(emit.source, [0, 0, 0, 2, 2])


@pytest.mark.parametrize(
    ("error", "breaker"),
    [(ContractError("m@2 does not run: it broke"), "does_not_run"), (MemoryError(), "out_of_memory")],
)
def test_a_canary_that_does_not_run_is_out_until_the_next_plan(
    start: Start, store: ModelStore, error: Exception, breaker: str
) -> None:
    """The champion answers all, and it is said; nothing that the champion does is lost with it."""
    service = start()
    service.learn(canary_plan(store, 0.5), now=0.0)
    assert service._live is not None
    assert service._live.canary is not None
    session = service._live.canary.models[0].session

    def broken(matrix: np.ndarray) -> np.ndarray:
        raise error

    session.run = broken  # type: ignore[method-assign]  # the one way to make a graph fail that passed its checks
    output = service.process(crowd(100), now=1.0)
    assert arms_of(output) == ["champion"] * 100
    (breach,) = breaches(output)
    assert (breach.model, breach.breaker, breach.detail) == ("m@2", breaker, str(error))
    assert not breaches(service.process(crowd(100), now=2.0))


def test_an_ensemble_answers(start: Start, store: ModelStore) -> None:
    """The champion may be several models."""
    packages = (graphs.package(), CANARY)
    members = tuple(EnsembleMember("m", p.manifest.version, p.digest, store.put(p)) for p in packages)
    digest = ensembles.digest_of("mean", members)
    both = Arm("champion", "both", "1", digest, "", threshold=0.8, combination="mean", members=members)
    service = start()
    service.learn(plans(("p", 1, [both])), now=0.0)
    (row,) = rows(service.process(features([100.0], [1]), now=0.0))
    wanted = (1 / (1 + np.exp(-0.5)) + 1 / (1 + np.exp(-1.75))) / 2
    assert row["score"] == pytest.approx(wanted, rel=1e-6)
    assert (row["decision"], row["model"]["digest"]) == (False, digest)
