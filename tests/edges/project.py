"""Two pipelines that read every type of field in every way there is, and the contracts of their topics."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from headrace.domain.pipeline.check import load
from headrace.domain.pipeline.contracts import schemas
from headrace.domain.pipeline.spec import Pipeline
from headrace.domain.pipeline.workspace import Workspace
from headrace.streaming.contracts.schemas import Schema, load_schema
from headrace.streaming.records.avro_codec import AvroCodec
from headrace.streaming.records.codec import Codec

MILLIS = {"type": "long", "logicalType": "timestamp-millis"}
TYPES: Mapping[str, Any] = {
    "flag": "boolean",
    "small": "int",
    "whole": "long",
    "single": "float",
    "part": "double",
    "word": "string",
    "kind": {"type": "enum", "name": "kind", "symbols": ["red", "green"]},
}
OTHERS: Mapping[str, Any] = {
    "raw": "bytes",
    "dated": {"type": "int", "logicalType": "date"},
    "micros": {"type": "long", "logicalType": "timestamp-micros"},
    "uid": {"type": "string", "logicalType": "uuid"},
    "list": {"type": "array", "items": "long"},
    "map": {"type": "map", "values": "double"},
    "nested": {"type": "record", "name": "nested", "fields": [{"name": "deep", "type": ["null", "double"]}]},
}
"""Nobody reads them but the codec."""
ZONES = {"probability": "UTC", "value": "Asia/Kathmandu"}

FILE = """\
pipeline: edges
events: {{schema: edge, id: id, time: at, key: who, allowed_lateness: 1m, late: {late}}}
rules:
  ruled: [{{range: [-1000, null], else: impute, value: 3}}, {{required: true, else: impute, value: 0}}]
  needed: {{required: true}}
  small: {{range: [0, 10], else: warn}}
  no_part: {{range: [null, 1.0e+300], else: warn}}
views:
  clock:
    timezone: {zone}
    dawn: hour < 5 and weekday != 6
    late_in_month: day > 20
    moment: month * 100 + minute
    beside: no_whole > whole
    sum: whole + small
    product: whole * no_whole
    quotient: whole / no_small
    rest: whole % 7
    odd: no_whole % small == 1
    wide: part * part - single
    negative: -whole
    same: word == no_word or no_kind == "red"
    true_here: flag and not no_flag
    just: no_whole
  own:
    key: who
    windows: [1m, 2d]
    features: {{n: count, total: sum(whole), mean: mean(needed), low: min(small), high: max(whole),
      single: sum(single), part: mean(part), parts: sum(part), ruled: max(ruled)}}
  other:
    key: other
    windows: [1m, 1d]
    delay: 2h
    idle_after: 1s
    features: {{n: count, total: sum(whole), high: max(needed), part: mean(part){labelled}}}
model:
  name: edges
  output: {output}
  threshold: 0.5
  inputs: [flag, small, whole, single, part, no_flag, no_small, no_whole, no_single, no_part, clock.*, own.*, other.*]
labels: {{id: id, value: truth, matures_after: 1h, unlabelled_is: 0, sources: [bank]}}
segments:
  by_whole: {{of: whole, cuts: [0, 10, 9007199254740993]}}
  by_no_whole: {{of: no_whole, cuts: [5]}}
  by_small: {{of: no_small, cuts: [-1, 1]}}
  by_part: {{of: no_part, cuts: [-1.0e+300, 0, 1.0e+299]}}
  by_single: {{of: single, cuts: [0.5]}}
  by_word: {{of: no_word, values: [a, "", other]}}
  by_kind: {{of: kind, values: [red]}}
  by_long: {{of: whole, values: [0, 9007199254740993]}}
  by_int: {{of: small, values: [1, 7]}}
  by_flag: {{of: no_flag, values: [true]}}
  by_feature: {{of: own.total_2d, cuts: [0, 1.0e+300]}}
{value}
"""


def event(key: str) -> dict[str, Any]:
    """The schema of events whose id and keys are of this type."""
    own = [
        ("id", key),
        ("at", MILLIS),
        ("who", key),
        ("other", key),
        ("ruled", ["null", "long"]),
        ("needed", ["null", "long"]),
    ]
    plain = [(name, kind) for name, kind in TYPES.items()]
    nullable = [(f"no_{name}", ["null", "kind" if name == "kind" else kind]) for name, kind in TYPES.items()]
    fields = [{"name": name, "type": kind} for name, kind in [*own, *plain, *nullable, *OTHERS.items()]]
    return {"type": "record", "name": "edge", "fields": fields}


@cache
def pipeline(output: str) -> tuple[Pipeline, Mapping[str, Schema]]:
    """The pipeline whose models answer with a probability or a value, and the schemas of its topics."""
    probable = output == "probability"
    text = FILE.format(
        late="reject" if probable else "score",
        zone=ZONES[output],
        labelled=", risk: mean(label)" if probable else "",
        output=output,
        value="value: {true_positive: 1.0e+300, false_negative: -1.0e+300}" if probable else "",
    )
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory)
        (root / "schemas").mkdir()
        (root / "schemas" / "edge.avsc").write_text(json.dumps(event("string" if probable else "long")))
        path = root / "edges.yaml"
        path.write_text(text)
        workspace = Workspace.of(path)
        found = load(path, workspace)
        made = {name: load_schema(definition) for name, definition in schemas(found, workspace).items()}
    return found, {name.removeprefix("edges.").removesuffix("-value"): schema for name, schema in made.items()}


class OneId:
    """Schema 1 of every subject is the one schema that it has."""

    def __init__(self, schema: Schema) -> None:
        self.schema = schema

    def id_of(self, subject: str, schema: Schema) -> int:
        """As `SchemaIds.id_of`."""
        return 1

    def writers(self, subject: str) -> Mapping[int, Schema]:
        """As `SchemaIds.writers`."""
        return {1: self.schema}


@cache
def codec(output: str, logical: str) -> Codec:
    """Reads and writes the values of a topic."""
    schema = pipeline(output)[1][logical]
    return AvroCodec(f"edges.{logical}-value", schema, OneId(schema), 8_000_000)
