"""The split: who answers whom, for ever."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest

from headrace.domain.plans.canary_split import shares, xxh64

KEYS: pa.Array[Any] = pa.array([str(number) for number in range(200_000)])


def canaries(share: float, salt: str = "card_fraud", keys: pa.Array[Any] = KEYS) -> npt.NDArray[np.bool_]:
    """Which keys the canary answers."""
    return shares(keys, salt) < share


@pytest.mark.parametrize(
    ("value", "seed", "hash_"),
    [
        (b"", 0, 0xEF46DB3751D8E999),
        (b"a", 0, 0xD24EC4F1A98C6E5B),
        (b"abc", 0, 0x44BC2CF5AD770999),
        (b"Nobody inspects the spammish repetition", 0, 0xFBCEA83C8A378BF1),
        (bytes(range(100)), 20141025, 0x5D36914AE11E7A18),
    ],
)
def test_the_hash_is_xxh64(value: bytes, seed: int, hash_: int) -> None:
    """XXH64's published values come out, and those of a slow implementation in plain Python for stripes and seeds."""
    assert int(xxh64(value, seed)) == hash_


def test_places_stay_for_ever() -> None:
    """These places were written down once; a version that changes them would move entities between arms."""
    found = shares(pa.array(["4961", "2", "käthe", "", "c" * 40]), "card_fraud")
    wanted = [0.31105563255516566, 0.6363781882980629, 0.3188485308027288, 0.2926046996232732, 0.9221937574948774]
    assert found.tolist() == wanted


@pytest.mark.parametrize("share", [0.01, 0.05, 0.1, 0.5, 0.9])
def test_the_share_is_kept(share: float) -> None:
    """Of 200,000 keys the canary answers its share, within the 99% interval of the binomial."""
    assert abs(deviation(canaries(share), share)) < 2.576


def test_no_salt_is_worse() -> None:
    """Over many salts shares deviate as those of a fair coin do: neither more nor less."""
    found = [deviation(canaries(0.05, f"salt {number}"), 0.05) for number in range(100)]
    assert 0.8 < np.std(found) < 1.2
    assert np.abs(found).max() < 4


def deviation(answered: npt.NDArray[np.bool_], share: float) -> float:
    """How far the count is from its expectation, in standard deviations of the binomial."""
    rows = len(answered)
    return float((answered.sum() - rows * share) / np.sqrt(rows * share * (1 - share)))


def test_other_kinds_of_keys() -> None:
    """Keys that differ in one letter far behind are split as well as numbers are."""
    keys = pa.array([f"https://shop.example/customers/europe/north/{number:012d}/main" for number in range(100_000)])
    assert abs(deviation(canaries(0.05, keys=keys), 0.05)) < 2.576


def test_a_larger_share_moves_nobody_back() -> None:
    """From 5% to 10% no key goes from canary to champion, and about 5% come anew."""
    before, after = canaries(0.05), canaries(0.10)
    assert not (before & ~after).any()
    assert 0.045 < (after & ~before).mean() < 0.055


def test_a_new_salt_shuffles() -> None:
    """Two salts are independent: of 5% and 5%, a quarter of a percent meets both."""
    both = (canaries(0.05, "spring") & canaries(0.05, "autumn")).mean()
    assert abs(both - 0.0025) < 4 * np.sqrt(0.0025 / len(KEYS))


def test_all_and_none() -> None:
    """A share of 0 is nobody, a share of 1 everybody."""
    assert not canaries(0.0).any()
    assert canaries(1.0).all()


def test_places_belong_to_the_entity_alone() -> None:
    """Neighbours, batches and slices do not matter."""
    whole = shares(KEYS, "s")
    np.testing.assert_array_equal(shares(KEYS.slice(77, 10), "s"), whole[77:87])
    np.testing.assert_array_equal(shares(KEYS.slice(77, 10).take(pa.array([3, 1])), "s"), whole[[80, 78]])
    assert len(shares(KEYS.slice(0, 0), "s")) == 0
