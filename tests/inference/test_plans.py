"""Plans: what holds as a whole, and the way to the topic and back."""

from __future__ import annotations

from dataclasses import replace
from math import nan

import pyarrow as pa
import pytest

from services.inference.plans import Arm, Member, Plan, latest
from tests.inference.parts import PLANS

ONE = Arm("champion", "m", "1", "sha256:01", "file:///m/1")
CANARY = replace(ONE, arm="canary", version="2", digest="sha256:02", share=0.05)
BOTH = Arm(
    "shadow",
    "both",
    "1",
    "sha256:03",
    "",
    priority=-2,
    threshold=0.25,
    combination="weighted",
    members=(Member("m", "1", "sha256:01", "file:///m/1", 0.25), Member("m", "2", "sha256:02", "file:///m/2")),
)


def facts(*plans: Plan) -> pa.RecordBatch:
    """Records of the plans topic."""
    return pa.RecordBatch.from_pylist([plan.fact(1, "ada", "why not") for plan in plans], schema=PLANS)


def test_there_and_back() -> None:
    """A plan with all that there is comes back from its record as it was."""
    plan = Plan("p", 7, (ONE, CANARY, BOTH), "spring")
    assert latest(facts(plan), "p") == (plan, [])
    assert plan.champion is ONE
    assert plan.canary is CANARY
    assert plan.dark == (BOTH,)
    assert BOTH.place == "both@1/shadow"


@pytest.mark.parametrize(
    ("arms", "reason"),
    [
        ((), "no_champion"),
        ((BOTH,), "no_champion"),
        ((ONE, replace(ONE, version="2")), "no_champion"),
        ((ONE, CANARY, replace(CANARY, version="3")), "canaries"),
        ((ONE, replace(CANARY, share=1.5)), "canary_share"),
        ((ONE, replace(CANARY, share=-0.1)), "canary_share"),
        ((ONE, replace(CANARY, share=nan)), "canary_share"),
    ],
)
def test_no_plan(arms: tuple[Arm, ...], reason: str) -> None:
    """One champion, one canary at most, a share between 0 and 1; a fact that says otherwise holds no other up."""
    good = Plan("p", 1, (ONE,))
    plan, faults = latest(facts(good, Plan("p", 2, arms)), "p")
    assert plan == good
    assert [fault.reason for fault in faults] == [reason]


def test_newer_ones_of_this_pipeline() -> None:
    """What is known, and what is another pipeline's, is passed over."""
    plans = [Plan("p", version, (ONE,)) for version in (2, 4, 3)]
    assert latest(facts(*plans, Plan("q", 9, (ONE,))), "p", known=3)[0] == plans[1]
    assert latest(facts(*plans), "p", known=4) == (None, [])
