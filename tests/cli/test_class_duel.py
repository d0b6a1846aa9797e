"""Duels of models of several classes: figures of scikit-learn, evidence, and what is on paper."""

from __future__ import annotations

from dataclasses import replace
from io import StringIO

import numpy as np
import pyarrow as pa
import pytest
from rich.console import Console
from sklearn import metrics

from headrace.cli.render.comparison import duel_sheet
from headrace.domain.pipeline.release.gate_rules import GateRule
from headrace.domain.pipeline.release.spec import Release
from headrace.domain.pipeline.spec import Pipeline
from headrace.domain.scorecards.identity import Identity
from headrace.operations.comparison.anytime_evidence import EvidenceRequest
from headrace.operations.comparison.duel import DuelRequest, compared
from headrace.operations.comparison.model_choice import Rival
from headrace.operations.comparison.prediction_table import Floats, PredictionColumns, Read, Truths
from headrace.operations.comparison.results import ClassDisagreement, Duel
from headrace.operations.comparison.training_overlap import Origin, TrainingOverlap
from headrace.operations.time_spans import TimeSpan
from tests.scorecards.made import pipeline
from tests.several import decisions, of_classes

NAMES = ("cat", "dog", "hen")
COSTS = ((0.0, 1.0, 4.0), (1.0, 0.0, 1.0), (1.0, 1.0, 0.0))
DAY = 86_400_000
WHO = Identity("m", "1", "d1", "champion"), Identity("m", "2", "d2", "challenger")


def of() -> Pipeline:
    """Three classes, and a gate on one of them."""
    made = of_classes(pipeline(), NAMES, COSTS, threshold=0.4)
    return replace(made, release=Release(gates={"recall_hen": GateRule("better")}))


def models(rows: int, noise: float) -> tuple[Floats, Floats, Floats]:
    """(chances of a, those of b, labels): b is off by more."""
    draw = np.random.default_rng(1)
    logits = 1.5 * draw.normal(size=(rows, 3))

    def chances(by: float) -> Floats:
        raised = np.exp(logits + by * draw.normal(size=logits.shape))
        found: Floats = raised / raised.sum(axis=1, keepdims=True)
        return found

    labels = (chances(0.0).cumsum(axis=1) < draw.random((rows, 1))).sum(axis=1).clip(max=2).astype(np.float64)
    labels[draw.random(rows) < 0.1] = np.nan
    return chances(0.3), chances(noise), labels


