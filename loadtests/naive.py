"""The straightforward Python loop to the same predictions: fastavro, dictionaries, ONNX Runtime on 1,000 rows.

One process reads events, keeps a sorted list of times and running sums for each customer and terminal, scores batches
and writes predictions of the same schema; at least once, with no checkpoint: a restart would begin from nothing. It
holds no event back, so its terminal counts are not always right where partitions run apart.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import sys
import time
from bisect import bisect_right
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import fastavro
import numpy as np
import onnxruntime

from headrace.domain.pipeline.wiring import read_contracts
from headrace.streaming.kafka.connection import Connection
from headrace.streaming.process.settings import Settings, read_settings
from loadtests.bare import Key, Loop

DAY = 86_400.0
WINDOWS = (DAY, 7 * DAY, 30 * DAY)
DELAY = 7 * DAY
BATCH = 1_000


class Model:
    """Features of one event after another, and scores of a batch."""

    def __init__(self, graph: Path, reads: Any, writes: Any, header: bytes, identity: dict[str, str]) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(graph, options)
        self.input = self.session.get_inputs()[0].name
        self.reads, self.writes, self.header, self.identity = reads, writes, header, identity
        self.customers: dict[int, tuple[list[float], list[float]]] = {}
        self.terminals: dict[int, list[float]] = {}

    def features(self, event: dict[str, Any]) -> dict[str, dict[str, Any]]:
        """Fold an event and answer it."""
        moment: datetime = event["tx_datetime"]
        now = moment.timestamp()
        times, sums = self.customers.setdefault(event["customer_id"], ([], [0.0]))
        times.append(now)
        sums.append(sums[-1] + event["amount"])
        customer: dict[str, Any] = {}
        for window, name in zip(WINDOWS, ("1d", "7d", "30d"), strict=True):
            first = bisect_right(times, now - window)
            count = len(times) - first
            customer[f"nb_tx_{name}"] = count
            customer[f"avg_amount_{name}"] = (sums[-1] - sums[first]) / count
        seen = self.terminals.setdefault(event["terminal_id"], [])
        seen.append(now)
        last = bisect_right(seen, now - DELAY)
        terminal: dict[str, Any] = {}
        for window, name in zip(WINDOWS, ("1d", "7d", "30d"), strict=True):
            terminal[f"nb_tx_{name}"] = last - bisect_right(seen, now - DELAY - window)
            terminal[f"risk_{name}"] = 0.0  # It knows no labels: that would be another loop.
        calendar = {"weekend": int(moment.weekday() >= 5), "night": int(moment.hour <= 6)}
        return {"event": {"amount": event["amount"]}, "calendar": calendar, "customer": customer, "terminal": terminal}

    def __call__(self, keys: list[Key], values: list[bytes]) -> tuple[list[Key], list[bytes]]:
        """Events in, predictions out."""
        events = [fastavro.schemaless_reader(io.BytesIO(value[5:]), self.reads) for value in values]
        rows = [self.features(event) for event in events]  # type: ignore[arg-type]  # records are dictionaries
        matrix = np.array([[v for view in row.values() for v in view.values()] for row in rows], np.float32)
        scores = np.asarray(self.session.run(None, {self.input: matrix})[-1]).reshape(-1).tolist()
        now = datetime.now(UTC)
        found = []
        for event, row, score in zip(events, rows, scores, strict=True):
            assert isinstance(event, dict)
            name = str(event["transaction_id"])
            prediction = {
                "prediction_id": hashlib.sha256(f"{name}/1/champion".encode()).hexdigest()[:32],
                "event_id": name,
                "entity": str(event["customer_id"]),
                "event_time": event["tx_datetime"],
                "ingest_time": now,
                "predicted_time": now,
                "model": self.identity,
                "arm": "champion",
                "plan_version": 1,
                "score": score,
                "decision": score >= 0.5,
                "terminal_age": 0,
                **row,
            }
            out = io.BytesIO(self.header)
            out.seek(5)
            fastavro.schemaless_writer(out, self.writes, prediction)
            found.append(out.getvalue())
        return keys, found


def main() -> int:
    """Predict, then print the cost as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bootstrap")
    parser.add_argument("pipeline")
    parser.add_argument("target")
    parser.add_argument("model", type=Path)
    parser.add_argument("--rows", type=int, required=True)
    options = parser.parse_args()
    contracts = read_contracts(read_settings(Settings, pipeline=options.pipeline, bootstrap=options.bootstrap))
    events, predictions = contracts.channel("events"), contracts.channel("predictions")
    reads = fastavro.parse_schema(dict(events.codec.reader.definition))
    writes = fastavro.parse_schema(dict(predictions.codec.reader.definition))
    header = b"\0" + (1).to_bytes(4, "big")
    model = Model(options.model, reads, writes, header, {"name": "naive", "version": "1", "digest": "0" * 64})
    loop = Loop(Connection(options.bootstrap), events.name, options.target, "at_least_once", model, BATCH)
    started = time.process_time()
    cost = asdict(loop.run(options.rows))
    print(json.dumps({**cost, "start_cpu_s": started}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
