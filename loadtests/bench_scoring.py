"""What a score costs: each executor and batch size, on a LightGBM of 100 trees, 31 leaves and 15 inputs.

`python -m loadtests.bench_scoring [--json PATH]`: nanoseconds of CPU per row, the best of five passes over thousands of
different rows, since a processor learns the branches of a few repeated rows by heart.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightgbm as lgb
import numpy as np
import numpy.typing as npt
import onnx
import pyarrow as pa

from headrace.domain.models.forest import read
from headrace.domain.models.matrix import FeatureMatrix
from headrace.domain.models.package import Input, Manifest, pack
from headrace.domain.models.sessions import OnnxSession, SessionSettings
from headrace.domain.training.conversion import convert
from headrace.domain.training.dataset import Dataset
from headrace.domain.training.model_build import reference

TREES, LEAVES, INPUTS, ROWS = 100, 31, 15, 65_536
BATCHES = (1, 16, 64, 256, 1024, 4096)


def dataset() -> Dataset:
    """Rows to fit and to score."""
    rng = np.random.default_rng(0)
    matrix = np.asfortranarray(rng.gamma(2.0, 30.0, (ROWS, INPUTS)).astype(np.float32))
    margin = matrix[:, 0] / 60 - 2 + np.sin(matrix[:, 1] / 20) + (matrix[:, 2] > 80) * 1.5
    labels = (rng.random(ROWS) < 1 / (1 + np.exp(-margin))).astype(np.int8)
    return Dataset(tuple(f"v.f{i}" for i in range(INPUTS)), matrix, labels, np.arange(ROWS))


def cost(score: Callable[[npt.NDArray[np.float32]], object], matrix: npt.NDArray[np.float32], batch: int) -> float:
    """Nanoseconds of CPU per row, in batches of so many rows, the best of five passes."""
    rows = min(len(matrix), max(4096, batch * 16) if batch > 1 else 1024)
    parts = [np.asfortranarray(matrix[start : start + batch]) for start in range(0, rows, batch)]
    best = float("inf")
    for _ in range(5):
        begin = time.process_time()
        for part in parts:
            score(part)
        best = min(best, time.process_time() - begin)
    return best / rows * 1e9


def features(data: Dataset) -> pa.RecordBatch:
    """The rows as the features topic's columns."""
    view = pa.StructArray.from_arrays(
        [pa.array(data.matrix[:, i].astype(np.float64)) for i in range(INPUTS)], [f"f{i}" for i in range(INPUTS)]
    )
    return pa.RecordBatch.from_arrays([view], ["v"])


def figures() -> dict[str, Any]:
    """All that is measured."""
    data = dataset()
    parameters = {"objective": "binary", "num_leaves": LEAVES, "verbosity": -1, "num_threads": 2}
    booster = lgb.train(parameters, lgb.Dataset(data.matrix, data.labels), TREES)
    graph = convert(booster)
    inputs = tuple(Input(name=name) for name in data.inputs)
    package = pack(Manifest(name="bench", version="1", inputs=inputs, reference=reference(data)), graph)
    forest = read(onnx.ModelProto.FromString(graph))
    assert forest is not None
    rows = data.matrix[:8192]
    expected = np.asarray(booster.predict(rows))
    runtime = {batch: OnnxSession(package, SessionSettings(device="cpu", rows=batch)) for batch in BATCHES}
    columns, wanted = features(data).slice(0, 4096), FeatureMatrix.resolve(inputs, features(data).schema, "bench")
    forest.score(rows)
    return {
        "ns_per_row": {
            "onnxruntime": {str(b): cost(session.run, data.matrix, b) for b, session in runtime.items()},
            "forest": {str(b): cost(forest.score, data.matrix, b) for b in BATCHES},
            "matrix": cost(lambda _: wanted.of(columns), data.matrix[:4096], 4096),
        },
        "largest_difference_from_lightgbm": {
            "onnxruntime": float(np.abs(runtime[1024].run(rows) - expected).max()),
            "forest": float(np.abs(forest.score(rows) - expected).max()),
        },
        "tuned_rows": {
            "onnxruntime": OnnxSession(package, SessionSettings(device="cpu")).batch.rows,
        },
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args().json
    found = figures()
    text = json.dumps(found, indent=1)
    if chosen is not None:
        chosen.write_text(text)
    print(text)


if __name__ == "__main__":
    main()
