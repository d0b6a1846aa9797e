"""Ensembles: the scores of several models as one, and who may be one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime as ort
import pytest

from headrace.domain.models import ensembles
from headrace.domain.models.model_loader import OpenArm, Opener, Pass
from headrace.domain.models.package import ModelPackage, pack
from headrace.domain.models.sessions import SessionSettings
from headrace.domain.models.store import ModelStore
from headrace.domain.plans.plans import Arm, EnsembleMember
from headrace.errors import ContractError
from tests.models import graphs
from tests.models.parts import FEATURES, features

ONE = graphs.package()
TWO = pack(graphs.manifest(version="2", threshold=0.2), graphs.logistic((0.02, -0.25)))
RNG = np.random.default_rng(3)
ROWS = features(list(RNG.normal(50, 40, 500)), [int(n) for n in RNG.integers(0, 9, 500)]).columns


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    """An empty model store."""
    return ModelStore(str(tmp_path / "models"), tmp_path / "cache")


@pytest.fixture
def opener(store: ModelStore) -> Opener:
    """Opens arms on ONNX Runtime."""
    return Opener(store, SessionSettings(device="cpu", rows=64), FEATURES)


Make = Callable[..., Arm]


@pytest.fixture
def ensemble(store: ModelStore) -> Make:
    """Makes an arm of ONE and TWO."""

    def make(combination: str, weights: Sequence[float] = (1.0, 1.0), **others: Any) -> Arm:
        members = tuple(
            EnsembleMember(p.manifest.name, p.manifest.version, p.digest, store.put(p), w)
            for p, w in zip((ONE, TWO), weights, strict=True)
        )
        digest = ensembles.digest_of(combination, members)
        arm = Arm("challenger", "both", "1", digest, "", threshold=0.5, combination=combination, members=members)
        return replace(arm, **others)

    return make


def alone(package: ModelPackage) -> npt.NDArray[np.float64]:
    """The scores of one package, by ONNX Runtime itself."""
    session = ort.InferenceSession(package.graph, providers=["CPUExecutionProvider"])
    event, customer = ROWS["event"], ROWS["customer"]
    matrix = np.column_stack([event.field("amount"), customer.field("nb_tx_1d")]).astype(np.float32)
    return np.asarray(session.run(["probability"], {"features": matrix})[0][:, 0], np.float64)


def stacked(arm: Arm, digests: Sequence[str] | None = None, names: Sequence[str] = ("m@1", "m@2")) -> ModelPackage:
    """A stacking model over the members of an arm."""
    listed = list(digests) if digests is not None else [member.digest for member in arm.members]
    manifest = graphs.manifest(names, name="stack", threshold=0.3, parameters={"members": listed})
    return pack(manifest, graphs.logistic((2.0, -1.0)))


def scored(opened: OpenArm) -> npt.NDArray[np.float64]:
    """What the arm says of `ROWS`."""
    return opened.score(Pass(ROWS, perf_counter))


def test_a_mean(opener: Opener, ensemble: Make) -> None:
    """The mean of what the members say."""
    opened = opener.open(ensemble("mean"))
    np.testing.assert_allclose(scored(opened), (alone(ONE) + alone(TWO)) / 2, rtol=1e-15)
    assert opened.threshold == 0.5


def test_a_weighted_mean(opener: Opener, ensemble: Make) -> None:
    """Weights need not sum to one."""
    found = scored(opener.open(ensemble("weighted", (3.0, 1.0))))
    np.testing.assert_allclose(found, (3 * alone(ONE) + alone(TWO)) / 4, rtol=1e-15)


def test_a_stacking_model(opener: Opener, ensemble: Make, store: ModelStore) -> None:
    """A model whose inputs are the members' scores, in order, with its own threshold unless the plan names one."""
    package = stacked(ensemble("stacking"))
    own = {"model": "stack", "digest": package.digest, "uri": store.put(package)}
    opened = opener.open(ensemble("stacking", threshold=None, **own))
    session = ort.InferenceSession(package.graph, providers=["CPUExecutionProvider"])
    members = np.column_stack([alone(ONE), alone(TWO)]).astype(np.float32)
    wanted = session.run(["probability"], {"features": members})[0][:, 0]
    np.testing.assert_allclose(scored(opened), wanted, rtol=1e-6)
    assert opened.threshold == 0.3
    assert opener.open(ensemble("stacking", threshold=0.9, **own)).threshold == 0.9


