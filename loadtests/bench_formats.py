"""How many events of each form a CPU-second makes columns of: `python -m loadtests.bench_formats`."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Sequence

from headrace.streaming.contracts.schemas import load_schema
from headrace.streaming.records.codec import Codec
from headrace.streaming.records.feed.column import AVRO, FeedColumn, FeedForm
from headrace.streaming.records.feed.feed_codec import FeedCodec
from headrace.streaming.records.feed.json_feed import JsonScanner
from headrace.streaming.records.feed.protobuf_feed import ProtobufScanner
from headrace.streaming.records.feed.shape import Group, Kind, Scalar, ShapePart

COUNT, TURNS = 100_000, 5
FIELDS: tuple[tuple[str, Kind, str], ...] = (
    ("id", "string", "string"),
    ("at", "integer", "int64"),
    ("visitor", "integer", "int64"),
    ("terminal", "integer", "int64"),
    ("price", "number", "double"),
    ("page", "string", "string"),
    ("mobile", "boolean", "bool"),
    ("agent", "string", "string"),
)


def columns() -> tuple[FeedColumn, ...]:
    """All fields."""
    return tuple(
        FeedColumn(name, (name,), scalar, kind, parts=(ShapePart(name, scalar, numbers=(number,)),))
        for number, (name, kind, wire) in enumerate(FIELDS, 1)
        for scalar in (Scalar(kind, None, wire),)
    )


def events() -> list[dict[str, object]]:
    """Page views."""
    draw = random.Random(1)
    return [
        {
            "id": f"e{number:08d}",
            "at": 1_717_200_000_000 + number,
            "visitor": draw.randrange(10**6),
            "terminal": draw.randrange(10**4),
            "price": round(draw.random() * 100, 2),
            "page": f"/shop/item/{draw.randrange(1_000)}",
            "mobile": draw.random() < 0.5,
            "agent": "Mozilla/5.0 (X11; Linux x86_64)",
        }
        for number in range(COUNT)
    ]


def pace(codec: Codec, values: Sequence[bytes]) -> float:
    """Events a CPU-second, the best of some turns."""
    best = 0.0
    for _ in range(TURNS):
        began = time.process_time()
        found = codec.decode(values)
        best = max(best, len(values) / (time.process_time() - began))
        assert len(found.rows) == len(values)
    return best


def main() -> None:
    """Print a figure for each form."""
    form = FeedForm("json", Group({}), columns())
    rows = events()
    fields = [{"name": name, "type": AVRO[kind]} for name, kind, _ in FIELDS]
    reader = load_schema({"type": "record", "name": "view", "fields": fields})
    protobuf = ProtobufScanner(form)
    forms = {
        "JSON": (JsonScanner(columns()), [json.dumps(row).encode() for row in rows]),
        "Protobuf": (protobuf, protobuf.write([[row[name] for row in rows] for name, _, _ in FIELDS])),
    }
    for name, (scanner, values) in forms.items():
        size = sum(map(len, values)) / COUNT
        codec = FeedCodec("views-value", form, reader, scanner, 1_000_000)
        print(f"{name}: {size:.0f} bytes an event, {pace(codec, values):,.0f} events a CPU-second")


if __name__ == "__main__":
    main()
