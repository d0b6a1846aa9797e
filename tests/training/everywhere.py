"""A program that trains by every trainer and prints what came of it; run elsewhere, later, by other threads."""

from __future__ import annotations

import json
import sys

import numpy as np

from headrace.domain.models.package import files_of
from headrace.domain.pipeline.retrain.section import trainer_names
from headrace.domain.training.dataset import Dataset
from headrace.domain.training.job.order import WindowCandidate
from headrace.domain.training.job.windows import best_window
from headrace.domain.training.model_build import BasePackage, Recipe, package_of, train

COUNT = 6_000


def rows() -> Dataset:
    """Rows a minute apart, in two groups."""
    rng = np.random.default_rng(0)
    matrix = np.asfortranarray(rng.gamma(2.0, 30.0, (COUNT, 6)).astype(np.float32))
    matrix[:, 2] = rng.poisson(3, COUNT)
    labels = (rng.random(COUNT) < 1 / (1 + np.exp(4 - matrix[:, 0] / 30 - (matrix[:, 1] > 80)))).astype(np.int8)
    groups = {("band", "low"): matrix[:, 0] < 50, ("band", "high"): matrix[:, 0] >= 50}
    return Dataset(tuple(f"v.f{i}" for i in range(6)), matrix, labels, np.arange(COUNT) * 60_000, groups)


def main() -> dict[str, dict[str, str]]:
    """By trainer: the digest, and each file's length, so that a failure says where to look."""
    data, found = rows(), {}
    for name in trainer_names():
        trees = 20 if name in ("lightgbm", "xgboost", "random_forest") else None
        parameters = {"bagging_fraction": 0.5, "bagging_freq": 1} if name == "lightgbm" else {}
        recipe = Recipe("m", "1", trainer=name, trees=trees, parameters=parameters, seed=7, gap=3_600_000)
        package = train(data, recipe)
        found[name] = package
        if package.continuation is None or trees is None:
            continue
        base = BasePackage(package.title, package.digest, package.continuation, 0, 1)
        windows = (
            WindowCandidate(kind="growing", name="growing", half_life=86_400_000),
            WindowCandidate(kind="continued", name="on", base_version="1", base_digest=package.digest, start=9_000_000),
        )
        for window in windows:
            best, _ = best_window(data, recipe, (window,), lambda window, base=base: base)
            found[f"{name}, {window.name}"] = package_of(best.model, best.data, best.cut, best.recipe)
    return {
        name: {"digest": package.digest} | {file: f"{len(text)} bytes" for file, text in files_of(package).items()}
        for name, package in found.items()
    }


if __name__ == "__main__":
    out, sys.stdout = sys.stdout, sys.stderr  # a trainer of somebody else may print
    json.dump(main(), out)
