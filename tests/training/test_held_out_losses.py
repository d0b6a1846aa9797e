"""What a trainer counts of the rows that it held out travels in the package."""

from __future__ import annotations

import json

import numpy as np
import pytest

from headrace.domain.drift.harm.column_losses import effect
from headrace.domain.drift.reference_profile import ReferenceProfile, answers_of, joint_of, parse, profile_of
from headrace.domain.training.dataset import Dataset
from headrace.domain.training.held_out_losses import with_losses
from headrace.errors import ContractError

ROWS = 8_000


def told() -> tuple[ReferenceProfile, Dataset, np.ndarray[tuple[int], np.dtype[np.float64]]]:
    """A profile with losses, the rows held out and their scores: the model is less sure where `a` is near nothing."""
    draw = np.random.default_rng(1)
    matrix = np.asfortranarray(draw.normal(size=(2 * ROWS, 2)).astype(np.float32))
    scores = 1 / (1 + np.exp(-3.0 * matrix[:, 0].astype(np.float64)))
    labels = (draw.random(2 * ROWS) < scores).astype(np.int8)
    times = np.arange(2 * ROWS) * 60_000
    held_out = Dataset(("a", "b"), matrix[ROWS:], labels[ROWS:], times[ROWS:])
    inputs = profile_of(("a", "b"), matrix[:ROWS])
    answers = answers_of(scores[ROWS:], labels[ROWS:].astype(np.float64), 0.5)
    profile = ReferenceProfile(inputs, answers, joint_of(inputs, matrix[:ROWS]))
    return with_losses(profile, held_out, scores[ROWS:], 0.5), held_out, scores[ROWS:]


def test_losses_are_those_of_the_rows_held_out() -> None:
    """Brier's score of them, by cells of scores and by the bins of every column, and the same after reading."""
    made, held_out, scores = told()
    assert made.loss is not None
    lost = (scores - held_out.labels) ** 2
    assert made.loss.rows == ROWS
    assert made.loss.mean == pytest.approx(lost.mean(), rel=0.005)
    assert (
        made.losses.keys() == {"a", "b", "model score", "model decision", *made.joint.columns} if made.joint else True
    )
    bins = made.inputs["a"].bins
    assert made.losses["a"][len(bins.counts) // 2] > 3 * made.losses["a"][1]
    assert abs(made.losses["b"][3:-3] / lost.mean() - 1).max() < 0.35
    read = parse(made.dump(), "here")
    assert read.dump() == made.dump()
    assert {name: each.tolist() for name, each in read.losses.items()} == {
        name: each.tolist() for name, each in made.losses.items()
    }


def test_a_column_that_moves_costs_what_its_bins_lost() -> None:
    """More rows where the model is less sure: about what they lose more, measured on such rows."""
    made, held_out, scores = told()
    column = made.inputs["a"]
    near = np.abs(held_out.matrix[:, 0]) < 1.0
    hours = np.zeros(int(near.sum()), np.int64)
    places = column.place(held_out.matrix[near, 0].astype(np.float64), hours)
    recent = np.bincount(places, minlength=len(column.bins.counts)) / len(places)
    lost = (scores - held_out.labels) ** 2
    found = effect(column.bins.frequencies, recent, made.losses["a"])
    assert found == pytest.approx(lost[near].mean() - lost.mean(), rel=0.1)


@pytest.mark.parametrize(
    "change",
    [
        {"losses": {"a": [0.1]}},
        {"losses": {"c": [0.1, 0.2]}},
        {"losses": {"a": ["x"]}},
        {"loss": {"edges": []}},
        {"loss": []},
    ],
)
def test_losses_that_do_not_fit_are_refused(change: dict[str, object]) -> None:
    """With the place of the file."""
    said = json.loads(told()[0].dump()) | change
    with pytest.raises(ContractError, match=r"^there: "):
        parse(json.dumps(said).encode(), "there")


def test_a_profile_of_before_has_no_losses() -> None:
    """It is read as it was, and tells none."""
    said = json.loads(told()[0].dump())
    del said["loss"], said["losses"]
    read = parse(json.dumps(said).encode(), "here")
    assert read.loss is None
    assert not read.losses
