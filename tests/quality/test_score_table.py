"""A score table is what its rows are, however they were split, ordered, merged and stored."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.domain.quality.score_table import EMPTY, LEAST_CAP, ScoreTable, merged, pack, replaced, tabulated, unpack
from headrace.errors import ContractError

STRANGE = np.array([-0.0, 0.0, 5e-324, -5e-324, 1e308, -1.7976931348623157e308, 1.7976931348623157e308, 1.0, -1.0])


def rows(seed: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Scores of every magnitude, some of them equal, some strange, and labels, some of them missing."""
    random = np.random.default_rng(seed)
    scores = np.where(
        random.random(size) < 0.5, random.normal(size=size), 1 / (1 + np.exp(9 * random.normal(size=size)))
    )
    scores *= random.choice([1.0, 1e-9, 1e9], size)
    scores = np.where(random.random(size) < 0.2, np.round(scores, 1), scores)
    scores = np.where(random.random(size) < 0.1, random.choice(STRANGE, size), scores)
    return scores, random.choice([0.0, 1.0, np.nan], size)


def test_counts() -> None:
    """Every distinct score has its rows by label; a label above zero is positive, NaN is none."""
    table = tabulated(np.array([0.5, 0.25, 0.5, 0.5, -0.0, 0.0]), np.array([2.0, np.nan, 0.0, 1.0, 0.0, np.nan]))
    assert table.scores.tolist() == [0.0, 0.25, 0.5]
    assert table.positives.tolist() == [0, 0, 2]
    assert table.negatives.tolist() == [1, 0, 1]
    assert table.unlabelled.tolist() == [1, 1, 0]
    assert table.rows.tolist() == [2, 1, 3]
    assert table.exact
    assert table.relative_error == 0


@pytest.mark.parametrize("labels", [np.array([True, False]), np.array([1, 0], np.int8), np.array([1, 0], np.float32)])
def test_labels_of_any_type(labels: np.ndarray) -> None:
    """Labels may be booleans, integers or floats, scores of either width."""
    table = tabulated(np.array([0.5, 0.25], np.float32), labels)
    assert table == tabulated(np.array([0.25, 0.5]), np.array([0, 1]))


def test_nothing() -> None:
    """No rows are the empty table, which changes nothing that it is merged with."""
    assert tabulated(np.zeros(0), np.zeros(0)) == EMPTY == merged([]) == unpack(pack(EMPTY))
    table = tabulated(*rows(0, 10))
    assert merged([EMPTY, table, EMPTY]) == table


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_scores_that_are_no_numbers(bad: float) -> None:
    """A score that is not finite is refused; it has no place in an order."""
    with pytest.raises(ValueError, match="not finite"):
        tabulated(np.array([0.5, bad]), np.zeros(2))


def test_least_cap() -> None:
    """A cap that could not always be kept is refused."""
    with pytest.raises(ValueError, match="at least 4096"):
        tabulated(np.zeros(1), np.zeros(1), cap=LEAST_CAP - 1)


@given(
    st.integers(0, 2**32),
    st.sampled_from([0, 3, 5_000, 20_000]),
    st.integers(1, 6),
    st.sampled_from([LEAST_CAP, 10_000, 65_536]),
)
def test_any_order_of_merging(seed: int, size: int, parts: int, cap: int) -> None:
    """Rows split at random, merged pairwise in a random order, give the table of all rows, bit for bit."""
    scores, labels = rows(seed, size)
    whole = tabulated(scores, labels, cap)
    random = np.random.default_rng(seed + 1)
    part = random.integers(0, parts, size)
    tables = [tabulated(scores[part == p], labels[part == p], cap) for p in range(parts)]
    while len(tables) > 1:
        one, other = (tables.pop(random.integers(len(tables))) for _ in range(2))
        tables.append(merged([one, unpack(pack(other))], cap))
    assert tables[0] == whole
    assert len(whole) <= cap
    assert whole.rows.sum() == size


@given(st.integers(0, 2**32), st.sampled_from([1, 5_000, 15_000]))
def test_cells(seed: int, size: int) -> None:
    """Where bits are dropped, no score is further from its cell's middle than said, and no bit is dropped in vain."""
    scores, labels = rows(seed, size)
    table = tabulated(scores, labels, LEAST_CAP)
    exact = tabulated(scores, labels, 10**6)
    assert exact.exact
    assert table.exact == (len(exact) <= LEAST_CAP)
    normal = exact.scores[(np.abs(exact.scores) > 1e-307) & (np.abs(exact.scores) < 1e300)]
    places = np.searchsorted(table.scores, normal)
    around = table.scores[np.clip([places - 1, places], 0, len(table) - 1)]
    assert np.all(np.abs(around - normal).min(axis=0) <= table.relative_error * np.abs(normal))
    if not table.exact:
        finer = ScoreTable(exact.scores, exact.positives, exact.negatives, exact.unlabelled, table.dropped - 1)
        assert len(merged([finer], len(exact) + LEAST_CAP)) > LEAST_CAP


def test_every_magnitude_fits() -> None:
    """The least cap holds every binade of both signs."""
    magnitudes = np.ldexp(1.0, np.arange(-1074, 1024))
    scores = np.concatenate([magnitudes, -magnitudes, magnitudes * 1.25, -magnitudes * 1.25])
    scores = scores[np.isfinite(scores)]
    table = tabulated(scores, np.ones(len(scores)), LEAST_CAP)
    assert len(table) <= LEAST_CAP
    assert np.all(np.diff(table.scores) > 0)


@given(st.integers(0, 2**32), st.sampled_from([2, 5_000, 12_000]))
def test_corrections(seed: int, size: int) -> None:
    """A table with labels corrected has the counts that it would have had, and does not depend on when they came."""
    scores, labels = rows(seed, size)
    random = np.random.default_rng(seed)
    changed = random.random(size) < 0.3
    right = np.where(changed, random.choice([0.0, 1.0, np.nan], size), labels)
    old = tabulated(scores[changed], labels[changed], LEAST_CAP)
    new = tabulated(scores[changed], right[changed], LEAST_CAP)
    late = replaced(tabulated(scores, labels, LEAST_CAP), old, new, LEAST_CAP)
    first = size // 2
    early = replaced(tabulated(scores[:first], labels[:first], LEAST_CAP), old, new, LEAST_CAP)
    assert merged([early, tabulated(scores[first:], labels[first:], LEAST_CAP)], LEAST_CAP) == late
    assert unpack(pack(late)) == late
    wanted = tabulated(scores, right, LEAST_CAP)
    assert late.positives.tolist() == wanted.positives.tolist()
    assert late.unlabelled.tolist() == wanted.unlabelled.tolist()


def test_size() -> None:
    """A full table takes less than a byte a score."""
    random = np.random.default_rng(0)
    scores = random.random(300_000)
    table = tabulated(scores, random.random(300_000) < scores)
    assert not table.exact
    assert len(pack(table)) < len(table)


def test_damage() -> None:
    """Bytes that are no table, or not all of one, are refused."""
    data = pack(tabulated(*rows(1, 1000)))
    for bad in (b"", data[:10], data[:-5], b"xyz\x01" + data[4:], data[:4] + b"\x40" + data[5:], data + b"more"):
        with pytest.raises(ContractError):
            unpack(bad)
