"""A candidate of several classes against its champion on the same outcomes: what gates are told."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from sklearn import metrics

from headrace.domain.evaluation.back_test import back_test, figures_of
from headrace.domain.evaluation.golden_rows import golden_rows, latency_of
from headrace.domain.models.matrix import FeatureMatrix
from headrace.domain.models.model_loader import LoadedModel, OpenArm
from headrace.domain.models.sessions import SessionSettings, open_session
from headrace.domain.pipeline.contracts import outcomes
from headrace.domain.pipeline.release.gate_rules import GateRule
from headrace.domain.pipeline.release.spec import Fairness, Release
from headrace.domain.plans.plans import Arm
from headrace.domain.release.gates import answer_gates
from headrace.domain.training.dataset import Dataset
from headrace.domain.training.model_build import Recipe, train
from headrace.operations.release.forecast import event_losses
from headrace.streaming.contracts.schemas import load_schema
from tests.drift.test_classes import COSTS, INPUTS, NAMES, of
from tests.scorecards.test_classes import Rows, told
from tests.several import decisions

ROWS = 2_400


def opened(noise: float, version: str) -> OpenArm:
    """A model of amounts that was fitted on labels with so much noise."""
    draw = np.random.default_rng(1)
    amounts = draw.lognormal(3.5, 1, 3_000).astype(np.float32)
    labels = np.searchsorted([20, 60], amounts * draw.lognormal(0, noise, 3_000)).astype(np.int8)
    data = Dataset(INPUTS, np.asfortranarray(amounts[:, None]), labels, np.arange(3_000) * 60_000, classes=NAMES)
    package = train(data, Recipe("m", version, threshold=0.5, trees=20, costs=COSTS))
    schema = load_schema(outcomes(of())).arrow
    session = open_session(package, SessionSettings(device="cpu", rows=256, classes=NAMES))
    matrix = FeatureMatrix.resolve(package.manifest.inputs, schema, "m")
    arm = Arm("champion", "m", version, package.digest, "nowhere")
    return OpenArm(arm, 0.5, (LoadedModel(package, session, matrix),))


def events(draw: np.random.Generator) -> tuple[pa.Table, np.ndarray]:
    """Outcomes of later events, and what was true of them, of some nothing."""
    amounts = draw.lognormal(3.5, 1, ROWS)
    truth = np.searchsorted([20, 60], amounts * draw.lognormal(0, 0.2, ROWS)).astype(np.float64)
    truth[draw.random(ROWS) < 0.1] = np.nan
    times = 10**9 + np.arange(ROWS) * 1_000
    rows = Rows(times, amounts, np.full((ROWS, 3), 1 / 3), truth, truth)
    return pa.Table.from_batches([told(of(), "outcomes", rows, truth)]), truth


@pytest.fixture(scope="module")
def arms() -> tuple[OpenArm, OpenArm]:
    """A good champion and a bad candidate."""
    return opened(0.2, "1"), opened(1.5, "2")


def test_gates_are_told_of_classes(arms: tuple[OpenArm, OpenArm]) -> None:
    """Figures of both as scikit-learn has them, in all and in groups; a worse model fails."""
    table, truth = events(np.random.default_rng(2))
    tested = back_test(table, truth, *arms, of())
    assert len(tested) == int((~np.isnan(truth)).sum())
    known = table.filter(pa.array(~np.isnan(truth)))
    rules = Release(
        gates={
            "macro_f1": GateRule("not_worse", 0.01),
            "recall_hen": GateRule("at_least", 0.99),
            "cost_per_event": GateRule("better"),
        },
        groups={"amount_band": {"accuracy": GateRule("not_worse", 0.02)}},
        fairness=Fairness("amount_band", 0.01, "accuracy"),
    )
    found = figures_of(rules, tested, of())
    amounts = np.asfortranarray(known["event"].combine_chunks().field("amount").to_numpy()[:, None].astype(np.float32))
    for side, arm in zip("ab", arms, strict=True):
        scores = arm.models[0].session.run(amounts)
        places = decisions(scores.astype(np.float64), of())[0]
        true = truth[~np.isnan(truth)].astype(int)
        macro = metrics.f1_score(true, places, average="macro", zero_division=0)
        assert getattr(found.differences["macro_f1"], side) == pytest.approx(macro)
        cost = np.array(COSTS)[true, places].mean()
        assert getattr(found.differences["cost_per_event"], side) == pytest.approx(cost)
    answers = {each.gate: each for each in answer_gates(rules, found)}
    assert answers["macro_f1"].standing == "failed"
    assert answers["recall_hen"].standing == "failed"
    assert answers["cost_per_event"].standing == "failed"
    assert any(gate.startswith("amount_band=") for gate in answers)
    assert answers["fairness of amount_band"].figure is not None


def test_a_model_is_as_good_as_itself(arms: tuple[OpenArm, OpenArm]) -> None:
    """No difference, and none that is certain."""
    table, truth = events(np.random.default_rng(3))
    tested = back_test(table, truth, arms[0], arms[0], of())
    rules = Release(gates={"macro_f1": GateRule("not_worse", 0.01), "log_loss": GateRule("better")})
    found = figures_of(rules, tested, of())
    assert found.differences["macro_f1"].difference == 0
    standing = {each.gate: each.standing for each in answer_gates(rules, found)}
    assert standing == {"macro_f1": "passed", "log_loss": "unknown"}


def test_golden_rows_are_scored(arms: tuple[OpenArm, OpenArm]) -> None:
    """One row alone takes some time; without labels there is nothing to compare."""
    table, truth = events(np.random.default_rng(4))
    tested = back_test(table, truth, *arms, of())
    assert latency_of(arms[0], golden_rows(tested.columns)[:2]) > 0
    nothing = back_test(table, np.full(ROWS, np.nan), *arms, replace(of(), segments={}))
    assert len(nothing) == 0
    assert figures_of(Release(gates={"accuracy": GateRule("better")}), nothing, of()).differences == {}


def test_forecasts_go_by_what_evidence_weighs() -> None:
    """Half of Brier's score of each outcome; nothing of those without a label."""
    table, truth = events(np.random.default_rng(5))
    found = event_losses(table, truth, Release())
    known = ~np.isnan(truth)
    assert np.isnan(found[~known]).all()
    true = np.eye(3)[truth[known].astype(int)]
    np.testing.assert_allclose(found[known], 0.5 * ((np.full((known.sum(), 3), 1 / 3) - true) ** 2).sum(axis=1))
