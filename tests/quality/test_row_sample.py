"""A sample of rows is the same however they were split, repeated and merged, and no kind of row is preferred."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from headrace.columnar import packing
from headrace.domain.quality.row_sample import (
    NEGATIVE,
    POSITIVE,
    UNLABELLED,
    RowSample,
    merged,
    nothing,
    pack,
    sampled,
    unpack,
)
from headrace.errors import ContractError

BINS = (3, 200)


def rows(seed: int, count: int) -> RowSample:
    """Rows with random keys, in no order."""
    random = np.random.default_rng(seed)
    return RowSample(
        BINS,
        random.integers(np.iinfo(np.int64).min, np.iinfo(np.int64).max, count),
        np.stack([random.integers(0, 3, count), random.integers(0, 200, count)]).astype(np.uint8),
        random.random(count),
        random.integers(NEGATIVE, UNLABELLED + 1, count).astype(np.uint8),
    )


def part(whole: RowSample, some: np.ndarray) -> RowSample:
    """Some of the rows."""
    return RowSample(BINS, whole.keys[some], whole.places[:, some], whole.scores[some], whole.labels[some])


def test_the_same_in_parts() -> None:
    """Parts that overlap, sampled and merged by pairs and in turn, give the sample of the whole, bit for bit."""
    whole = rows(1, 5_000)
    expected = pack(sampled(whole, 300))
    random = np.random.default_rng(2)
    for _ in range(5):
        which = random.integers(0, 7, 5_000)
        parts = [sampled(part(whole, (which == each) | (random.random(5_000) < 0.1)), 300) for each in range(7)]
        random.shuffle(parts)
        assert pack(merged(parts, 300)) == expected
        assert pack(merged([merged(parts[:3], 300), merged(parts[3:], 300), nothing(BINS)], 300)) == expected


def test_no_kind_is_preferred() -> None:
    """Bins, scores and labels are in the sample as they are in the rows."""
    whole = rows(3, 40_000)
    some = sampled(whole, 4_000)
    assert len(some) == 4_000
    assert some.scores.mean() == pytest.approx(0.5, abs=0.02)
    assert np.bincount(some.places[0]) / 4_000 == pytest.approx([1 / 3] * 3, abs=0.03)


def test_few_rows_are_all_there() -> None:
    """A sample of fewer rows than it may have holds them all, each once."""
    whole = rows(4, 50)
    twice = merged([sampled(whole, 100), sampled(whole, 100)], 100)
    assert np.array_equal(twice.keys, np.sort(whole.keys))


def test_a_reference_is_of_labelled_rows() -> None:
    """Those without a label are left out."""
    some = sampled(rows(5, 100), 100)
    found = some.reference()
    known = some.labels != UNLABELLED
    assert found.bins == BINS
    assert np.array_equal(found.scores, some.scores[known])
    assert np.array_equal(found.places, some.places[:, known])
    assert np.array_equal(found.positive, some.labels[known] == POSITIVE)


def test_packed() -> None:
    """Bytes give back the sample; others, and those of no sample, are refused."""
    some = sampled(rows(6, 2_000), 500)
    far = replace(part(some, np.arange(2)), keys=np.array([np.iinfo(np.int64).min, np.iinfo(np.int64).max]))
    for each in (some, nothing(BINS), nothing(()), far):
        again = unpack(pack(each))
        assert again.bins == each.bins
        for name in ("keys", "places", "scores", "labels"):
            assert np.array_equal(getattr(again, name), getattr(each, name)), name
    damaged = bytearray(pack(some))
    damaged[-3] ^= 1
    wrong = [
        bytes(damaged),
        packing.pack({"keys": some.keys}),
        pack(replace(some, bins=(3, 100))),
        pack(replace(some, keys=some.keys[::-1].copy())),
        pack(replace(some, scores=some.scores[1:])),
        pack(replace(some, labels=some.labels + np.uint8(3))),
    ]
    for data in wrong:
        with pytest.raises(ContractError):
            unpack(data)


def test_samples_of_other_bins() -> None:
    """Rows by the bins of another reference are no rows of this one."""
    with pytest.raises(ContractError, match="different references"):
        merged([nothing(BINS), nothing((3, 4))], 10)
