"""The product's services come through schedules as the small ones do, and their scenes see what goes wrong."""

from __future__ import annotations

import pytest

from tests.simulated.member import Cast
from tests.simulated.plan import plan_of
from tests.simulated.product.breach_defects import BREACH
from tests.simulated.product.defects import ENRICH, LABELS, ONLY, SCORE, SCORECARDS, SHADOW, VIEWS
from tests.simulated.product.drift_defects import DRIFT
from tests.simulated.product.handover_defects import HANDOVER
from tests.simulated.product.intake_defects import INTAKE
from tests.simulated.product.kpi_defects import KPI
from tests.simulated.product.notify_defects import NOTIFY
from tests.simulated.product.release_defects import RELEASE
from tests.simulated.product.revision_defects import REVISION
from tests.simulated.schedules import attempt, shrink
from tests.simulated.world import PRODUCT

SEEDS = {
    "intake": 30,
    "labels": 15,
    "score": 30,
    "enrich": 30,
    "revision": 15,
    "handover": 15,
    "views": 6,
    "shadow": 8,
    "scorecards": 5,
    "drift": 6,
    "release": 15,
    "notify": 30,
    "breach": 10,
    "kpi": 15,
}
"""Some seconds of a processor each; `make simulate`, which CI runs too, tries 50."""
WITHIN = 40
FIRST = {"what a life began to tell is taken for told": 60}
"""Of defects that are seldom seen, the first schedule that is tried."""
DEFECTS = [
    (scene, name, cast)
    for scene, casts in (
        ("intake", INTAKE),
        ("labels", LABELS),
        ("score", SCORE),
        ("enrich", ENRICH),
        ("revision", REVISION),
        ("handover", HANDOVER),
        ("views", VIEWS),
        ("shadow", SHADOW),
        ("scorecards", SCORECARDS),
        ("drift", DRIFT),
        ("release", RELEASE),
        ("notify", NOTIFY),
        ("breach", BREACH),
        ("kpi", KPI),
    )
    for name, cast in casts.items()
]


@pytest.mark.schedules
@pytest.mark.parametrize("scene", PRODUCT)
def test_no_schedule_breaks_a_service_of_the_product(scene: str) -> None:
    """All that is due comes once, as one process alone would have said it; `--scene` runs more of them."""
    found = filter(None, (attempt(plan_of(seed, product=scene), Cast()) for seed in range(SEEDS[scene])))
    assert [str(shrink(failure, Cast())) for failure in found] == []


@pytest.mark.schedules
@pytest.mark.parametrize(("scene", "name", "cast"), DEFECTS, ids=[f"{scene}, {name}" for scene, name, _ in DEFECTS])
def test_a_defect_of_a_service_is_found(scene: str, name: str, cast: Cast) -> None:
    """One of the first schedules shows it."""
    first = FIRST.get(name, 0)
    plans = [plan_of(seed, product=scene) for seed in range(first, first + WITHIN)]
    assert any(attempt(plan, cast) for plan in plans if name not in ONLY or ONLY[name] in plan.variants)
