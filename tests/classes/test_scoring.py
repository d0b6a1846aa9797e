"""What score and shadow make of the probabilities of several classes, of any names, in any order, at any cost."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import helper, numpy_helper
from prometheus_client import CollectorRegistry

from headrace.domain.control.events import ControlEvents
from headrace.domain.models import ensembles
from headrace.domain.models.model_loader import Opener, Pass
from headrace.domain.models.package import ModelPackage, pack
from headrace.domain.models.sessions import SessionSettings
from headrace.domain.models.store import ModelStore
from headrace.domain.pipeline.classes.decision import equal_costs
from headrace.domain.pipeline.classes.names import field_name, field_names
from headrace.domain.pipeline.spec import Model
from headrace.domain.plans.plans import Arm, EnsembleMember
from headrace.domain.records.predictions import PredictionRecords
from headrace.errors import ContractError
from services.score.metrics import ScoreMetrics
from services.score.service import Score
from services.shadow.load_shedder import Shedding
from services.shadow.metrics import ShadowMetrics
from services.shadow.service import Shadow
from services.shadow.shadow_models import Dark
from tests.models import graphs
from tests.models.parts import FEATURES, PREDICTIONS, arm, features, plans
from tests.score.conftest import CONTROL
from tests.score.test_scoring import breaches

THREE = ("cat", "dog", "eel")
WEIGHTS = np.array([[0.1, -0.1, 0.0], [-0.5, 0.5, 0.3]], np.float32)
AMOUNTS, COUNTS = [10.0, 0.0, -20.0, 30.0], [1, 2, 3, 9]


def package(
    classes: Sequence[str] = THREE,
    weights: np.ndarray = WEIGHTS,
    version: str = "1",
    last: str = "Softmax",
    **more: Any,
) -> ModelPackage:
    """A line for each class, with a softmax behind it or something else."""
    nodes = [
        helper.make_node("MatMul", ["features", "w"], ["margin"]),
        helper.make_node(last, ["margin"], ["class"], **({"axis": 1} if last == "Softmax" else {})),
    ]
    w = numpy_helper.from_array(np.asarray(weights, np.float32), "w")
    graph = graphs.serialise(nodes, [graphs.vector("features", 2)], [w], graphs.vector("class", len(classes)))
    return pack(graphs.manifest(version=version, output="class", classes=tuple(classes), **more), graph)


def model(classes: Sequence[str] = THREE, costs: Sequence[Sequence[float]] | None = None) -> Model:
    """What the pipeline says of its model."""
    table = equal_costs(len(classes)) if costs is None else tuple(map(tuple, costs))
    return Model("m", ("amount",), "class", 0.0, classes=tuple(classes), costs=table)


def told_as(classes: Sequence[str] = THREE) -> pa.Schema:
    """Columns of predictions of these classes."""
    struct = pa.struct([pa.field(name, pa.float64(), nullable=False) for name in field_names(classes)])
    at = PREDICTIONS.get_field_index("decision") + 1
    fields = list(PREDICTIONS)
    own = [pa.field("class", pa.string(), nullable=False), pa.field("scores", struct, nullable=False)]
    return pa.schema([*fields[:at], *own, *fields[at:]])


def score(store: ModelStore, of: Model, arms: Sequence[Arm]) -> Score:
    """The service, with a plan of these arms."""
    service = Score(
        "p", FEATURES, told_as(of.classes), ControlEvents("p", "score", "m", CONTROL), store,
        SessionSettings("cpu", rows=64, classes=of.classes), ScoreMetrics(CollectorRegistry()), time.perf_counter,
        model=of,
    )  # fmt: skip  # as the service has them
    service.learn(plans(("p", 1, arms)), now=0.0)
    return service


def chances(weights: np.ndarray, amounts: Sequence[float] = AMOUNTS, counts: Sequence[int] = COUNTS) -> np.ndarray:
    """What NumPy makes of them, [rows, classes]."""
    margins = np.column_stack([amounts, counts]) @ np.asarray(weights, np.float64)
    found = np.exp(margins - margins.max(axis=1, keepdims=True))
    return np.asarray(found / found.sum(axis=1, keepdims=True))


def answers(output: Any) -> list[dict[str, Any]]:
    """The predictions of an output."""
    return [row for emit in output.emits if emit.topic == "predictions" for row in emit.columns.to_pylist()]


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    """An empty model store."""
    return ModelStore(str(tmp_path / "models"), tmp_path / "cache")


TEXTS = st.text(st.characters(exclude_categories=("C", "Z")), min_size=1, max_size=8).filter(
    lambda text: not any(letter.isdecimal() for letter in text)
)
SPACED = st.tuples(TEXTS, TEXTS).map(" ".join)


@st.composite
def cases(draw: Any) -> tuple[list[str], list[int], np.ndarray, list[list[int]]]:
    """(classes of a pipeline, their places in a package, weights in the package's order, costs)."""
    count = draw(st.integers(2, 6))
    kind = draw(st.sampled_from([TEXTS | SPACED, st.integers(-99, 10**9).map(str)]))
    names = draw(st.lists(kind, min_size=count, max_size=count, unique_by=field_name))
    order = draw(st.permutations(range(count)))
    weights = np.array(draw(st.lists(st.integers(-8, 8), min_size=2 * count, max_size=2 * count)), float)
    costs = draw(st.lists(st.lists(st.integers(0, 5), min_size=count, max_size=count), min_size=count, max_size=count))
    table = [[0 if i == j else cost for j, cost in enumerate(row)] for i, row in enumerate(costs)]
    return names, order, weights.reshape(2, count) / 16, table


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(cases())
def test_any_classes_at_any_cost(case: tuple[list[str], list[int], np.ndarray, list[list[int]]]) -> None:
    """Scores stand under their classes' names, whatever the package's order; the class is one that costs least."""
    names, order, weights, costs = case
    with tempfile.TemporaryDirectory() as folder:
        store = ModelStore(f"{folder}/models", Path(folder) / "cache")
        made = package([names[at] for at in order], weights, threshold=0.0)
        service = score(store, model(names, costs), [arm(made, store.put(made))])
        assert service.ready() is None, service.problem
        found = answers(service.process(features(AMOUNTS, COUNTS), now=0.0))
    wanted = chances(weights)[:, np.argsort(order)]
    for row, expected in zip(found, wanted, strict=True):
        told = [row["scores"][field_name(name)] for name in names]
        assert np.abs(np.array(told) - expected).max() < 1e-5
        place = names.index(row["class"])
        assert row["score"] == told[place]
        spent = np.array(told) @ np.array(costs, float)
        assert spent[place] <= spent.min() + 1e-12
        assert row["decision"] is True


def test_a_threshold_holds_for_the_class_decided_on(store: ModelStore) -> None:
    """A class that is decided on with less chance is a no."""
    made = package(threshold=0.9)
    service = score(store, model(), [arm(made, store.put(made))])
    found = answers(service.process(features(AMOUNTS, COUNTS), now=0.0))
    wanted = chances(WEIGHTS).max(axis=1) >= 0.9
    assert [row["decision"] for row in found] == wanted.tolist()
    assert 0 < wanted.sum() < len(wanted)


def test_a_model_of_other_classes_is_not_played(store: ModelStore) -> None:
    """The plan before goes on; what differs is said."""
    first, other = package(), package(("cat", "dog", "fox"), version="2")
    service = score(store, model(), [arm(first, store.put(first))])
    service.learn(plans(("p", 2, [arm(other, store.put(other))])), now=0.0)
    assert service.problem is not None
    assert "m@2 tells cat, dog, fox apart, the pipeline cat, dog, eel: it does not know eel, and the" in service.problem
    assert {row["model"]["version"] for row in answers(service.process(features([1.0], [1]), now=0.0))} == {"1"}
    two = pack(graphs.manifest(version="3"), graphs.logistic())
    service.learn(plans(("p", 3, [arm(two, store.put(two))])), now=1.0)
    assert "nothing says which is which; say so in model.yaml" in str(service.problem)


def test_rows_without_finite_scores_have_no_prediction(store: ModelStore) -> None:
    """The others of the batch have theirs, and the reject says all scores."""
    made = package()
    service = score(store, model(), [arm(made, store.put(made))])
    output = service.process(features([1.0, None, 2.0], [1, 1, 1]), now=0.0)
    assert [row["event_id"] for row in answers(output)] == ["e0", "e2"]
    (reject,) = output.rejects
    assert (reject.reason, reject.detail) == ("non_finite_score", "m@1 gave nan, nan, nan for these features")


def test_a_canary_that_fails_is_answered_for_by_the_champion(store: ModelStore) -> None:
    """Row by row, in their order, and said once."""
    champion = package()
    bad = package(version="2", last="Sqrt")  # no number below 0
    arms = [arm(champion, store.put(champion)), arm(bad, store.put(bad), "canary", share=1.0)]
    service = score(store, model(), arms)
    output = service.process(features(AMOUNTS, COUNTS), now=0.0)
    found = answers(output)
    assert [row["event_id"] for row in found] == ["e0", "e1", "e2", "e3"]
    assert {row["arm"] for row in found} == {"champion"}
    wanted = chances(WEIGHTS).argmax(axis=1)
    assert [row["class"] for row in found] == [THREE[place] for place in wanted]
    assert [each.breaker for each in breaches(output)] == ["non_finite_score"]


def test_a_canary_whose_scores_do_not_add_up_is_withdrawn(store: ModelStore) -> None:
    """Once enough entities got such; each of three sigmoids is a chance, and together they are none."""
    champion, bad = package(), package(version="2", last="Sigmoid")
    arms = [arm(champion, store.put(champion)), arm(bad, store.put(bad), "canary", share=0.5)]
    service = score(store, model(), arms)
    said = []
    for part in range(20):
        rows = features([1.0] * 20, [1] * 20)
        entities = pa.array([f"c{part * 20 + at}" for at in range(20)])
        columns: Any = rows.columns.set_column(1, FEATURES.field("entity"), entities)
        said += breaches(service.process(rows.__class__(rows.topic, columns, rows.keys, rows.partition, rows.offset,
                                                         rows.timestamp), now=0.0))  # fmt: skip  # one call
    assert [each.breaker for each in said] == ["error_rate"]


def test_ensembles_are_made_class_by_class(store: ModelStore) -> None:
    """A mean and a weighted one; members' columns may stand in any order. Stacking is refused with the remedy."""
    one, two = package(), package(("eel", "cat", "dog"), WEIGHTS[:, ::-1] / 2, "2")
    opener = Opener(store, SessionSettings("cpu", rows=64, classes=THREE), FEATURES)
    rows = features(AMOUNTS, COUNTS).columns
    separate = [chances(WEIGHTS), chances(WEIGHTS[:, ::-1] / 2)[:, [1, 2, 0]]]
    for combination, weights in ((ensembles.MEAN, (1.0, 1.0)), (ensembles.WEIGHTED, (3.0, 1.0))):
        members = tuple(
            EnsembleMember(each.manifest.name, each.manifest.version, each.digest, store.put(each), weight)
            for each, weight in zip((one, two), weights, strict=True)
        )
        digest = ensembles.digest_of(combination, members)
        both = Arm("champion", "both", "1", digest, "", threshold=0.5, combination=combination, members=members)
        found = opener.open(both).score(Pass(rows, time.perf_counter))
        wanted = (weights[0] * separate[0] + weights[1] * separate[1]) / sum(weights)
        assert np.abs(found - wanted).max() < 1e-6
    stacked = Arm("champion", "m", "1", one.digest, store.put(one), combination=ensembles.STACKING, members=members)
    with pytest.raises(ContractError, match=r"stacks scores of members, and these have 3 each.*write mean or weighted"):
        opener.open(stacked)


def test_models_are_scored_in_the_dark(store: ModelStore) -> None:
    """As by the champion; rows without finite scores are left out."""
    made = package()
    of = model(costs=((0, 1, 1), (9, 0, 1), (1, 1, 0)))
    figures = ShadowMetrics(CollectorRegistry())
    opener = Opener(store, SessionSettings("cpu", rows=64, classes=THREE), FEATURES)
    dark = Dark("p", opener, Shedding(30.0), ControlEvents("p", "shadow", "m", CONTROL), figures)
    records = PredictionRecords("shadow-predictions", FEATURES, told_as(), of)
    service = Shadow(records, dark, figures, lambda: 0.0, 15.0)
    uri = store.put(made)
    service.learn(plans(("p", 1, [arm(made, uri), arm(made, uri, "challenger")])), now=0.0)
    output = service.process(features([*AMOUNTS, None], [*COUNTS, 1]), now=0.0)
    (emit,) = (each for each in output.emits if each.topic == "shadow-predictions")
    found = emit.columns.to_pylist()
    assert len(found) == 4
    spent = chances(WEIGHTS) @ np.array(of.costs)
    assert [row["class"] for row in found] == [THREE[place] for place in spent.argmin(axis=1)]


def test_a_schema_without_classes_is_refused() -> None:
    """A pipeline of classes whose predictions tell of none, or the other way about, is a mistake of ours."""
    with pytest.raises(ContractError, match="are to tell 3 classes"):
        PredictionRecords("predictions", FEATURES, PREDICTIONS, model())
    with pytest.raises(ContractError, match="are to tell 0 classes"):
        PredictionRecords("predictions", FEATURES, told_as())
