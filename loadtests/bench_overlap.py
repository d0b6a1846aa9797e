"""What threads of its own bring to a model: batches that overlap, and an ensemble's models side by side.

`python -m loadtests.bench_overlap [--json PATH]`, on the processor alone, in batches of 4,096, without Kafka.

**Overlap**: messages of features to messages of predictions: decode, matrix, model, prediction records, encode. `in
turn` does one after the other; `overlapped` submits a batch to a thread and encodes the one before meanwhile; both
must give the same bytes. `bound` is what two idle cores could bring at most: what an event costs in turn by what it
costs the busier of the two threads, in time of the processor, which other work on the machine hardly touches.

**Ensemble**: three networks, in turn, with two threads in each session, and side by side by two threads. Rounds
alternate; figures are medians, ratios those of neighbours.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path
from statistics import median
from typing import Any

import lightgbm as lgb
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from headrace.domain.models.matrix import FeatureMatrix
from headrace.domain.models.model_loader import LoadedModel, OpenArm
from headrace.domain.models.package import Input, Manifest, ModelPackage, pack
from headrace.domain.models.sessions import Matrix, Scores, SessionSettings, open_session
from headrace.domain.pipeline.check import load
from headrace.domain.pipeline.contracts import schemas
from headrace.domain.pipeline.workspace import Workspace
from headrace.domain.plans.plans import Arm
from headrace.domain.records.predictions import PredictionRecords
from headrace.domain.training.conversion import convert
from headrace.streaming.contracts.schemas import Schema, load_schema
from headrace.streaming.records.avro_codec import AvroCodec
from headrace.streaming.records.batch import Batch
from loadtests.bench_codec import One
from tests.models.graphs import deep

PIPELINE = Path(__file__).parents[1] / "pipelines/card_fraud.yaml"
ROWS, BATCHES = 4_096, 5
INPUTS = tuple(f"customer.{what}_{days}d" for what in ("nb_tx", "avg_amount") for days in (1, 7, 30))
Run = Callable[[], object]


def column(kind: pa.DataType, rng: np.random.Generator) -> Any:
    """Made-up values of any type."""
    if pa.types.is_struct(kind):
        return pa.StructArray.from_arrays([column(part.type, rng) for part in kind], fields=list(kind))
    if pa.types.is_string(kind):
        return pa.array([f"{number}" for number in rng.integers(0, 10**6, ROWS)])
    if pa.types.is_floating(kind):
        return pa.array(rng.gamma(2.0, 25.0, ROWS)).cast(kind)
    if pa.types.is_boolean(kind):
        return pa.array(rng.random(ROWS) < 0.1)
    numbers = pa.array(rng.integers(0, 100, ROWS))
    return numbers.cast(kind)


def models(rng: np.random.Generator) -> Iterator[tuple[str, ModelPackage]]:
    """A forest as the demo's, and networks that cost more and more."""
    matrix = rng.gamma(2.0, 25.0, (20_000, len(INPUTS))).astype(np.float32)
    label = rng.random(len(matrix)) < 1 / (1 + np.exp(2 - matrix[:, 0] / 40))
    parameters = {"objective": "binary", "num_leaves": 31, "verbosity": -1, "num_threads": 1}
    booster = lgb.train(parameters, lgb.Dataset(matrix, label), 100)
    manifest = Manifest(name="m", version="1", inputs=tuple(Input(name=name) for name in INPUTS))
    yield "forest of 100 trees", pack(manifest, convert(booster))
    for width, layers in ((128, 3), (256, 4), (512, 6)):
        yield f"network, {layers} layers of {width}", pack(manifest, deep(len(INPUTS), width, layers))


