"""The service that the simulator runs by default: it holds rows, answers, refuses, keeps state and checkpoints."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from typing import Any, Protocol

import numpy as np
import pyarrow as pa

from headrace.errors import Transient
from headrace.streaming.contracts.schemas import Schema
from headrace.streaming.kafka.bindings import Channel, Wiring
from headrace.streaming.records.batch import Batch, Emit, Output
from tests.simulated.plain import PlainCodec
from tests.streaming.tally import CHECKPOINT, DEAD, EVENT, NOTE, TALLY, Tally

PIPELINE = "simulated"
TOPICS = {"events": f"{PIPELINE}.events", "tallies": f"{PIPELINE}.tallies", "notes": f"{PIPELINE}.notes"}
DEAD_LETTERS, CHECKPOINTS = f"{PIPELINE}.dead-letters", f"{PIPELINE}.checkpoints"
GROUP = f"{PIPELINE}.tally"


class Store(Protocol):
    """What rows wait for."""

    def lacks(self, partition: int) -> bool:
        """Whether it has not yet what the rows of a partition need."""

    def slow(self) -> bool:
        """Whether it does not answer."""


class Keeping(Tally):
    """As `Tally`, with a store that it needs for each row."""

    def __init__(self, store: Store) -> None:
        super().__init__()
        self.store = store

    def process(self, batch: Batch, now: float) -> Output:
        if self.store.slow():
            raise Transient("the store does not answer")
        held = frozenset(partition for partition, _ in batch.runs() if self.store.lacks(partition))
        ready = batch.take(~np.isin(batch.partition, list(held))) if held else batch
        columns = pa.RecordBatch.from_pylist(self.fold(ready), schema=TALLY.arrow)
        return Output((Emit("tallies", columns, columns["key"], ready.partition),), held=held)

    def snapshot(self, partition: int) -> bytes:
        return json.dumps(self.state[partition], sort_keys=True).encode() + b"\n"


def _channel(logical: str, schema: Schema) -> Channel:
    codec: Any = PlainCodec(schema)
    return Channel(logical, f"{PIPELINE}.{logical}", codec)


@cache
def _wiring() -> Wiring:
    return Wiring(
        PIPELINE,
        "tally",
        "",
        (_channel("events", EVENT),),
        _channel("dead-letters", DEAD),
        _channel("checkpoints", CHECKPOINT),
        {"tallies": _channel("tallies", TALLY), "notes": _channel("notes", NOTE)},
    )


def wired(member: str) -> Wiring:
    """The topics as a member has them."""
    return replace(_wiring(), member=member)


@cache
def encoded(name: str, key: str, amount: int) -> bytes:
    """An event's value."""
    columns = pa.RecordBatch.from_pylist([{"id": name, "key": key, "amount": amount}], schema=EVENT.arrow)
    value: bytes = _wiring().inputs[0].codec.encode(columns)[0]
    return value


def decoded(logical: str, values: list[bytes]) -> list[Mapping[str, object]]:
    """The rows of a topic's values."""
    channels = {"dead-letters": _wiring().dead_letters, "checkpoints": _wiring().checkpoints, **_wiring().outputs}
    found = channels[logical].codec.decode(values)
    assert not found.bad
    rows: list[Mapping[str, object]] = found.columns.to_pylist()
    return rows