def columns_of(chances: Floats, ids: list[str]) -> PredictionColumns:
    """What a model answered, as topics have it."""
    rows = len(ids)
    places, scores, flagged = decisions(chances, of())
    single = np.ones(rows, np.float32)
    groups = pa.array(["low", "high"] * (rows // 2)).dictionary_encode()
    times = np.linspace(0, 10 * DAY, rows).astype(np.int64)
    plain = pa.array(ids, pa.string()), pa.array(["x"] * rows), times, scores, flagged
    return PredictionColumns(*plain, single, np.zeros(rows, np.bool_), single, groups, pa.nulls(rows), chances, places)


def duel(rows: int = 4_000, noise: float = 1.0, apart: bool = False) -> tuple[Duel, tuple[Floats, Floats, Floats]]:
    """All of it."""
    a, b, labels = models(rows, noise)
    ids = [f"e{row}" for row in range(rows)]
    others = [f"o{row}" for row in range(rows)] if apart else ids
    read = Read(dict.fromkeys(WHO, rows), dict.fromkeys(WHO, "predictions"))
    read.parts = {WHO[0]: [columns_of(a, ids)], WHO[1]: [columns_of(b, others)]}
    zeros, told = np.zeros(rows, np.int64), np.full(rows, 100 * DAY)
    truths = Truths(pa.array(ids), labels, zeros, told)
    if apart:
        both = np.concatenate([labels, labels])
        truths = Truths(pa.array([*ids, *others]), both, np.tile(zeros, 2), np.tile(told, 2))
    request = DuelRequest((Rival("champion"), Rival("challenger")), segment="amount_band", evidence=EvidenceRequest())
    span = TimeSpan(0, 11 * DAY)
    return compared(of(), span, read, truths, WHO, request, TrainingOverlap(Origin(), Origin())), (a, b, labels)


def sheet(found: Duel) -> str:
    """On a terminal."""
    console = Console(file=StringIO(), width=110)
    for part in duel_sheet(found, "ever", of(), 110):
        console.print(part)
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


def test_figures_are_those_of_scikit_learn() -> None:
    """Of the same events; the gate's figure decides; agreement is of classes; none is positive."""
    found, (a, b, labels) = duel()
    known = ~np.isnan(labels)
    truth = labels[known].astype(int)
    places = [decisions(each, of())[0] for each in (a, b)]
    figures = found.quality.figures
    for which, each in enumerate(places):
        side = "ab"[which]
        wanted = {
            "accuracy": metrics.accuracy_score(truth, each[known]),
            "macro_f1": metrics.f1_score(truth, each[known], average="macro"),
            "recall_hen": metrics.recall_score(truth, each[known], labels=[2], average="macro"),
            "log_loss": metrics.log_loss(truth, (a, b)[which][known], labels=range(3)),
            "cost_per_event": np.array(COSTS)[truth, each[known]].mean(),
        }
        for name, value in wanted.items():
            assert getattr(figures[name], side) == pytest.approx(value), name
    assert found.verdict.by == "recall_hen"
    assert found.decisions is not None
    assert found.decisions.agreement == pytest.approx((places[0] == places[1]).mean())
    assert found.decisions.kappa == pytest.approx(metrics.cohen_kappa_score(*places))
    assert found.quality.positives == 0
    assert not {"auc_roc", "average_precision", "value", "mean_squared_error"} & figures.keys()


def test_evidence_is_half_of_briers_score() -> None:
    """A model that is off by much is said to be worse, by what it loses."""
    found, (a, b, labels) = duel()
    known = ~np.isnan(labels)
    true = np.eye(3)[labels[known].astype(int)]
    assert found.evidence.answer == "harm"
    assert found.evidence.loss_a == pytest.approx(0.5 * ((a[known] - true) ** 2).sum(axis=1).mean())
    assert found.evidence.loss_b == pytest.approx(0.5 * ((b[known] - true) ** 2).sum(axis=1).mean())


def test_disagreements_name_the_classes() -> None:
    """Those whose chances differ most come first."""
    found, (a, b, _) = duel()
    apart = np.abs(a - b).sum(axis=1) / 2
    assert len(found.disagreements) == 10
    for each, wanted in zip(found.disagreements, np.sort(apart)[::-1], strict=False):
        assert isinstance(each, ClassDisagreement)
        assert each.apart == pytest.approx(wanted)
        assert {each.class_a, each.class_b} <= set(NAMES)


def test_on_paper() -> None:
    """Classes by their names, nothing of positives, groups too."""
    text = sheet(duel()[0])
    for said in (
        "same class",
        "half of Brier's score",
        "recall hen",
        "whose chances differ most",
        "amount_band",
        "hen",
    ):
        assert said in text
    for wrong in ("positive", "average precision", "rank A"):
        assert wrong not in text


def test_on_events_of_their_own() -> None:
    """Means of rows are compared as of independent groups; there is no evidence, and it says why."""
    found, (a, b, labels) = duel(apart=True)
    known = ~np.isnan(labels)
    truth = labels[known].astype(int)
    assert set(found.quality.figures) == {"brier_score", "log_loss", "accuracy", "cost_per_event"}
    for side, each in (("a", a), ("b", b)):
        wanted = metrics.accuracy_score(truth, decisions(each, of())[0][known])
        assert getattr(found.quality.figures["accuracy"], side) == pytest.approx(wanted)
    assert found.verdict.by == "brier_score"
    assert found.verdict.answer == "worse"
    assert found.evidence.answer == "unknown"


def test_too_few_outcomes_say_so() -> None:
    """Nothing is said of positives."""
    found, _ = duel(rows=2)
    if found.quality.labelled < 2:
        assert "positive" not in found.verdict.sentence
    assert found.verdict.answer in ("unknown", "unclear")


def test_chances_that_are_none_are_no_evidence() -> None:
    """They do not add up: nobody can tell."""
    made = models(50, 1.0)
    ids = [f"e{row}" for row in range(50)]
    read = Read(dict.fromkeys(WHO, 50), dict.fromkeys(WHO, "predictions"))
    read.parts = {WHO[0]: [columns_of(made[0], ids)], WHO[1]: [columns_of(made[1] * 0.5, ids)]}
    truths = Truths(pa.array(ids), made[2], np.zeros(50, np.int64), np.full(50, 100 * DAY))
    request = DuelRequest((Rival("champion"), Rival("challenger")))
    overlap = TrainingOverlap(Origin(), Origin())
    found = compared(of(), TimeSpan(0, 11 * DAY), read, truths, WHO, request, overlap)
    assert "no chances" in found.evidence.sentence
