"""A pipeline with inputs of every kind, and rows of it: numbers, integers, true and false, texts that may be null."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from headrace.operations.topics.schema_ids import derived_schemas, pin

PIPELINE = """pipeline: shop
events: {schema: order, id: id, time: at, key: customer, allowed_lateness: 10m}
views:
  customer: {key: customer, windows: [1d], features: {nb: count, spent: sum(amount)}}
model: {name: shop, inputs: [amount, weight, items, member, colour, district, customer.*]OUTPUT}
labels: {id: id, value: fraud, matures_after: 1d}
"""
FIELDS = [
    {"name": "id", "type": "string"},
    {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
    {"name": "customer", "type": "string"},
    {"name": "amount", "type": "double"},
    {"name": "weight", "type": "double"},
    {"name": "items", "type": "long"},
    {"name": "member", "type": "boolean"},
    {"name": "colour", "type": "string"},
    {"name": "district", "type": ["null", "string"], "default": None},
]
NUMBERS = ["amount", "weight", "items"]
TEXTS = ["colour", "district"]
COLOURS, DISTRICTS = ("blue", "green", "red"), ("east", "north", "south", "west")


def written(folder: Path, *, quantity: bool = False, classes: Sequence[str] = ()) -> Path:
    """The pipeline file in a folder, with its schema beside."""
    for name in ("pipelines", "schemas"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    schema = {"type": "record", "name": "order", "namespace": "shop", "fields": FIELDS}
    (folder / "schemas/order.avsc").write_text(json.dumps(schema))
    path = folder / "pipelines/shop.yaml"
    output = ", output: value, threshold: 3" if quantity else ""
    output = f", output: class, classes: [{', '.join(classes)}]" if classes else output
    path.write_text(PIPELINE.replace("OUTPUT", output))
    pin(folder / "schemas/ids.json", derived_schemas(str(path)))
    return path


def rows(count: int, seed: int = 0) -> pd.DataFrame:
    """Orders, of 32-bit numbers, as models are fed them."""
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "amount": rng.gamma(2.0, 30.0, count).astype(np.float32).astype(float),
            "weight": rng.normal(1.0, 0.5, count).astype(np.float32).astype(float),
            "items": rng.integers(1, 9, count),
            "member": rng.random(count) < 0.4,
            "colour": rng.choice(COLOURS, count),
            "district": rng.choice(DISTRICTS, count),
            "customer.nb_1d": rng.integers(1, 20, count),
            "customer.spent_1d": rng.gamma(2.0, 90.0, count).astype(np.float32).astype(float),
        }
    )


def chances(table: pd.DataFrame, seed: int = 0) -> np.ndarray:
    """What the rows are labelled by: small payments for heavy red things are frauds."""
    rng = np.random.default_rng(seed + 1)
    margin = 2 - table["amount"] / 30 + table["weight"] + 0.2 * table["items"] + 1.5 * (table["colour"] == "red")
    margin += np.where(table["district"] == "north", 1.0, 0.0) + rng.normal(0, 0.5, len(table))
    return np.asarray(margin, float)


def features(table: pd.DataFrame, schema: pa.Schema) -> pa.RecordBatch:
    """The rows as the features topic has them."""
    columns = []
    for part in schema:
        if not pa.types.is_struct(part.type):
            columns.append(pa.nulls(len(table), part.type))
            continue
        before = "" if part.name == "event" else f"{part.name}."
        inner = [pa.array(table[f"{before}{one.name}"], from_pandas=True).cast(one.type) for one in part.type]
        columns.append(pa.StructArray.from_arrays(inner, fields=list(part.type)))
    return pa.RecordBatch.from_arrays(columns, schema=pa.schema([part.with_nullable(True) for part in schema]))
