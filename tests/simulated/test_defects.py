"""The simulator sees what it is there to see: each of these defects, put in on purpose, within 10,000 schedules."""

from __future__ import annotations

import pytest

from tests.simulated.defects import DEFECTS
from tests.simulated.plan import plan_of
from tests.simulated.schedules import attempt, shrink

WITHIN = 10_000


@pytest.mark.schedules
@pytest.mark.parametrize("defect", DEFECTS)
def test_a_defect_is_found(defect: str) -> None:
    """Some early seed shows it, and still does with the fewest faults."""
    cast = DEFECTS[defect]
    failure = next(filter(None, (attempt(plan_of(seed), cast) for seed in range(WITHIN))), None)
    assert failure is not None
    least = shrink(failure, cast)
    assert least.breaches
    assert len(least.faults) <= len(failure.faults)
