"""What a model was trained on, as bins that travel with it."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pytest

from headrace.domain.drift.reference_bins import ReferenceBins
from headrace.domain.drift.reference_profile import (
    ColumnProfile,
    ReferenceProfile,
    answers_of,
    numeric_profile,
    parse,
    profile_of,
)
from headrace.errors import ContractError


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
    assert read.answers.keys() == {"model score", "model decision", "model loss"}
    values = pa.array([-9.0, 0.1, None, 3.0])
    assert read.inputs["b"].bins.place(values).tolist() == made.inputs["b"].bins.place(values).tolist()
    assert 350 < read.inputs["b"].bins.counts[-1] < 450


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


def test_categories_travel_too() -> None:
    """Levels as they are."""
    made = ReferenceProfile({"kind": ColumnProfile(ReferenceBins(np.array([3, 2, 0, 1]), None, ("x", "ü")))}, {})
    assert parse(made.dump(), "here").inputs["kind"].bins.levels == ("x", "ü")