def test_shared_members_are_loaded_and_scored_once(opener: Opener, ensemble: Make, store: ModelStore) -> None:
    """A model in two arms is one session, and one call a batch; forgotten once nobody names it."""
    champion = opener.open(Arm("champion", "m", "1", ONE.digest, store.put(ONE)))
    mean = opener.open(ensemble("mean"))
    assert mean.models[0] is champion.models[0]
    through = Pass(ROWS, perf_counter)
    assert through.scores(champion.models[0]) is through.scores(mean.models[0])
    opener.keep([mean])
    assert opener.open(champion.arm).models[0] is champion.models[0]
    opener.keep([])
    assert opener.open(champion.arm).models[0] is not champion.models[0]


@pytest.mark.parametrize(
    ("combination", "changes", "complaint"),
    [
        ("median", {}, "no combination median; there are single, mean, weighted, stacking"),
        ("single", {}, "is single and names 2 members"),
        ("mean", {"members": ()}, "is mean and names 0 members"),
        ("mean", {"threshold": None}, "write it into the plan"),
        ("mean", {"threshold": float("inf")}, "no threshold"),
        ("mean", {"digest": "sha256:00"}, "has the digest sha256:[0-9a-f]{64}"),
        ("mean", {"uri": "file:///somewhere"}, "no uri"),
        ("mean", {"weights": (1.0, 2.0)}, "a mean has no weights"),
        ("weighted", {"weights": (1.0, 0.0)}, "weights are above zero"),
        ("weighted", {"weights": (1.0, float("nan"))}, "weights are above zero"),
    ],
)
def test_no_ensemble(opener: Opener, ensemble: Make, combination: str, changes: dict[str, Any], complaint: str) -> None:
    """What does not say what it is made of is refused, with the remedy."""
    with pytest.raises(ContractError, match=complaint):
        opener.open(ensemble(combination, **changes))


def test_a_stacking_model_of_other_members(opener: Opener, ensemble: Make, store: ModelStore) -> None:
    """Its inputs are named by the members, and it lists their digests: so its own digest stands for all."""
    arm = ensemble("stacking")
    wrong = {
        "stacks .'m@2', 'm@1'.": stacked(arm, names=("m@2", "m@1")),
        "was made for members": stacked(arm, digests=[TWO.digest, ONE.digest]),
        "members None": pack(graphs.manifest(("m@1", "m@2"), name="stack"), graphs.logistic()),
    }
    for complaint, package in wrong.items():
        own = {"model": "stack", "digest": package.digest, "uri": store.put(package)}
        with pytest.raises(ContractError, match=complaint):
            opener.open(replace(arm, **own))


def test_identity() -> None:
    """Another member, weight, order or combination is another model; names and places are none of it."""
    members = (EnsembleMember("a", "1", "sha256:01", "u"), EnsembleMember("b", "1", "sha256:02", "v", 2.0))
    same = ensembles.digest_of("weighted", members)
    assert same == ensembles.digest_of("weighted", (replace(members[0], uri="elsewhere", model="c"), members[1]))
    others = [
        ensembles.digest_of("mean", members),
        ensembles.digest_of("weighted", members[::-1]),
        ensembles.digest_of("weighted", (members[0], replace(members[1], weight=2.5))),
        ensembles.digest_of("weighted", (members[0], replace(members[1], digest="sha256:03"))),
        ensembles.digest_of("weighted", members[:1]),
    ]
    assert len({same, *others}) == 6
