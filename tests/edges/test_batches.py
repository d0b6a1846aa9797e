"""No record that is let pass stops a service: every service, at the edges of every type of every field it reads."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from headrace.stores.online import MemoryStore
from tests.edges import members
from tests.edges.drawing import events
from tests.edges.members import Swept, led

OUTPUTS = ("probability", "value")
swept = settings(
    max_examples=15,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # to shrink what fails would take minutes
)


@pytest.mark.slow
@pytest.mark.parametrize("output", OUTPUTS)
def test_enrich_and_views(output: str) -> None:
    """Events: enrich answers or refuses each, and views fold and publish what they mean to another entity."""

    @swept
    @given(st.lists(events(output), min_size=1, max_size=3))
    def sweep(lots: list[tuple]) -> None:
        store = MemoryStore()
        enrich, views = members.enrich(output, store), members.views(output, store)
        for at, (rows, keys, stamps) in enumerate(lots):
            enrich.take(enrich.records("events", rows, keys, stamps, at % 2))
            led(enrich, "view.other", views)
            settle(enrich, views)
            enrich.restart()
            views.restart()
        views.pass_time(1.0)

    sweep()


def settle(enrich: Swept, views: Swept) -> None:
    """Let time pass, until what was held is answered or nothing moves any more."""
    for _ in range(3):
        enrich.pass_time(20.0)
        views.now = enrich.now
        led(enrich, "view.other", views)
        views.pass_time(1.0)
        enrich.again()
