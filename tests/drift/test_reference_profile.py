"""What a model was trained on, as bins that travel with it."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from headrace.domain.drift.reference_bins import ReferenceBins
from headrace.domain.drift.reference_profile import (
    TOGETHER,
    ColumnProfile,
    ReferenceProfile,
    answers_of,
    joint_of,
    numeric_profile,
    parse,
    profile_of,
)
from headrace.domain.pipeline.drift.spec import Drift
from headrace.domain.records.watched_columns import PREDICTIONS
from headrace.errors import ContractError
from tests.drift import predictions


def profile() -> ReferenceProfile:
    """Of two inputs and the answers of a model that is right in four of five."""
    draw = np.random.default_rng(1)
    matrix = draw.normal(size=(4_000, 2)).astype(np.float32)
    matrix[draw.random(4_000) < 0.1, 1] = np.nan
    labels = (draw.random(500) < 0.3).astype(float)
    return ReferenceProfile(profile_of(("a", "b"), matrix), answers_of(np.where(labels > 0, 0.8, 0.2), labels, 0.5))


def test_what_is_read_is_what_was_written() -> None:
    """Bytes to profile to bytes: the same, and the same places for the same values."""
    made = profile()
    read = parse(made.dump(), "here")
    assert read.dump() == made.dump()
    assert read.inputs.keys() == {"a", "b"}
    assert read.answers.keys() == {"model score", "model decision", "model loss", "positive label"}
    values = pa.array([-9.0, 0.1, None, 3.0])
    assert read.inputs["b"].bins.place(values).tolist() == made.inputs["b"].bins.place(values).tolist()
    assert 350 < read.inputs["b"].bins.counts[-1] < 450


def together() -> ReferenceProfile:
    """Of two inputs that go together, and what they have to do with one another."""
    draw = np.random.default_rng(2)
    first = draw.normal(size=6_000)
    matrix = np.column_stack([first, 0.8 * first + 0.6 * draw.normal(size=6_000)])
    inputs = profile_of(("a", "b"), matrix)
    return ReferenceProfile(inputs, {}, joint_of(inputs, matrix))


def test_what_inputs_have_to_do_with_one_another_travels_too() -> None:
    """The same further columns, by the same names, for the same rows."""
    made = together()
    read = parse(made.dump(), "here")
    assert read.dump() == made.dump()
    assert made.joint is not None
    assert read.joint is not None
    assert [*read.joint.columns] == ["inputs together", "a with b"]
    draw = np.random.default_rng(3)
    rows = draw.normal(size=(500, 2))
    places = np.column_stack([made.inputs[n].bins.place(pa.array(rows[:, at])) for at, n in enumerate("ab")])
    assert np.array_equal(read.joint.score.place(places), made.joint.score.place(places))


@pytest.mark.parametrize(
    "change",
    [
        {"features": [0, 2]},
        {"pairs": [[0, 5]]},
        {"scores": [[0.0], [0.0]]},
        {"whitening": [[1.0]]},
        {"of": ["a", "c"]},
        {"columns": []},
    ],
)
def test_what_would_reach_beyond_is_refused(change: dict[str, object]) -> None:
    """Places, bins and names that are not there: nobody reads beyond what a file gave."""
    said = json.loads(together().dump())
    said["joint"] |= change
    with pytest.raises(ContractError, match=r"^there: "):
        parse(json.dumps(said).encode(), "there")


@pytest.mark.parametrize(
    "change",
    [
        {"format": 2},
        {"inputs": {"a": {"edges": [1.0, 0.0], "counts": [1, 1, 1, 1], "inflation": 1.0}}},
        {"inputs": {"a": {"edges": [1.0], "counts": [1, 1], "inflation": 1.0}}},
        {"inputs": {"a": {"edges": [1.0], "counts": [1, -1, 1], "inflation": 1.0}}},
        {"inputs": {"a": {"edges": [1.0], "counts": [1, 1, 1], "inflation": 0.5}}},
        {"inputs": {"a": {"edges": list(range(100)), "counts": [1] * 102, "inflation": 1.0}}},
        {"inputs": ["a"]},
    ],
)
def test_what_is_no_profile_is_refused(change: dict[str, object]) -> None:
    """Another format, edges that do not ascend, counts that do not fit: told with the place."""
    said = json.loads(profile().dump()) | change
    with pytest.raises(ContractError, match=r"^there: "):
        parse(json.dumps(said).encode(), "there")


def test_infinities_lie_in_the_outermost_bins() -> None:
    """A feature may be infinite in training; the profile is numbers all the same."""
    values = np.concatenate([np.full(200, -np.inf), np.arange(600.0), np.full(200, np.inf)])
    made = ReferenceProfile({"a": numeric_profile(values)}, {})
    bins = parse(made.dump(), "here").inputs["a"].bins
    assert bins.place(pa.array([-np.inf, np.inf])).tolist() == [0, len(bins.counts) - 2]
    assert bins.counts.sum() == 1_000


def test_rows_that_made_no_bins_are_told_apart() -> None:
    """Half of them, of further columns half of those that made them: a model that wants proof has them to prove by."""
    made = together()
    read = parse(made.dump(), "here")
    assert made.joint is not None
    for column in (*made.inputs.values(), *made.joint.columns.values()):
        assert column.others is not None
        assert abs(2 * column.others.sum() - column.bins.rows) <= 1
        assert (column.others <= column.bins.counts).all()
    assert read.joint is not None
    for name, column in read.joint.columns.items():
        assert column.others is not None
        assert column.others.tolist() == made.joint.columns[name].others.tolist()
    older = json.loads(made.dump())
    for column in older["inputs"].values():
        del column["others"]
    assert parse(json.dumps(older).encode(), "here").inputs["a"].others is None


def test_what_is_to_be_proved_is_watched_by_references_that_allow_it() -> None:
    """Others count as none: their columns learn from what comes."""
    proved = replace(predictions.PIPELINE, drift=Drift(mode="proved"))
    whole = predictions.watched(PREDICTIONS, proved, predictions.reference())
    assert set(whole.known) == set(
        predictions.watched(PREDICTIONS, predictions.PIPELINE, predictions.reference()).known
    )
    older = json.loads(predictions.reference().dump())
    first, *_ = older["inputs"]
    del older["inputs"][first]["others"]
    lacking = predictions.watched(PREDICTIONS, proved, parse(json.dumps(older).encode(), "here"))
    assert first in lacking.unknown
    assert not set(lacking.known) & {TOGETHER}


def test_categories_travel_too() -> None:
    """Levels as they are."""
    made = ReferenceProfile({"kind": ColumnProfile(ReferenceBins(np.array([3, 2, 0, 1]), None, ("x", "ü")))}, {})
    assert parse(made.dump(), "here").inputs["kind"].bins.levels == ("x", "ü")


def test_a_column_with_a_daily_cycle_is_held_against_its_hour() -> None:
    """At night 3 is much, at noon it is not; what is usual travels, and nights that are like nights change no bin."""
    draw = np.random.default_rng(4)
    hours = np.arange(24 * 7 * 8) % 168
    usual = np.where((hours % 24 > 8) & (hours % 24 < 20), 3.0, 0.0)
    made = ReferenceProfile(profile_of(("a",), (usual + 0.3 * draw.normal(size=len(hours)))[:, None], hours), {})
    read = parse(made.dump(), "here")
    assert read.dump() == made.dump()
    column = read.inputs["a"]
    noon, night = np.array([12, 36]), np.array([2, 26])
    threes = np.full(2, 3.0)
    top = len(column.bins.counts) - 2
    assert column.place(threes, night).tolist() == [top, top]
    assert all(2 < place < top - 2 for place in column.place(threes, noon).tolist())


def test_what_the_hour_of_the_week_determines_is_told_apart() -> None:
    """It is named, and nothing else of it."""
    made = ReferenceProfile(profile().inputs, {}, None, ("weekend",))
    assert parse(made.dump(), "here").calendar == ("weekend",)
