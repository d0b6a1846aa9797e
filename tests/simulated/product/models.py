"""Small models in a store, and plans that name them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from onnx import helper, numpy_helper

from headrace.domain.drift.reference_profile import ReferenceProfile, profile_of
from headrace.domain.models.held_out import drawn
from headrace.domain.models.package import ModelPackage, pack
from headrace.domain.models.store import ModelStore
from headrace.domain.plans.plans import Arm, Plan
from tests.models.graphs import logistic, manifest, serialise, vector
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
BREAKING, HEAVIEST = "6", 7.5
"""A version that has no score for what weighs more."""
DarkArm = tuple[str, str, int]
"""(version, arm, priority)."""


@cache
def _directory() -> TemporaryDirectory[str]:
    return TemporaryDirectory(prefix="headrace-models-")


def cache_folder() -> Path:
    """Where all members keep the packages that they fetched, for as long as the process is."""
    return Path(_directory().name)


@cache
def stored(version: str) -> tuple[ModelPackage, str]:
    """A version's package, and where it lies in the store."""
    graph = _breaking() if version == BREAKING else logistic(WEIGHTS[version])
    package = pack(manifest(INPUTS, name=MODEL, version=version, threshold=0.5), graph)
    return package, ModelStore(STORE, cache_folder()).put(package)


def _breaking() -> bytes:
    """As version 2, and no number for what weighs more than `HEAVIEST`."""
    held: dict[str, np.ndarray] = {
        "w": np.array(WEIGHTS["2"], np.float32)[:, None], "most": np.array([[HEAVIEST]], np.float32),
        "none": np.zeros((1, 1), np.float32), "from": np.array([0], np.int64), "to": np.array([1], np.int64),
    }  # fmt: skip  # what belongs together
    nodes = [
        helper.make_node("Slice", ["features", "from", "to", "to"], ["weight"]),
        helper.make_node("Sub", ["most", "weight"], ["left"]),
        helper.make_node("Sqrt", ["left"], ["root"]),
        helper.make_node("Mul", ["root", "none"], ["nothing"]),
        helper.make_node("MatMul", ["features", "w"], ["own"]),
        helper.make_node("Add", ["own", "nothing"], ["margin"]),
        helper.make_node("Sigmoid", ["margin"], ["probability"]),
    ]
    tensors = [numpy_helper.from_array(value, name) for name, value in held.items()]
    return serialise(nodes, [vector("features", len(INPUTS))], tensors)


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
    arms = [arm(*stored(champion))]
    if canary:
        arms.append(arm(*stored(canary), "canary", share=CANARY_SHARE))
    arms += [_dark(*each) for each in dark]
    return Plan(PIPELINE, number, tuple(arms), salt="salt").fact(0, "test", "a test")


def _dark(version: str, name: str, priority: int) -> Arm:
    if version != BROKEN:
        return arm(*stored(version), name, priority=priority)
    nothing = "0" * 64
    return Arm(name, MODEL, version, f"sha256:{nothing}", f"{STORE}/{MODEL}/{version}/{nothing}", priority=priority)


def score_of(version: str, features: Row) -> float:
    """What a model says of an event."""
    if version == BREAKING:
        return float("nan") if features["event"]["weight"] > HEAVIEST else score_of("2", features)
    values = [features["event"]["weight"], features["customer"]["kilos_1m"], features["customer"]["kilos_10m"]]
    with np.errstate(invalid="ignore"):
        margin = np.float32(np.dot(np.array(values, np.float32), np.array(WEIGHTS[version], np.float32)))
    return float(1 / (1 + np.exp(-margin, dtype=np.float32)))
