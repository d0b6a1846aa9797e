"""Drift of models of several classes: what is watched, by which reference, and what is lost."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest

from headrace.domain.drift.harm.loss_reference import NOWHERE
from headrace.domain.drift.reference_profile import CLASS, DECISION, LABEL, LOSS, SCORE, TRUE_CLASS, parse, score_of
from headrace.domain.models.package import ModelPackage
from headrace.domain.pipeline.contracts import outcomes, predictions
from headrace.domain.pipeline.spec import Pipeline
from headrace.domain.records.watched_columns import OUTCOMES, PREDICTIONS, WatchedColumns
from headrace.domain.training.dataset import Dataset
from headrace.domain.training.model_build import Recipe, train
from headrace.streaming.contracts.schemas import load_schema
from services.drift.harm.loss_watch import LossWatch
from tests.scorecards.made import pipeline
from tests.scorecards.test_classes import Rows, told
from tests.several import chances, decisions, of_classes

Floats = npt.NDArray[np.float64]
NAMES = ("cat", "dog", "hen")
COSTS = ((0.0, 1.0, 6.0), (1.0, 0.0, 1.0), (1.0, 1.0, 0.0))
INPUTS = ("amount",)


def of() -> Pipeline:
    """The card pipeline with three classes and unequal costs, of amounts alone."""
    made = of_classes(pipeline(), NAMES, COSTS, threshold=0.5)
    return replace(made, model=replace(made.model, inputs=INPUTS))


def package() -> ModelPackage:
    """A model of amounts."""
    draw = np.random.default_rng(0)
    amounts = draw.lognormal(3.5, 1, 4_000).astype(np.float32)
    labels = np.clip(np.searchsorted([20, 60], amounts * draw.lognormal(0, 0.3, 4_000)), 0, 2).astype(np.int8)
    data = Dataset(INPUTS, np.asfortranarray(amounts[:, None]), labels, np.arange(4_000) * 60_000, classes=NAMES)
    return train(data, Recipe("m", "1", threshold=0.5, trees=20, costs=COSTS))


def watched(stream: str, made: ModelPackage | None) -> WatchedColumns:
    """What is watched of a stream."""
    schema = load_schema((predictions if stream == PREDICTIONS else outcomes)(of())).arrow
    given = made or package()
    return WatchedColumns(stream, of(), given.manifest, None if made is None else given.reference, schema)


def rows_of(count: int, seed: int) -> Rows:
    """Chances, and truths that follow them."""
    draw = np.random.default_rng(seed)
    scores = chances(count, 3, draw)
    truth = np.array([draw.choice(3, p=each) for each in scores], np.float64)
    return Rows(np.arange(count) * 1_000, draw.lognormal(3.5, 1, count), scores, truth, truth)


@pytest.fixture(scope="module")
def made() -> ModelPackage:
    """One for all."""
    return package()


def test_a_package_has_references_of_what_it_answers(made: ModelPackage) -> None:
    """Chances, the class that costs decide for, the truth, and losses, on rows held out; stored and read again."""
    reference = made.reference
    assert reference is not None
    assert {SCORE, DECISION, LOSS, CLASS, TRUE_CLASS, *map(score_of, NAMES)} == reference.answers.keys()
    assert set(reference.answers[CLASS].bins.levels) <= set(NAMES)
    assert reference.loss is not None
    assert reference.loss.scores is None
    assert 0 < reference.loss.mean < 0.4
    assert parse(reference.dump(), "here").dump() == reference.dump()


@pytest.mark.parametrize("known", [True, False])
def test_what_is_watched(made: ModelPackage, known: bool) -> None:
    """The values of each column, with a reference and without; none is of a positive class."""
    rows = rows_of(500, 1)
    places, score, decision = decisions(rows.scores, of())
    answers = watched(PREDICTIONS, made if known else None)
    said = told(of(), "predictions", rows)
    assert {SCORE, DECISION, CLASS, *map(score_of, NAMES)} <= set(answers.names)
    assert answers.values(said, score_of("dog")).tolist() == rows.scores[:, 1].tolist()
    assert answers.values(said, CLASS).tolist() == places.tolist()
    assert answers.values(said, DECISION).tolist() == decision.tolist()
    assert answers.values(said, SCORE).tolist() == score.tolist()
    assert answers.categories[CLASS](2) == "hen"
    assert set(answers.known if known else answers.unknown) >= {CLASS, SCORE}
    lost = watched(OUTCOMES, made if known else None)
    came = told(of(), "outcomes", rows, rows.truth)
    assert LABEL not in lost.names
    assert lost.values(came, TRUE_CLASS).tolist() == rows.truth.tolist()
    half = 0.5 * ((rows.scores - np.eye(3)[rows.truth.astype(int)]) ** 2).sum(axis=1)
    np.testing.assert_allclose(lost.values(came, LOSS), half, rtol=1e-12)
    assert lost.weights().sum() == pytest.approx(1.0)
    found = lost.read_with_losses(came)
    assert lost.fits_with_losses(*found)
    if not known:
        np.testing.assert_allclose(found[1][:, -1], half, rtol=1e-12)


def test_a_class_that_becomes_frequent_changes_bins(made: ModelPackage) -> None:
    """Shares of the class decided on differ from the reference as they do in the rows."""
    answers = watched(PREDICTIONS, made)
    rows = rows_of(2_000, 2)
    hens = replace(rows, scores=np.tile([0.05, 0.05, 0.9], (2_000, 1)))
    at = answers.known.index(CLASS)
    levels = answers.profiles[CLASS].bins.levels
    places = answers.read(told(of(), "predictions", hens))[0][:, at]
    assert {levels[place] for place in np.unique(places)} == {"hen"}


@pytest.mark.parametrize("known", [True, False])
def test_a_model_that_gets_worse_is_harm(made: ModelPackage, known: bool) -> None:
    """Losses of outcomes against the reference, or the first outcomes: right answers are none, wrong ones soon are."""
    spec = replace(of(), segments={})
    schema = load_schema(outcomes(spec)).arrow
    columns = WatchedColumns(OUTCOMES, spec, made.manifest, made.reference if known else None, schema)
    watch = LossWatch(OUTCOMES, spec, columns)
    assert watch.losses is not None
    good, bad = rows_of(7_000, 3), rows_of(1_500, 4)
    if known:  # as good as on the rows held out
        right = np.eye(3)[good.truth.astype(int)] * 0.85 + 0.05
        good = replace(good, scores=right)
    wrong = replace(bad, truth=(bad.scores.argmin(axis=1)).astype(np.float64))
    evidence = []
    for step, rows in enumerate((good, wrong)):
        came = told(spec, "outcomes", rows, rows.truth)
        places, values = columns.read_with_losses(came)
        further = places[:, len(columns.known) :], values[:, len(columns.unknown) :]
        if known:
            assert (further[0] != NOWHERE).all()
        reached = np.arange(came.num_rows) * 1_000 + step * 10**8
        watch.losses.take(*further, reached, columns.members(places, values))
        assert watch.losses.course is not None
        assert watch.losses.reference is not None
        found = watch.losses.reference.places(came["score"].to_numpy(), _lost(rows))
        counts = np.bincount(found, minlength=watch.losses.reference.counts.size).reshape(
            watch.losses.reference.counts.shape
        )
        evidence.append(float((counts * watch.losses.reference.losses).sum() / counts.sum()))
        assert watch.losses.bets is not None
    assert evidence[1] > 2 * evidence[0]
    assert evidence[1] > watch.losses.bets.tolerated


def _lost(rows: Rows) -> Floats:
    found: Floats = 0.5 * ((rows.scores - np.eye(3)[rows.truth.astype(int)]) ** 2).sum(axis=1)
    return found


def test_nothing_of_it_is_in_other_pipelines() -> None:
    """A model of a chance has the columns that it had."""
    schema = load_schema(predictions(pipeline())).arrow
    assert not {CLASS, "scores"} & set(schema.names)
    assert pa.types.is_boolean(schema.field("decision").type)
