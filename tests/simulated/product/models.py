"""Small models in a store, and plans that name them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from headrace.domain.drift.reference_profile import ReferenceProfile, profile_of
from headrace.domain.models.held_out import drawn
from headrace.domain.models.package import ModelPackage, pack
from headrace.domain.models.store import ModelStore
from headrace.domain.plans.plans import Arm, Plan
from tests.models.graphs import logistic, manifest
from tests.models.parts import arm
from tests.simulated.scene import PIPELINE, Row

STORE = "memory://models"
"""Plans name it, and are the same in every process."""
INPUTS = ("weight", "customer.kilos_1m", "customer.kilos_10m")
WEIGHTS: Mapping[str, tuple[float, float, float]] = {
    "1": (0.5, -0.25, 0.125), "2": (-0.5, 0.25, -0.125), "3": (0.25, -0.5, 0.25), "4": (-0.25, 0.5, -0.5),
    "5": (0.125, 0.25, -0.25),
}  # fmt: skip  # one line's worth
"""By version, one a model input: where both sums are infinite there is no score."""
CANARY_SHARE = 0.5
MODEL = "parcels"
BROKEN = "9"
"""A version whose package is in no store."""
DarkArm = tuple[str, str, int]
"""(version, arm, priority)."""


@cache
def _directory() -> TemporaryDirectory[str]:
    return TemporaryDirectory(prefix="headrace-models-")


def cache_folder() -> Path:
    """Where all members keep the packages that they fetched, for as long as the process is."""
    return Path(_directory().name)


@cache
def _stored(version: str) -> tuple[ModelPackage, str]:
    package = pack(manifest(INPUTS, name=MODEL, version=version, threshold=0.5), logistic(WEIGHTS[version]))
    return package, ModelStore(STORE, cache_folder()).put(package)


@cache
def judged(name: str) -> ModelPackage:
    """A model in the store whose package has rows that it was judged by, few enough for schedules in plenty."""
    draw = np.random.default_rng(1)
    matrix = draw.integers(0, 10, (90, len(INPUTS))).astype(np.float64)
    scores = draw.integers(0, 8, 90) / 8
    profile = ReferenceProfile(profile_of(INPUTS, matrix), {})
    rows = drawn(profile, INPUTS, matrix, np.arange(90), scores, draw.random(90) < scores)
    package = pack(manifest(INPUTS, name=name, version="1"), logistic(WEIGHTS["1"]), profile, rows)
    ModelStore(STORE, cache_folder()).put(package)
    return package


def fact(number: int, champion: str, canary: str = "", dark: Sequence[DarkArm] = ()) -> dict[str, Any]:
    """A plan with one model, or two, and those that are scored in the dark."""
    arms = [arm(*_stored(champion))]
    if canary:
        arms.append(arm(*_stored(canary), "canary", share=CANARY_SHARE))
    arms += [_dark(*each) for each in dark]
    return Plan(PIPELINE, number, tuple(arms), salt="salt").fact(0, "test", "a test")


def _dark(version: str, name: str, priority: int) -> Arm:
    if version != BROKEN:
        return arm(*_stored(version), name, priority=priority)
    nothing = "0" * 64
    return Arm(name, MODEL, version, f"sha256:{nothing}", f"{STORE}/{MODEL}/{version}/{nothing}", priority=priority)


def score_of(version: str, features: Row) -> float:
    """What a model says of an event."""
    values = [features["event"]["weight"], features["customer"]["kilos_1m"], features["customer"]["kilos_10m"]]
    with np.errstate(invalid="ignore"):
        margin = np.float32(np.dot(np.array(values, np.float32), np.array(WEIGHTS[version], np.float32)))
    return float(1 / (1 + np.exp(-margin, dtype=np.float32)))
