"""A project about meters whose outcomes are on a real topic, for tests of trainings."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from headrace.domain.pipeline.wiring import Contracts, read_contracts
from headrace.operations.topics.schema_ids import derived_schemas, pin
from headrace.operations.topics.topic_plan import topics_of
from headrace.streaming.contracts.topic_changes import apply, plan
from headrace.streaming.kafka.admin import Admin
from headrace.streaming.kafka.client import Producer
from headrace.streaming.kafka.connection import Connection
from headrace.streaming.process.settings import Settings

PIPELINE = """
pipeline: {name}
events: {{schema: reading, id: reading_id, time: at, key: meter}}
views:
  meter: {{key: meter, windows: [1h], features: {{mean: mean(load), n: count}}}}
model: {{name: meters, inputs: [load, meter.*], output: probability, threshold: 0.4}}
labels: {{id: reading_id, value: fault, matures_after: 1h, unlabelled_is: 0}}
segments:
  size: {{of: load, cuts: [20, 60, 1000]}}
"""
SCHEMA = {
    "type": "record",
    "name": "reading",
    "doc": "A meter's reading.",
    "fields": [
        {"name": "reading_id", "type": "string", "doc": "Identity."},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}, "doc": "When."},
        {"name": "meter", "type": "string", "doc": "Which."},
        {"name": "load", "type": "double", "doc": "How much."},
    ],
}
ROWS, MINUTE, HOUR = 4_000, 60_000, 3_600_000
DRIFT = ROWS // 2
"""From this row on, small loads are the faults."""


class Meters:
    """A project in a directory of its own, with topics on a broker.

    Args:
        directory: takes the project.
        bootstrap: of the broker.
    """

    def __init__(self, directory: Path, bootstrap: str) -> None:
        self.name = f"test_{uuid.uuid4().hex[:12]}"
        self.directory, self.bootstrap = directory, bootstrap
        for folder in ("schemas", "pipelines"):
            (directory / folder).mkdir(parents=True)
        (directory / "schemas" / "reading.avsc").write_text(json.dumps(SCHEMA))
        self.path = directory / "pipelines" / "meters.yaml"
        self.path.write_text(PIPELINE.format(name=self.name))
        pin(directory / "schemas" / "ids.json", derived_schemas(str(self.path)))
        _, topics = topics_of(str(self.path), 2, 1)
        apply(Admin(bootstrap), plan({}, topics))
        self.contracts: Contracts = read_contracts(Settings(pipeline=str(self.path), bootstrap=bootstrap))

    @property
    def connection(self) -> Connection:
        """To the broker."""
        return Connection(self.bootstrap)

    def environment(self, models: str = "models") -> dict[str, str]:
        """What a process needs to know of this project."""
        return {
            "HEADRACE_BOOTSTRAP": self.bootstrap,
            "HEADRACE_MODELS": str(self.directory / models),
            "HEADRACE_MODEL_CACHE": str(self.directory / "cache"),
            "HEADRACE_HOME": str(self.directory / "home"),
        }

    def publish(self, rows: list[dict[str, Any]]) -> None:
        """Write outcomes."""
        channel = self.contracts.channel("outcomes")
        producer = Producer(self.connection)
        columns = pa.RecordBatch.from_pylist(rows, schema=channel.codec.reader.arrow)
        producer.send(channel.name, [row["entity"] for row in rows], channel.codec.encode(columns))
        producer.flush()

    def fill(self, start: int = 0, stop: int = ROWS, seed: int = 0) -> None:
        """Outcomes of readings a minute apart, of the champion and a shadow; some faults are told as corrections."""
        rows = outcomes(start, stop, seed)
        self.publish(rows)


def outcomes(start: int, stop: int, seed: int = 0) -> list[dict[str, Any]]:
    """See `Meters.fill`."""
    draw = np.random.default_rng(seed)
    loads = draw.gamma(2.0, 20.0, ROWS)[start:stop]
    odd = draw.random(ROWS)[start:stop]
    found = []
    for i, (load, chance) in enumerate(zip(loads.tolist(), odd.tolist(), strict=True), start):
        fault = (load > 60 if i < DRIFT else load < 15) != (chance < 0.05)
        known = {"state": "labelled", "label": 1.0, "label_time": i * MINUTE + 2, "label_delay": 2, "label_source": "x"}
        silent = {"state": "presumed", "label": 0.0}
        late = fault and i % 10 == 0
        first = _outcome(i, load, {**(known if fault and not late else silent), "revision": 0})
        found.append(first)
        if i % 4 == 0:
            found.append({**first, "arm": "shadow", "prediction_id": f"r{i}/s@1/shadow"})
        if late:
            corrected = {**known, "label_time": i * MINUTE + 2 * HOUR, "former_state": "presumed", "former_label": 0.0}
            found.append(_outcome(i, load, {**corrected, "revision": 1}))
    return found


def _outcome(i: int, load: float, truth: dict[str, Any]) -> dict[str, Any]:
    return {
        "prediction_id": f"r{i}/meters@0/champion",
        "event_id": f"r{i}",
        "entity": f"m{i % 7}",
        "event_time": i * MINUTE,
        "ingest_time": i * MINUTE,
        "predicted_time": i * MINUTE,
        "model": {"name": "meters", "version": "0", "digest": "none"},
        "arm": "champion",
        "plan_version": 1,
        "score": 0.5,
        "decision": True,
        "reports": 0,
        "conflicting": False,
        "as_of": i * MINUTE + HOUR,
        "event": {"load": load},
        "meter": {"mean_1h": load / 2, "n_1h": i % 5},
        **truth,
    }
