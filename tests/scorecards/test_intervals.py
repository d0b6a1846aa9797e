"""Intervals of quantities: in predictions, and how often they held in cards."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from headrace.domain.models.answer_interval import AnswerInterval
from headrace.domain.models.matrix import FeatureMatrix
from headrace.domain.models.model_loader import LoadedModel, OpenArm
from headrace.domain.models.package import ModelPackage
from headrace.domain.models.sessions import SessionSettings, open_session
from headrace.domain.pipeline.contracts import features, outcomes, predictions
from headrace.domain.pipeline.spec import Model, Pipeline
from headrace.domain.plans.plans import Arm
from headrace.domain.quality.regression import measured
from headrace.domain.records.predictions import PredictionRecords
from headrace.domain.scorecards.card import COVERED, card
from headrace.domain.scorecards.partial_aggregate import Tally, counted
from headrace.domain.scorecards.shift_rows import NoShift
from headrace.domain.training.dataset import Dataset
from headrace.domain.training.evaluation import conformal_half_width
from headrace.domain.training.model_build import Recipe, train
from headrace.streaming.contracts.schemas import load_schema
from headrace.streaming.records.batch import Batch
from tests.scorecards.made import pipeline

INPUTS = ("amount",)


def quantities() -> Pipeline:
    """The card pipeline as if its model told quantities of amounts alone."""
    model = Model("card_fraud", INPUTS, "value", 5.0)
    return replace(pipeline(), model=model, segments={}, views={}, value=None, release=None, retrain=None)


def package(holdout: float = 0.25) -> ModelPackage:
    """One that tells twice the amount, about."""
    rng = np.random.default_rng(0)
    amounts = np.asfortranarray(rng.gamma(2, 10, (1_000, 1)).astype(np.float32))
    labels = 2.0 * amounts[:, 0] + rng.normal(0, 1, 1_000)
    data = Dataset(INPUTS, amounts, labels.astype(np.float64), np.arange(1_000) * 60_000)
    return train(data, Recipe("m", "1", trees=30, holdout=holdout))


def told(given: ModelPackage) -> pa.RecordBatch:
    """Predictions of three events by a package."""
    of, into = (load_schema(make(quantities())).arrow for make in (features, predictions))
    amount = pa.array([5.0, 20.0, 40.0])
    columns = {
        "event_id": pa.array(["a", "b", "c"]),
        "entity": pa.array(["x", "x", "y"]),
        "event": pa.StructArray.from_arrays([amount], fields=list(of.field("event").type)),
    }
    times = pa.array([0, 1, 2], pa.timestamp("ms", "UTC"))
    batch = pa.RecordBatch.from_arrays([columns.get(name, times) for name in of.names], schema=of)
    matrix = FeatureMatrix.resolve(given.manifest.inputs, of, "m")
    session = open_session(given, SessionSettings(device="cpu", rows=8))
    opened = OpenArm(Arm("champion", "m", "1", given.digest, "nowhere"), 5.0, (LoadedModel(given, session, matrix),))
    places = np.zeros(3, np.int64)
    rows = Batch("features", batch, pa.nulls(3, pa.binary()), places.astype(np.int32), places, places)
    emit = PredictionRecords("predictions", of, into).emit(rows, opened, 1, session.run(matrix.of(batch)), 0.0, 0.0)
    assert isinstance(emit.columns, pa.RecordBatch)
    return emit.columns


def test_predictions_of_quantities_have_bounds() -> None:
    """They lie as far from the score as the package says; without that they are null, and classes have none."""
    given = package()
    interval = given.manifest.interval
    assert interval is not None
    found = told(given)
    low, score, high = (found[name].to_numpy() for name in ("low", "score", "high"))
    np.testing.assert_allclose(high - score, interval.half_width)
    np.testing.assert_allclose(score - low, interval.half_width)
    nothing = told(package(holdout=0))
    assert nothing["low"].null_count == nothing["high"].null_count == 3
    names = {field["name"] for field in (*predictions(pipeline())["fields"], *outcomes(quantities())["fields"])}
    assert not names & {"low", "high"}


def test_cards_tell_how_many_truths_intervals_held() -> None:
    """Of errors from 1 to 100, 90 are within 90: to 1% of the width; what cannot be had says so."""
    errors = measured(np.arange(1.0, 101.0), np.zeros(100))
    tally = Tally(counted(predictions=100, outcomes=100, labelled=100), errors=errors)
    interval = AnswerInterval(coverage=0.9, half_width=90.3, rows=500)
    figure = card(tally, quantities(), interval=interval).figures[COVERED]
    assert figure.value == pytest.approx(0.9, abs=0.011)
    assert figure.low is not None
    assert figure.high is not None
    assert figure.low < 0.9 < figure.high
    assert figure.note == "meant to hold 90%"
    away = card(tally, quantities(), interval=NoShift("the store is away")).figures[COVERED]
    assert (away.value, away.note) == (None, "the store is away")
    assert COVERED not in card(tally, quantities()).figures


def test_intervals_hold_as_many_as_they_say() -> None:
    """Over many draws the mean coverage is what was asked for, whatever errors look like, with 1/(n + 1) at most."""
    rng = np.random.default_rng(1)
    held = []
    for _ in range(400):
        errors = rng.standard_cauchy(99 + 200)
        width = conformal_half_width(errors[:99], np.zeros(99), 0.9)
        assert width is not None
        held.append(np.mean(np.abs(errors[99:]) <= width))
    assert 0.895 < float(np.mean(held)) < 0.915
