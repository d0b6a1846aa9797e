"""Predictions and outcomes of a made-up model of `card_fraud`, whose inputs are independent normals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from headrace.domain.drift.attribution_sample import AttributionSample
from headrace.domain.drift.harm.column_losses import losses_by_bin
from headrace.domain.drift.harm.loss_reference import chance_losses
from headrace.domain.drift.reference_bins import Floats, Ints
from headrace.domain.drift.reference_profile import (
    AttributionProfile,
    ReferenceProfile,
    answers_of,
    joint_of,
    profile_of,
)
from headrace.domain.explanations.attributions import attributions_of
from headrace.domain.models.package import Input, Manifest, ModelPackage
from headrace.domain.pipeline.check import load
from headrace.domain.pipeline.contracts import schemas
from headrace.domain.pipeline.spec import Pipeline
from headrace.domain.pipeline.workspace import Workspace, resolve
from headrace.domain.records.watched_columns import ModelIdentity, WatchedColumns
from headrace.streaming.contracts.schemas import load_schema
from headrace.streaming.records.batch import Batch, slot
from services.drift.service import Watcher

PATH = resolve("card_fraud", Path.cwd())
WORKSPACE = Workspace.of(PATH)
CARD_FRAUD = load(PATH, WORKSPACE)
assert CARD_FRAUD.labels is not None
PIPELINE = replace(CARD_FRAUD, labels=replace(CARD_FRAUD.labels, unlabelled_is=None))
"""Its outcomes are a second apart and count at once: silence says nothing of an event."""
SCHEMAS = {
    subject.removeprefix("card_fraud.").removesuffix("-value"): load_schema(schema).arrow
    for subject, schema in schemas(PIPELINE, WORKSPACE).items()
}
INPUTS = ("amount", "customer.avg_amount_7d", "terminal.risk_30d")
MODEL = ModelIdentity("m", "1", "sha256:" + "1" * 64)
OTHER = ModelIdentity("m", "2", "sha256:" + "2" * 64)
START = 1_522_540_800_000
THRESHOLD = 0.5
ENTITIES = 40


def scores(rows: Floats) -> Floats:
    """What the model says of rows x inputs."""
    found: Floats = 1 / (1 + np.exp(-(rows[:, 0] + rows[:, 1] - 1)))
    return found


def labels(rows: Floats, draw: np.random.Generator) -> Floats:
    """What turns out to be true of them: as the model says."""
    return (draw.random(len(rows)) < scores(rows)).astype(np.float64)


def reference(seed: int = 1, rows: int = 20_000) -> ReferenceProfile:
    """What the model was trained on."""
    draw = np.random.default_rng(seed)
    matrix = draw.normal(size=(rows, len(INPUTS))).astype(np.float32)
    held_out = draw.normal(size=(rows, len(INPUTS)))
    inputs = profile_of(INPUTS, matrix)
    truth = labels(held_out, draw)
    lost = (scores(held_out) - truth) ** 2
    hours = np.zeros(rows, np.int64)
    places = {name: inputs[name].place(np.ascontiguousarray(held_out[:, at]), hours) for at, name in enumerate(INPUTS)}
    return ReferenceProfile(
        inputs,
        answers_of(scores(held_out), truth, THRESHOLD),
        joint_of(inputs, matrix),
        loss=chance_losses(scores(held_out), truth),
        losses={name: losses_by_bin(each, lost, len(inputs[name].bins.counts)) for name, each in places.items()},
    )


def attributed(
    profile: ReferenceProfile, package: ModelPackage, background: Floats, held_out: Floats, every: int
) -> ReferenceProfile:
    """The profile with what a package's inputs contribute to rows x inputs that were held out."""
    told = attributions_of(package, background.astype(np.float32))
    sizes = np.abs(told.contributions(held_out.astype(np.float32)))
    names = [name for name, column in zip(package.manifest.input_names, sizes.T, strict=True) if column.any()]
    of = [package.manifest.input_names.index(name) for name in names]
    sample = AttributionSample(background.astype(np.float32), every, told.exact, told.of)
    return replace(profile, attributions=AttributionProfile(sample, profile_of(names, sizes[:, of])))


