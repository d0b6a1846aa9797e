"""No fact stops a member: score and shadow go on with what they had, whatever stands on the plans topic."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from headrace.domain.models.package import pack
from headrace.domain.models.store import ModelStore
from headrace.domain.plans.plans import MOST_VERSION, Plan
from headrace.streaming.records.batch import Batch
from tests.edges import members
from tests.edges.drawing import records
from tests.edges.members import Swept
from tests.edges.project import codec
from tests.edges.values import LONGS, TEXTS, TIMES
from tests.models.graphs import logistic, manifest
from tests.models.parts import arm

OUTPUT = "probability"
PLAN = {
    "pipeline": st.sampled_from(["edges", "edges", "others"]),
    "plan_version": st.sampled_from([1, 2, 3, 7, 100, MOST_VERSION, MOST_VERSION + 1, *LONGS]),
    "time": st.sampled_from(TIMES),
    "arms.model": st.sampled_from(["m", *TEXTS]),
    "arms.uri": st.sampled_from(["file:///nowhere", "s3://x/y", "nothing://", "../../etc", "file://\x00", *TEXTS]),
    "arms.digest": st.sampled_from(["sha256:" + "0" * 64, "sha256:", *TEXTS]),
    "arms.combination": st.sampled_from(["single", "mean", "weighted", "stacking", ""]),
}


def learned(member: Swept, rows: list[dict]) -> None:
    """Facts, written by the codec and read again."""
    there = codec(OUTPUT, "plans")
    values = there.encode(pa.RecordBatch.from_pylist(rows, schema=there.reader.arrow))
    columns = there.decode(values).columns
    count = len(rows)
    zeros = np.zeros(count, np.int64)
    facts = Batch("plans", columns, pa.nulls(count, pa.binary()), zeros.astype(np.int32), np.arange(count), zeros)
    member.service.learn(facts, member.now)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model store that has one model, and a cache."""
    return tmp_path_factory.mktemp("models")


@pytest.mark.slow
@pytest.mark.parametrize("make", [members.score, members.shadow])
def test_any_fact(make: Callable[[str, Path], Swept], models: Path) -> None:
    """A member that has a plan answers any features, after any facts; one that has none takes a good one up later."""
    package = pack(manifest(("part", "single")), logistic((0.5, -0.5)))
    store = ModelStore(str(models / "store"), models / "cache")
    uri = store.put(package)
    good = Plan("edges", 1, (arm(package, uri), arm(package, uri, "shadow")))
    member = make(OUTPUT, models)

    @settings(
        max_examples=40, deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.explicit, Phase.generate]
    )
    @given(records(OUTPUT, "plans", PLAN), records(OUTPUT, "features"))
    def sweep(facts: list[dict], features: list[dict]) -> None:
        learned(member, facts)
        member.pass_time(400.0)
        if member.answered or member.service.ready() is None:
            member.take(member.records("features", features))

    sweep()
    assert not member.told("predictions") + member.told("shadow-predictions"), "nobody has such a model"
    member = make(OUTPUT, models)
    learned(member, [good.fact(1, "ada", "the first")])
    assert member.service.ready() is None
    sweep()
    assert member.answered
    assert member.told("predictions") + member.told("shadow-predictions")


@pytest.mark.parametrize("version", [2**63 - 1, 2**62, MOST_VERSION + 1, 0, -1, -(2**63)])
def test_a_version_that_is_none(version: int, models: Path) -> None:
    """A fact with an impossible version is refused, told, and shuts no later plan out."""
    package = pack(manifest(("part", "single")), logistic((0.5, -0.5)))
    uri = ModelStore(str(models / "store"), models / "cache").put(package)
    member = members.score(OUTPUT, models)
    for number in (1, version, 2):
        learned(member, [Plan("edges", number, (arm(package, uri),)).fact(1, "ada", "again")])
    assert member.service.ready() is None
    assert member.service._live.plan.version == 2
