"""What the drift service costs: predictions watched per CPU-second, by a member that does all of it.

All predictions are published before the service starts, of a model of the pipeline's fifteen inputs whose reference has
them all and what they have to do with one another; nothing changes, so nothing alarms.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from headrace.domain.drift.reference_bins import Floats
from headrace.domain.drift.reference_profile import ReferenceProfile, answers_of, joint_of, profile_of
from headrace.domain.models.matrix import FeatureMatrix
from headrace.domain.models.package import Input, Manifest, ModelPackage, pack
from headrace.domain.models.store import ModelStore
from headrace.domain.pipeline.spec import expand
from headrace.domain.records.watched_columns import PREDICTIONS, ModelIdentity, WatchedColumns
from loadtests.arena import Arena
from loadtests.joining import await_metric
from loadtests.meters import Meter
from tests.drift import predictions as made
from tests.models import graphs
from tests.project import Project

MEMBER = "drift-0"
REFERENCE = 50_000
PART = 20_000
SECOND = 1_000


def measure(ground: Arena, rows: int) -> dict[str, Any]:
    """Watch `rows` predictions.

    Returns: `steady` and `whole`, predictions per CPU-second since partitions were given and in all; `inputs` of the
    model, and `columns` that were watched of it; `micros_by_stage`, microseconds of a prediction by stage of the loop.
    """
    with ground.project(HEADRACE_IDLE_AFTER_S="1") as project:
        package = model(project)
        identity = ModelIdentity(package.manifest.name, package.manifest.version, package.digest)
        names = package.manifest.input_names
        ground.say(f"publishing {rows:,} predictions of {len(names)} inputs")
        publish(project, identity, names, rows)
        ground.say("watching")
        project.start(MEMBER)
        meter = Meter(project, MEMBER)
        metrics = await_metric(project, meter, ("headrace_drift_rows_total", PREDICTIONS), rows)
        cpu, start = meter.sample().cpu, meter.cpu_when_assigned()
        schema = project.contracts.channel(PREDICTIONS).codec.reader.arrow
        watched = WatchedColumns(PREDICTIONS, project.contracts.pipeline, package.manifest, package.reference, schema)
    stages = {of: value for (name, of), value in metrics.items() if name == "headrace_stage_seconds_total"}
    return {
        "predictions": rows,
        "inputs": len(names),
        "columns": len(watched.names),
        "steady": rows / (cpu - start),
        "whole": rows / cpu,
        "micros_by_stage": {name: seconds / rows * 1e6 for name, seconds in stages.items()},
    }


def model(project: Project) -> ModelPackage:
    """A model of all inputs of the pipeline, in the project's store, with a reference of independent normals."""
    names = tuple(expand(project.contracts.pipeline))
    weights = [1.0, *[0.0] * (len(names) - 1)]
    manifest = Manifest(name="m", version="1", inputs=tuple(Input(name=name) for name in names))
    draw = np.random.default_rng(1)
    rows = drawn(draw, REFERENCE, len(names))
    told = made.columns(PREDICTIONS, rows, np.arange(REFERENCE), np.arange(REFERENCE), inputs=names)
    matrix = FeatureMatrix.resolve(manifest.inputs, told.schema, "m@1").of(told)
    scores = scored(drawn(draw, REFERENCE, len(names)))
    inputs = profile_of(names, matrix)
    answers = answers_of(scores, (draw.random(REFERENCE) < scores).astype(np.float64), made.THRESHOLD)
    varying = [at for at, name in enumerate(names) if name not in project.contracts.pipeline.clock_features]
    joint = joint_of({names[at]: inputs[names[at]] for at in varying}, matrix[:, varying])
    reference = ReferenceProfile(inputs, answers, joint)
    package = pack(manifest, graphs.logistic(weights), reference)
    ModelStore(str(project.directory / "models"), project.directory / "cache").put(package)
    return package


def drawn(draw: np.random.Generator, rows: int, inputs: int) -> Floats:
    """Rows of inputs; those that are whole numbers or flags in the schema are cut to that."""
    found: Floats = draw.normal(0, 3, size=(rows, inputs))
    return found


def scored(rows: Floats) -> Floats:
    """What the model says."""
    found: Floats = 1 / (1 + np.exp(-rows[:, 0]))
    return found


def publish(project: Project, model: ModelIdentity, names: tuple[str, ...], rows: int) -> None:
    """Predictions, a second apart."""
    draw = np.random.default_rng(2)
    for first in range(0, rows, PART):
        ids = np.arange(first, min(first + PART, rows))
        values = drawn(draw, len(ids), len(names))
        times = made.START + ids * SECOND
        told = made.columns(PREDICTIONS, values, times, ids, model, inputs=names, scored=scored(values))
        project.publish(told, "entity", PREDICTIONS)
