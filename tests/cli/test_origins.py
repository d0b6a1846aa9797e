"""What a model was fitted on is found for packages, for ensembles of them, and said where nobody knows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from headrace.domain.models.ensembles import digest_of
from headrace.domain.models.package import ModelPackage
from headrace.domain.models.store import ModelStore
from headrace.domain.plans.plan_log import PlanFact
from headrace.domain.plans.plans import Arm, EnsembleMember, Plan
from headrace.domain.scorecards.identity import Identity
from headrace.errors import Transient
from headrace.operations.comparison.training_overlap import origins
from headrace.operations.time_spans import TimeSpan
from tests.models.graphs import package


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    """An empty model store."""
    return ModelStore(str(tmp_path / "models"), tmp_path / "cache")


def trained(version: str, start: int, end: int, **others: object) -> ModelPackage:
    """A package that was fitted on events of a time."""
    return package(version=version, training={"start": start, "end": end, "rows": 10}, **others)


def who(made: ModelPackage) -> Identity:
    """The model as its predictions name it."""
    return Identity("m", made.manifest.version, made.digest, "champion")


def nobody() -> Sequence[PlanFact]:
    """No plans."""
    return ()


def test_packages_say_it(store: ModelStore) -> None:
    """Training rows are inclusive at both ends, and so are those by which a threshold was chosen."""
    made = trained("1", 10, 19, tuned={"start": 30, "end": 39})
    store.put(made)
    found = origins(store, nobody, [who(made)])[who(made)]
    assert (found.spans, found.unknown) == ((TimeSpan(10, 20), TimeSpan(30, 40)), ())
    assert found.overlaps(TimeSpan(19, 25))
    assert not found.overlaps(TimeSpan(20, 30))


def test_ensembles_saw_what_their_members_saw(store: ModelStore) -> None:
    """A mean has no package: plans say its members; a stacking package lists them itself."""
    one, two = trained("1", 10, 19), trained("2", 15, 29)
    stacked = trained("3", 40, 49, parameters={"members": [one.digest, two.digest]})
    uris = [store.put(made) for made in (one, two, stacked)]
    members = tuple(
        EnsembleMember("m", made.manifest.version, made.digest, uri)
        for made, uri in zip((one, two), uris, strict=False)
    )
    digest = digest_of("mean", members)
    plan = Plan("p", 1, (Arm("champion", "both", "1", digest, "", combination="mean", members=members),))
    mean = Identity("both", "1", digest, "champion")
    found = origins(store, lambda: [PlanFact(plan, None, 1, 0, "me", "why", 0)], [mean, who(stacked)])
    assert found[mean].spans == (TimeSpan(10, 20), TimeSpan(15, 30))
    assert found[who(stacked)].spans == (TimeSpan(10, 20), TimeSpan(15, 30), TimeSpan(40, 50))
    assert not found[mean].unknown


def test_what_nobody_knows_is_said(store: ModelStore) -> None:
    """A package without a training, a model without a package, a store that does not answer: each is a sentence."""
    silent = package()
    store.put(silent)
    gone = trained("9", 1, 2)
    found = origins(store, nobody, [who(silent), who(gone)])
    assert found[who(silent)].unknown == ("the package of m@1 does not say what it was fitted on",)
    assert "m@9 is not in the model store" in found[who(gone)].unknown[0]

    def unreachable() -> Sequence[PlanFact]:
        raise Transient("no broker")

    assert "not in the model store" in origins(store, unreachable, [who(gone)])[who(gone)].unknown[0]
