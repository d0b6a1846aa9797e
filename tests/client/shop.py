"""A small shop: a stream that one service enriches and one scores, so that a prediction is soon there."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

PIPELINE = """
pipeline: shop
events: {schema: purchase, id: order, time: at, key: customer}
rules: {amount: {range: [0, 1000], else: reject}}
views:
  customer: {key: customer, windows: [1h], features: {orders: count, spent: sum(amount)}}
model: {name: shop, inputs: [amount, customer.*], output: probability, threshold: 0.5}
labels: {id: order, value: returned, matures_after: 1h, unlabelled_is: 0}
"""
SCHEMA = {
    "type": "record", "name": "purchase", "namespace": "shop", "doc": "Something was bought.",
    "fields": [
        {"name": "order", "type": "long", "doc": "Its number."},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}, "doc": "When."},
        {"name": "customer", "type": "string", "doc": "By whom."},
        {"name": "amount", "type": "double", "doc": "For how much."},
        {"name": "coupon", "type": ["null", "string"], "default": None, "doc": "With what."},
    ],
}  # fmt: skip  # as the file is


def source(directory: Path) -> Path:
    """The pipeline file, with its schema beside it."""
    for name in ("pipelines", "schemas"):
        (directory / name).mkdir(parents=True)
    (directory / "schemas/purchase.avsc").write_text(json.dumps(SCHEMA))
    file = directory / "pipelines/shop.yaml"
    file.write_text(PIPELINE.lstrip())
    return file


def order(number: int, amount: float = 20.0, **others: Any) -> dict[str, Any]:
    """An event of now."""
    return {"order": number, "at": datetime.now(UTC), "customer": f"c{number % 20}", "amount": amount, **others}
