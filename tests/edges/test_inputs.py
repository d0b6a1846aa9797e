"""Whatever stands on a topic that a service reads is folded or refused, by every service that keeps state."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from headrace.errors import ContractError
from tests.edges import members
from tests.edges.drawing import records
from tests.edges.members import Swept, led

OUTPUTS = ("probability", "value")
swept = settings(
    max_examples=10,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # to shrink what fails would take minutes
)


INPUTS = [
    (members.views, "view.other"),
    *((members.labels, topic) for topic in ("labels", "predictions", "shadow-predictions", "exchange")),
    *((members.scorecards, topic) for topic in ("predictions", "shadow-predictions", "outcomes", "scorecard-parts")),
]


@pytest.mark.slow
@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize(("make", "topic"), INPUTS, ids=[f"{make.__name__}-{topic}" for make, topic in INPUTS])
def test_every_input(make: Callable[[str], Swept], topic: str, output: str) -> None:
    """Whatever stands on a topic that a service reads is folded or refused, over restarts."""

    @swept
    @given(st.lists(records(output, topic), min_size=1, max_size=3))
    def sweep(lots: list[list[dict]]) -> None:
        member = make(output)
        for at, rows in enumerate(lots):
            batch = member.records(topic, rows, partition=at % 2)
            (member.replay if at == 1 and topic in member.service.stateful else member.take)(batch)
            member.pass_time(20.0)
            for again in ("exchange", "scorecard-parts"):
                if again in member.service.inputs:
                    led(member, again, member)
            member.pass_time(20.0)
            member.restart()
        member.pass_time(20.0)

    sweep()


@pytest.mark.parametrize("output", OUTPUTS)
def test_a_partition_that_only_a_grown_topic_has(output: str) -> None:
    """A sound record of a partition beyond those that labels knows of stops it, for people to look."""

    @swept
    @given(records(output, "exchange"))
    def sweep(rows: list[dict]) -> None:
        nothing = {"event_ids": [], "times": [], "entities": []}
        sound = {"source": "labels", "source_partition": 2, "progress": 0, "time": 0, "predictions": [], "labels": []}
        member = members.labels(output)
        with pytest.raises(ContractError, match="topics grew"):
            member.take(member.records("exchange", [{**row, **sound, "events": nothing} for row in rows[:1]]))

    sweep()
