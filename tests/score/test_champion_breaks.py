"""A champion that breaks beside a challenger that does not: whoever released it is told, and can put it back."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from headrace.domain.models.package import ModelPackage, pack
from headrace.domain.models.store import ModelStore
from headrace.errors import ContractError, Transient
from headrace.streaming.records.batch import Batch
from services.score.service import Score
from tests.models import graphs
from tests.models.parts import arm, features, plans
from tests.score.test_scoring import arms_of, breaches, canary_plan

Start = Callable[..., Score]
OLD, NEW = graphs.package(), pack(graphs.manifest(version="2"), graphs.roots())


def promoted(store: ModelStore, version: int, champion: ModelPackage = NEW, *challengers: ModelPackage) -> Batch:
    """A plan with challengers."""
    arms = [arm(each, store.put(each), "challenger") for each in challengers]
    return plans(("p", version, [*arms, arm(champion, store.put(champion))]))


@pytest.mark.parametrize("lived", [True, False], ids=["saw the old one answer", "started since"])
def test_rows_that_the_old_champion_scores_are_a_breach_of_the_new_one(
    start: Start, store: ModelStore, lived: bool
) -> None:
    """They are dead letters, as the plan says who answers; said once."""
    service = start()
    if lived:
        service.learn(promoted(store, 1, OLD), now=0.0)
    service.learn(promoted(store, 2, NEW, OLD), now=0.0)
    output = service.process(features([4.0, -4.0, None], [4, 1, 4]), now=1.0)
    assert [reject.offset for reject in output.rejects] == [101, 102]
    (breach,) = breaches(output)
    assert (breach.model, breach.arm, breach.plan_version) == ("m@2", "champion", 2)
    assert (breach.breaker, breach.rows, breach.offsets) == ("non_finite_score", 1, {0: 101})
    assert breach.detail == "1 of 2 rows have a score by m@1"
    assert not breaches(service.process(features([-4.0], [1]), now=2.0))


def test_rows_that_nobody_scores_are_no_breach(start: Start, store: ModelStore) -> None:
    """A feature is missing; nor are they where there is no challenger to ask."""
    service = start()
    service.learn(promoted(store, 1, NEW, OLD), now=0.0)
    assert not breaches(service.process(features([None], [1]), now=1.0))
    service.learn(promoted(store, 2, NEW), now=2.0)
    assert not breaches(service.process(features([-4.0], [1]), now=3.0))


def broken(service: Score, error: Exception) -> None:
    """The champion fails from now on, as no graph does that passed its checks."""
    assert service._live is not None

    def run(matrix: np.ndarray) -> np.ndarray:
        raise error

    service._live.champion.models[0].session.run = run  # type: ignore[method-assign]  # see above


@pytest.mark.parametrize(
    ("error", "breaker"), [(ContractError("m@2 does not run: no"), "does_not_run"), (MemoryError(), "out_of_memory")]
)
def test_rows_wait_where_the_old_champion_runs(start: Start, store: ModelStore, error: Exception, breaker: str) -> None:
    """It is said between two tries, and the next plan answers the same rows."""
    service = start()
    service.learn(promoted(store, 1, OLD), now=0.0)
    service.learn(promoted(store, 2, NEW, OLD), now=0.0)
    broken(service, error)
    batch = features([4.0, 9.0], [4, 4])
    for _ in range(2):
        with pytest.raises(Transient, match="a challenger runs: waiting for a plan"):
            service.process(batch, now=1.0)
    (breach,) = breaches(service.tick(2.0, {}))
    assert (breach.model, breach.arm, breach.breaker, breach.rows) == ("m@2", "champion", breaker, 2)
    assert not breaches(service.tick(3.0, {}))
    service.learn(promoted(store, 3, OLD), now=4.0)
    assert arms_of(service.process(batch, now=5.0)) == ["champion", "champion"]


def test_a_champion_that_nobody_can_replace_ends_the_process(start: Start, store: ModelStore) -> None:
    """There is nobody to answer in its place."""
    service = start()
    service.learn(promoted(store, 1, NEW), now=0.0)
    broken(service, ContractError("m@2 does not run: no"))
    with pytest.raises(ContractError, match="does not run"):
        service.process(features([4.0], [4]), now=1.0)


def test_a_canary_whose_package_is_another_by_now_is_a_breach(start: Start, store: ModelStore) -> None:
    """The plan before it goes on, and who releases is told."""
    service = start(OLD)
    package = pack(graphs.manifest(version="3"), graphs.logistic((0.5, 0.5)))
    learnt = canary_plan(store, 0.5, 2, package=package)
    place = next(path for path in store._cache.parent.rglob("model.onnx") if package.digest[7:] in str(path))
    place.write_bytes(graphs.logistic((0.1, 0.1)))
    service.learn(learnt, now=0.0)
    (breach,) = breaches(service.tick(1.0, {}))
    assert (breach.model, breach.arm, breach.plan_version, breach.breaker) == ("m@3", "canary", 2, "does_not_run")
    assert arms_of(service.process(features([4.0], [4]), now=1.0)) == ["champion"]
    assert not breaches(service.tick(7.0, {})), "once"
