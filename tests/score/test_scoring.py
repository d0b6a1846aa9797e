"""Score: which plan is played, and what a prediction says."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from onnx import helper
from prometheus_client import CollectorRegistry

from services.inference.package import ModelPackage, pack
from services.inference.plans import Arm
from services.inference.sessions import SessionSettings
from services.inference.store import ModelStore
from services.kit.batch import Output
from services.kit.errors import ContractError, Transient
from services.score.figures import Figures
from services.score.scoring import Score
from tests.inference import graphs
from tests.inference.parts import FEATURES, PREDICTIONS, arm, features, plans

Start = Callable[..., Score]
OTHER = pack(graphs.manifest(version="2", threshold=0.0), graphs.logistic((0.0, 0.0)))


def rows(output: Output) -> list[dict[str, Any]]:
    """The predictions emitted."""
    (emit,) = output.emits
    assert emit.topic == "predictions"
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
def test_a_plan_that_cannot_be_played(start: Start, store: ModelStore, registry: CollectorRegistry, how: str) -> None:
    """The model before goes on answering, whole, and the failure is counted and told."""
    service = start(graphs.package())
    service.learn(plans(("p", 2, [broken_arm(store, how)])), now=0.0)
    (row,) = rows(service.process(features([1.0], [1]), now=0.0))
    assert (row["plan_version"], row["model"]["version"]) == (1, "1")
    assert service.ready() is None
    assert service.problem is not None
    assert re.search(BROKEN[how], service.problem)
    assert registry.get_sample_value("headrace_plan_failures_total", {"reason": "ContractError"}) == 1


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
    start: Start, store: ModelStore, registry: CollectorRegistry, arms: tuple[str, ...], reason: str
) -> None:
    """A plan needs one champion; without, the one before goes on."""
    package = graphs.package()
    service = start(package)
    fact = [arm(OTHER, store.put(OTHER), name) for name in arms]
    service.learn(plans(("p", 2, fact)), now=0.0)
    assert rows(service.process(features([1.0], [1]), now=0.0))[0]["plan_version"] == 1
    assert registry.get_sample_value("headrace_plan_failures_total", {"reason": reason}) == 1


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
    assert rows(service.process(batch.slice(slice(3, 7)), now=0.0)) == whole[3:7]


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
        Score("p", features_schema, PREDICTIONS, store, SessionSettings(), Figures(CollectorRegistry()))
