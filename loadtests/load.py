"""An open-loop load generator in a process of its own: what is due is sent, whether or not anything was answered.

Everything is encoded before it begins, so that nothing but the clock decides when a record goes. Row i is meant to go
at `begin + i / rate`; latencies are counted from there, so a generator that is late makes them longer, never shorter.
"""

from __future__ import annotations

import multiprocessing
import time
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path

import numpy as np
import pyarrow as pa

from headrace.domain.pipeline.wiring import read_contracts
from headrace.streaming.kafka.client import Producer
from headrace.streaming.kafka.connection import Connection
from headrace.streaming.process.settings import Settings, read_settings

LEAD_S = 4.0
"""Between the start of the process and the first record."""
GRAIN_S = 0.001


@dataclass(frozen=True, slots=True)
class Load:
    """What to send, and when.

    Attributes:
        pipeline: the pipeline file; says how events are written.
        topic: where they go.
        events: an Arrow file.
        first, rows: the part of it that is sent.
        rate: events per second.
        begin: when the first one is due, `time.monotonic` seconds, which all processes of a machine share.
        logical: what they are, "events" or "labels".
        live: they happen, or become known, at the moment at which they are due, whatever the file says.
    """

    bootstrap: str
    pipeline: str
    topic: str
    events: str
    first: int
    rows: int
    rate: float
    begin: float
    logical: str = "events"
    live: bool = False

    @property
    def seconds(self) -> float:
        return self.rows / self.rate


def send(load: Load) -> None:
    """Send it all, on time, and return when it is durable."""
    contracts = read_contracts(read_settings(Settings, pipeline=load.pipeline, bootstrap=load.bootstrap))
    with pa.memory_map(load.events) as file:
        table = pa.ipc.open_file(file).read_all().slice(load.first, load.rows)
    [batch] = table.combine_chunks().to_batches()
    spec = contracts.pipeline.events
    key, when = (spec.key, spec.time) if load.logical == "events" else ("event_id", "label_time")
    if load.live:
        place = batch.schema.get_field_index(when)
        moments = (time.time() - time.monotonic() + load.begin + np.arange(load.rows) / load.rate) * 1000
        batch = batch.set_column(place, when, pa.array(moments.astype(np.int64), batch.schema.field(when).type))
    values = contracts.channel(load.logical).codec.encode(batch)
    keys = batch[key].cast(pa.string()).to_pylist()
    producer = Producer(Connection(load.bootstrap), linger_ms=1)
    done = 0
    while done < load.rows:
        due = min(int((time.monotonic() - load.begin) * load.rate) + 1, load.rows)
        if due > done:
            producer.send(load.topic, keys[done:due], values[done:due])
            producer.poll()
            done = due
        else:
            time.sleep(max(GRAIN_S, load.begin + done / load.rate - time.monotonic()))
    producer.flush()


def started(load: Load) -> BaseProcess:
    """The generator's process, begun."""
    process = multiprocessing.get_context("spawn").Process(target=send, args=(load,), daemon=True)
    process.start()
    return process


def write_events(path: Path, events: pa.RecordBatch) -> Path:
    """Events as an Arrow file that the generator reads."""
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, events.schema) as writer:
        writer.write_batch(events)
    return path
