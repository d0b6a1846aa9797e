"""Plans: what holds as a whole, and the way to the topic and back."""

from __future__ import annotations

import json
from dataclasses import replace
from math import nan
from pathlib import Path

import pyarrow as pa
import pytest

from headrace.domain.plans.plans import Arm, EnsembleMember, Plan, latest
from headrace.streaming.contracts.schemas import PinnedIds, load_schema, pinned, read_pins, write_pins
from headrace.streaming.records.avro_codec import AvroCodec
from tests.members import ROOT
from tests.models.parts import PLANS

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
    members=(
        EnsembleMember("m", "1", "sha256:01", "file:///m/1", 0.25),
        EnsembleMember("m", "2", "sha256:02", "file:///m/2"),
    ),
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


def test_plans_of_the_first_schema(tmp_path: Path) -> None:
    """A plan that was written before canaries had salts and arms had members is read as what it was."""
    path = ROOT / "schemas/plan.avsc"
    new, old = load_schema(path), json.loads(path.read_text())
    assert old["fields"].pop()["name"] == "salt"
    old["fields"][-1]["type"]["items"]["fields"] = old["fields"][-1]["type"]["items"]["fields"][:6]
    write_pins(tmp_path / "ids.json", pinned({}, {"plans": load_schema(old)})[0])
    writer = AvroCodec("plans", load_schema(old), PinnedIds(tmp_path / "ids.json"))
    write_pins(tmp_path / "ids.json", pinned(read_pins(tmp_path / "ids.json"), {"plans": new})[0])
    reader = AvroCodec("plans", new, PinnedIds(tmp_path / "ids.json"))
    rows = pa.RecordBatch.from_pylist(facts(Plan("p", 3, (ONE, CANARY))).to_pylist(), schema=load_schema(old).arrow)
    decoded = reader.decode(writer.encode(rows))
    assert latest(decoded.columns, "p") == (Plan("p", 3, (ONE, CANARY)), [])
