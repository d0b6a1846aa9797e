"""Random pipelines answer what SQL answers; `make features` tries thousands."""

from __future__ import annotations

import pytest

from tests.features.sql_features import DEFECTS, differences

SEEDS = 100
PARTS = 4


@pytest.mark.slow
@pytest.mark.parametrize("part", range(PARTS))
def test_features_are_those_of_sql(part: int) -> None:
    """Every feature of every event, with members that are killed and restored meanwhile."""
    found = [differences(seed) for seed in range(part, SEEDS, PARTS)]
    assert [wrong for each in found for wrong in each.wrong[:1]] == []
    assert sum(each.compared for each in found) > 10_000


@pytest.mark.slow
@pytest.mark.parametrize("defect", DEFECTS)
def test_a_defect_is_found(defect: str) -> None:
    """Each seeded defect shows within a few pipelines."""
    assert any(_shows(seed, defect) for seed in range(30))


def _shows(seed: int, defect: str) -> bool:
    """Features differ, or an event waits for ever for what was forgotten."""
    try:
        return bool(differences(seed, defect).wrong)
    except AssertionError as waiting:
        if "still waiting" not in str(waiting):
            raise
        return True