class Way:
    """From messages to messages by one model, in turn or overlapped."""

    def __init__(self, package: ModelPackage, features: Schema, predictions: Schema) -> None:
        session = open_session(package, SessionSettings(device="cpu"))
        self.seconds_per_row = session.batch.seconds_per_row
        arm = Arm("champion", "m", "1", package.digest, "")
        inputs = FeatureMatrix.resolve(package.manifest.inputs, features.arrow, package.title)
        self._matrix, self._run = inputs, session.run
        self._opened = OpenArm(arm, 0.5, (LoadedModel(package, session, inputs),))
        self._records = PredictionRecords("predictions", features.arrow, predictions.arrow)
        self._reader = AvroCodec("features-value", features, One(features))
        self._writer = AvroCodec("predictions-value", predictions, One(predictions))
        self._worker = ThreadPoolExecutor(1)
        self.computing = 0.0
        rng = np.random.default_rng(2)
        kinds = [features.arrow.field(name).type for name in features.arrow.names]
        columns = [column(kind, rng) for kind in kinds]
        self._messages = self._reader.encode(pa.RecordBatch.from_arrays(columns, schema=features.arrow))

    def _taken(self) -> tuple[Batch, Matrix]:
        columns = self._reader.decode(list(self._messages)).columns
        offsets = np.arange(ROWS)
        batch = Batch(
            "features", columns, columns["entity"].cast(pa.binary()), np.zeros(ROWS, np.int32), offsets, offsets
        )
        return batch, self._matrix.of(columns)

    def _told(self, batch: Batch, scores: npt.NDArray[np.float64]) -> list[bytes]:
        return self._writer.encode(self._records.emit(batch, self._opened, 1, scores, 0.0, 1e-6).columns)

    def _computed(self, matrix: Matrix) -> Scores:
        began = time.thread_time()
        scores = self._run(matrix)
        self.computing += time.thread_time() - began
        return scores

    def in_turn(self) -> list[bytes]:
        """One batch after the other; what all gave."""
        told: list[bytes] = []
        for _ in range(BATCHES):
            batch, matrix = self._taken()
            told += self._told(batch, self._computed(matrix))
        return told

    def overlapped(self) -> list[bytes]:
        """A batch computes while the one before is encoded and the next one decoded."""
        told: list[bytes] = []
        waiting: list[tuple[Batch, Future[Scores]]] = []
        for _ in range(BATCHES):
            batch, matrix = self._taken()
            waiting.append((batch, self._worker.submit(self._computed, matrix)))
            if len(waiting) > 1:
                before, asked = waiting.pop(0)
                told += self._told(before, asked.result())
        for before, asked in waiting:
            told += self._told(before, asked.result())
        return told


def spent(run: Run) -> tuple[float, float]:
    """Microseconds an event, of the clock and of the processor."""
    began, cpu = time.perf_counter(), time.process_time()
    run()
    each = 1e6 / (BATCHES * ROWS)
    return (time.perf_counter() - began) * each, (time.process_time() - cpu) * each


def overlap(way: Way, times: int) -> dict[str, float]:
    """Both ways of a model, beside one another, so many times in turn."""
    assert way.in_turn() == way.overlapped()
    rounds = []
    for _ in range(times):
        one, way.computing = spent(way.in_turn), 0.0
        other = spent(way.overlapped)
        computing = way.computing / (BATCHES * ROWS) * 1e6
        rounds.append((one, other, max(computing, other[1] - computing)))
    return {
        "model_us": way.seconds_per_row * 1e6,
        "cpu_in_turn_us": median(one[1] for one, _, _ in rounds),
        "cpu_overlapped_us": median(other[1] for _, other, _ in rounds),
        "events_per_cpu_second": median(one[1] / other[1] for one, other, _ in rounds),
        "events_per_second": median(one[0] / other[0] for one, other, _ in rounds),
        "bound": median(one[1] / busiest for one, _, busiest in rounds),
    }


def ensemble(package: ModelPackage, times: int) -> dict[str, float]:
    """Three of a model, by one thread, by two in each session, by two side by side."""
    single, double = ([open_session(package, SessionSettings("cpu", threads)) for _ in "abc"] for threads in (1, 2))
    matrix, workers = np.asfortranarray(package.sample(ROWS)), ThreadPoolExecutor(2)

    def side_by_side() -> None:
        wait([workers.submit(session.run, matrix) for session in single])

    ways: dict[str, Callable[[], object]] = {
        "in_turn": lambda: [session.run(matrix) for session in single],
        "threads": lambda: [session.run(matrix) for session in double],
        "side_by_side": side_by_side,
    }
    costs: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for _ in range(times):
        for name, way in ways.items():
            costs[name].append(spent(lambda way=way: [way() for _ in range(BATCHES)]))
    found = {f"cpu_{name}_us": median(cpu for _, cpu in each) for name, each in costs.items()}
    for name in ("threads", "side_by_side"):
        pairs = list(zip(costs["in_turn"], costs[name], strict=True))
        found[f"events_per_second_{name}"] = median(one[0] / other[0] for one, other in pairs)
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--rounds", type=int, default=11)
    options = parser.parse_args()
    documents = schemas(load(PIPELINE, Workspace.of(PIPELINE)), Workspace.of(PIPELINE))
    features, predictions = (load_schema(documents[f"card_fraud.{name}-value"]) for name in ("features", "predictions"))
    found: dict[str, dict[str, Any]] = {}
    for name, package in models(np.random.default_rng(0)):
        found[name] = {
            "overlap": overlap(Way(package, features, predictions), options.rounds),
            "ensemble": ensemble(package, options.rounds),
        }
        print(json.dumps({name: found[name]}), flush=True)
    if options.json is not None:
        options.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