def watched(stream: str, pipeline: Pipeline = PIPELINE, profile: ReferenceProfile | None = None) -> WatchedColumns:
    """What is watched of the model."""
    manifest = Manifest(name="m", version="1", inputs=tuple(Input(name=name) for name in INPUTS))
    return WatchedColumns(stream, pipeline, manifest, profile, SCHEMAS[stream])


def columns(
    stream: str, rows: Floats, times: Ints, ids: Ints, model: ModelIdentity | list[ModelIdentity] = MODEL,
    truth: Floats | None = None, revision: int = 0, inputs: Sequence[str] = INPUTS, scored: Floats | None = None,
) -> pa.RecordBatch:  # fmt: skip  # the rows, and what is said of them
    """Records of a topic: rows x inputs, event times in milliseconds, numbers that ids are made of;
    `scored`: what the model answered.
    """
    models = model if isinstance(model, list) else [model] * len(rows)
    answers = scores(rows) if scored is None else scored
    given: Mapping[str, object] = {
        "event_id": [str(number) for number in ids.tolist()],
        "entity": [f"customer {number % ENTITIES}" for number in ids.tolist()],
        "event_time": times,
        "score": answers,
        "decision": answers >= THRESHOLD,
        "model": [each._asdict() for each in models],
        "terminal_age": np.zeros(len(rows), np.int64),
        "label": truth,
        "revision": np.full(len(rows), revision),
    }
    fed = {name: rows[:, at] for at, name in enumerate(inputs)}
    arrays = []
    for field in SCHEMAS[stream]:
        if field.name in given and given[field.name] is not None:
            arrays.append(
                pa.array(given[field.name], pa.int64()).cast(field.type)
                if field.name == "event_time"
                else pa.array(given[field.name], field.type)
            )
        elif pa.types.is_struct(field.type):
            parts = [
                _values(fed.get(f"{field.name}.{each.name}", fed.get(each.name)), each, len(rows))
                for each in field.type
            ]
            arrays.append(pa.StructArray.from_arrays(parts, fields=list(field.type)))
        else:
            arrays.append(_values(None, field, len(rows)))
    return pa.RecordBatch.from_arrays(arrays, schema=SCHEMAS[stream])


def _values(given: Floats | None, field: pa.Field, rows: int) -> pa.Array:
    if given is not None:
        return pa.array(given, from_pandas=True).cast(field.type, safe=False)
    if field.nullable:
        return pa.nulls(rows, field.type)
    plain = "" if pa.types.is_string(field.type) else 0
    return pa.array([plain] * rows, pa.int64() if plain == 0 else pa.string()).cast(field.type)


def letters(
    refused: Ints, times: Ints, reason: str, partition: int = 0, topic: str = "events", pipeline: str = "card_fraud"
) -> pa.RecordBatch:
    """Dead letters of a partition of a topic: offsets there, when they were written, why they were refused."""
    rows = [
        {
            "topic": f"{pipeline}.{topic}",
            "partition": partition,
            "offset": offset,
            "timestamp": time,
            "reason": reason,
            "detail": "",
            "service": "enrich",
            "group": f"{pipeline}.enrich",
            "code_version": "1",
            "time": time + 1_000,
            "headers": [],
        }
        for offset, time in zip(refused.tolist(), times.tolist(), strict=True)
    ]
    return pa.RecordBatch.from_pylist(rows, schema=SCHEMAS["dead-letters"])


def batch(stream: str, records: pa.RecordBatch, partition: int, first: int) -> Batch:
    """Records of a partition, from an offset on."""
    count = records.num_rows
    here = np.full(count, slot(Watcher.inputs.index(stream), partition), np.int32)
    return Batch(
        stream, records, pa.nulls(count, pa.binary()), here, first + np.arange(count), np.zeros(count, np.int64)
    )
