"""Fisher's irises as a stream: which of three species a flower is, told by its measures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.datasets import load_iris

SPECIES = ("setosa", "versicolor", "virginica")
MEASURES = ("sepal_length", "sepal_width", "petal_length", "petal_width")
PIPELINE = """
pipeline: flowers
events: {schema: flower, id: flower_id, time: measured_at, key: bed}
rules: {petal_length: {range: [0, 20], else: reject}}
views:
  bed: {key: bed, windows: [1d], features: {flowers: count, petals: mean(petal_length)}}
model:
  name: flowers
  inputs: [sepal_length, sepal_width, petal_length, petal_width, bed.petals_1d]
  output: class
  classes: [setosa, versicolor, virginica]
  costs: {versicolor: {virginica: 5}}
  threshold: 0.6
labels: {id: flower_id, value: species, matures_after: 1h}
segments: {size: {of: petal_length, cuts: [2, 5]}}
retrain: {trainer: lightgbm}
"""
SCHEMA = {
    "type": "record", "name": "flower", "namespace": "flowers", "doc": "A flower was measured.",
    "fields": [
        {"name": "flower_id", "type": "long", "doc": "Its number."},
        {"name": "measured_at", "type": {"type": "long", "logicalType": "timestamp-millis"}, "doc": "When."},
        {"name": "bed", "type": "string", "doc": "Where it grew."},
        *({"name": name, "type": "double", "doc": f"Its {name.replace('_', ' ')}, cm."} for name in MEASURES),
    ],
}  # fmt: skip  # as the file is
BEGAN, MINUTE = 1_700_000_000_000, 60_000
BEDS = 5


def source(directory: Path, pipeline: str = PIPELINE) -> Path:
    """The pipeline file, with its schema beside it."""
    for name in ("pipelines", "schemas"):
        (directory / name).mkdir(parents=True)
    (directory / "schemas/flower.avsc").write_text(json.dumps(SCHEMA))
    file = directory / "pipelines/flowers.yaml"
    file.write_text(pipeline.lstrip(), "utf-8")
    return file


def events() -> list[dict[str, Any]]:
    """A flower a minute, in an order drawn once."""
    measured = load_iris().data[order()]
    return [
        {
            "flower_id": number,
            "measured_at": BEGAN + number * MINUTE,
            "bed": f"b{number % BEDS}",
            **dict(zip(MEASURES, map(float, row), strict=True)),
        }
        for number, row in enumerate(measured)
    ]


def species() -> list[str]:
    """What each of the events is."""
    return [SPECIES[at] for at in load_iris().target[order()]]


def order() -> np.ndarray:
    """Places in the data of the events."""
    return np.random.default_rng(0).permutation(150)
