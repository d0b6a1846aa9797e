"""Plans and features on a real broker, without anybody who makes them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from headrace.domain.models.package import Input, Manifest, ModelPackage, pack
from headrace.domain.models.store import ModelStore
from headrace.domain.plans.plans import Plan
from headrace.streaming.kafka.client import Producer
from tests.models import graphs
from tests.models.parts import arm
from tests.project import Project

INPUTS = ("amount", "customer.nb_tx_1d", "customer.avg_amount_7d")


def manifest(version: str) -> Manifest:
    """A manifest over features of the pipeline."""
    inputs = tuple(Input(name=name) for name in INPUTS)
    return Manifest(name="rival", version=version, inputs=inputs)


def logistic(version: str) -> ModelPackage:
    """A small model that weighs a little differently in each version."""
    return pack(manifest(version), graphs.logistic((0.01, -0.1, float(version) / 100)))


def send(project: Project, logical: str, rows: pa.RecordBatch, keys: list[str]) -> None:
    """Write records to a topic."""
    channel = project.contracts.channel(logical)
    producer = Producer(project.connection)
    producer.send(channel.name, keys, channel.codec.encode(rows))
    producer.flush()


def plan(project: Project, version: int, *arms: tuple[ModelPackage, str, dict[str, Any]]) -> None:
    """Publish a plan of (package, arm, further fields of the arm)."""
    store = ModelStore(str(project.directory / "models"), project.directory / "put")
    made = tuple(arm(package, store.put(package), kind, **others) for package, kind, others in arms)
    fact = Plan(project.name, version, made).fact(version, "test", "a test")
    schema = project.contracts.channel("plans").codec.reader.arrow
    send(project, "plans", pa.RecordBatch.from_pylist([fact], schema=schema), [project.name])


def publish(project: Project, first: int, count: int) -> None:
    """Write so many feature records, of 100 entities, with ids from `first` on."""
    schema = project.contracts.channel("features").codec.reader.arrow
    draw = np.random.default_rng(first)
    columns = [made_up(field, first, count, draw) for field in schema]
    batch = pa.RecordBatch.from_arrays(columns, schema=schema)
    send(project, "features", batch, batch["entity"].to_pylist())


def made_up(field: pa.Field, first: int, count: int, draw: np.random.Generator) -> pa.Array:
    """Values of one column."""
    if pa.types.is_struct(field.type):
        parts = [made_up(part, first, count, draw) for part in field.type]
        return pa.StructArray.from_arrays(parts, fields=list(field.type))
    if field.name == "event_id":
        return pa.array([str(number) for number in range(first, first + count)])
    if field.name == "entity":
        return pa.array([str(number % 100) for number in range(count)])
    if pa.types.is_timestamp(field.type):
        return pa.array(np.arange(first, first + count) * 1000).cast(field.type)
    return pa.array(draw.integers(0, 50, count)).cast(field.type)
