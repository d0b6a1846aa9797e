"""Members of an ensemble that run side by side give the bits that they give one after the other."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import perf_counter

import numpy as np
import pytest

from headrace.domain.models import ensembles
from headrace.domain.models.batch_tuning import InnerBatch
from headrace.domain.models.matrix import FeatureMatrix
from headrace.domain.models.model_loader import LoadedModel, OpenArm, Opener, Pass
from headrace.domain.models.package import ModelPackage, pack
from headrace.domain.models.sessions import Matrix, Scores, SessionSettings
from headrace.domain.models.store import ModelStore
from headrace.domain.plans.plans import Arm, EnsembleMember
from headrace.errors import ContractError
from tests.models import graphs
from tests.models.parts import FEATURES, features

RNG = np.random.default_rng(3)
ROWS = features(list(RNG.normal(0, 4, 700)), [int(n) for n in RNG.integers(0, 9, 700)]).columns
WAIT_S = 30.0
PACKAGES = [pack(graphs.manifest(version=str(number)), graphs.logistic((0.1, -0.1 * number))) for number in (1, 2)]


def members(packages: list[ModelPackage], uris: list[str]) -> Arm:
    """The mean of some packages."""
    named = tuple(
        EnsembleMember(each.manifest.name, each.manifest.version, each.digest, uri)
        for each, uri in zip(packages, uris, strict=True)
    )
    return Arm(
        "champion", "e", "1", ensembles.digest_of("mean", named), "", threshold=0.5, combination="mean", members=named
    )


class Scripted:
    """A session that does as it is told, and notes its threads."""

    def __init__(self, run: Callable[[], float], seconds_per_row: float = 1.0) -> None:
        self.batch = InnerBatch(64, seconds_per_row)
        self.threads: list[int] = []
        self._run = run

    def run(self, matrix: Matrix) -> Scores:
        self.threads.append(threading.get_ident())
        return np.full(len(matrix), self._run())


def arm_of(*sessions: Scripted) -> OpenArm:
    """An ensemble of scripted models, with two threads."""
    matrix = FeatureMatrix.resolve(PACKAGES[0].manifest.inputs, FEATURES, "m")
    models = tuple(LoadedModel(package, session, matrix) for package, session in zip(PACKAGES, sessions, strict=True))
    return OpenArm(members(PACKAGES, ["", ""]), 0.5, models, workers=ThreadPoolExecutor(2))


def test_they_run_at_the_same_time() -> None:
    """Each waits for the other, by threads that are not the caller's; the seconds of both count."""
    meeting, done = threading.Barrier(2), threading.Event()

    def first() -> float:
        meeting.wait(WAIT_S)
        assert done.wait(WAIT_S)
        return 1.0

    def second() -> float:
        meeting.wait(WAIT_S)
        threading.Event().wait(0.2)
        done.set()
        return 3.0

    sessions, through = (Scripted(first), Scripted(second)), Pass(ROWS, perf_counter)
    assert arm_of(*sessions).score(through).tolist() == [2.0] * 700
    assert threading.get_ident() not in sessions[0].threads + sessions[1].threads
    assert sessions[0].threads != sessions[1].threads
    assert through.beside > 0.0


def test_none_runs_on_after_a_failure() -> None:
    """What one model raises is raised when the others are through, and nothing is left half done."""
    gone, through = threading.Event(), threading.Event()

    def fails() -> float:
        gone.set()
        raise ContractError("m@1 does not run")

    def lasts() -> float:
        assert gone.wait(WAIT_S)
        threading.Event().wait(0.05)
        through.set()
        return 1.0

    with pytest.raises(ContractError, match="does not run"):
        arm_of(Scripted(fails), Scripted(lasts)).score(Pass(ROWS, perf_counter))
    assert through.is_set()


def test_what_takes_no_time_is_not_handed_over() -> None:
    """Where fewer than two models are worth it, the caller runs all of them."""
    sessions = Scripted(lambda: 1.0), Scripted(lambda: 3.0, seconds_per_row=1e-6)
    assert arm_of(*sessions).score(Pass(ROWS, perf_counter)).tolist() == [2.0] * 700
    assert sessions[0].threads + sessions[1].threads == [threading.get_ident()] * 2


def test_bits_are_the_same_with_any_number_of_threads(tmp_path: Path) -> None:
    """An ensemble, and its member alone, score as with one thread; the member alone is another session then."""
    store = ModelStore(str(tmp_path / "models"), tmp_path / "cache")
    packages = [pack(graphs.manifest(version=f"{layers}"), graphs.deep(2, 256, layers)) for layers in (2, 3, 4)]
    uris = [store.put(package) for package in packages]
    alone = Arm("canary", "m", "2", packages[0].digest, uris[0])
    told = []
    for threads in (1, 2):
        opener = Opener(store, SessionSettings(device="cpu", threads=threads), FEATURES)
        together, single = opener.open(members(packages, uris)), opener.open(alone)
        assert (together.workers is None) == (threads == 1)
        assert (single.models[0] is together.models[0]) == (threads == 1)
        told.append(
            (together.score(Pass(ROWS, perf_counter)).tobytes(), single.score(Pass(ROWS, perf_counter)).tobytes())
        )
        opener.keep([together])
        assert opener.open(members(packages, uris)).models == together.models
    assert told[0] == told[1]
