"""Checkpoints on a real broker: large ones, scattered ones, and those that another one must not take with it."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

import pytest

from headrace.errors import ContractError
from headrace.streaming.kafka.admin import Admin
from headrace.streaming.kafka.bindings import Wiring
from headrace.streaming.kafka.client import Producer
from headrace.streaming.kafka.connection import Connection
from headrace.streaming.kafka.reader import messages, ranges
from headrace.streaming.task.checkpoint import CHUNK_BYTES, MOST_RUNS, CheckpointGone, Checkpoints, Draft
from headrace.streaming.task.commitment import CheckpointPlace, Commitment
from tests.streaming.tally import wiring

LARGEST = 4096
"""Characters of metadata that a broker takes by default (offset.metadata.max.bytes)."""


class Stage:
    """A checkpoints topic of one partition, and what writes into it."""

    def __init__(self, bootstrap: str, pipeline: str) -> None:
        self.connection = Connection(bootstrap)
        self.wiring: Wiring = wiring(pipeline, "m")
        self.topic = self.wiring.checkpoints.name
        Admin(bootstrap).create(self.topic, 1, 1, {"cleanup.policy": "compact", "max.message.bytes": "4000000"})
        self.checkpoints = Checkpoints(self.connection, self.wiring, 1)
        self.producer = Producer(self.connection, reports=True)

    def write(self, draft: Draft, between: Callable[[], None] = lambda: None, most: int = 1 << 40) -> CheckpointPlace:
        """All of it, with something done after each slice."""
        while not draft.whole:
            draft.send(self.producer, most)
            between()
        return draft.write(self.producer)

    def read(self, place: CheckpointPlace) -> bytes:
        return self.checkpoints.read(0, place, lambda: None)

    def keys(self) -> list[bytes]:
        """Of all that was written, in order."""
        held = messages(self.connection, self.topic, ranges(self.connection, self.topic))
        return [message.key() or b"" for part in held for message in part]


@pytest.fixture
def stage(kafka: str, pipeline_name: str) -> Iterator[Stage]:
    """A topic of one test."""
    made = Stage(kafka, pipeline_name)
    yield made
    made.producer.close()


@pytest.mark.parametrize("size", [0, 1, CHUNK_BYTES, CHUNK_BYTES + 1, 7 * CHUNK_BYTES - 3])
def test_what_is_read_is_what_was_written(stage: Stage, size: int) -> None:
    """A snapshot of any size, written in slices of any size, comes back."""
    snapshot = random.Random(size).randbytes(size)
    place = stage.write(stage.checkpoints.draft(0, 5, snapshot, None), most=2 * CHUNK_BYTES)
    assert stage.read(place) == snapshot


def test_the_metadata_is_small_however_the_chunks_lie(stage: Stage) -> None:
    """Chunks among a stranger's, which no run can name, are named by an index; the metadata stays what brokers take."""
    snapshot = random.Random(3).randbytes(300) * (CHUNK_BYTES // 300) * 100
    draft = stage.checkpoints.draft(0, 5, snapshot, None)
    place = stage.write(draft, lambda: stage.producer.send_one(stage.topic, "stranger", b"x"), most=1)
    assert draft.scattered
    assert place.indexed
    metadata = Commitment(5, 5, place).metadata()
    assert len(metadata) < LARGEST / 10
    assert Commitment.read(5, metadata).place == place
    assert stage.read(place) == snapshot
    assert len(snapshot) // CHUNK_BYTES > MOST_RUNS


def test_a_new_checkpoint_has_none_of_the_keys_of_the_committed_one(stage: Stage) -> None:
    """Compaction may run between its chunks and its commit: the one that offsets point to stays whole."""
    first = stage.write(stage.checkpoints.draft(0, 5, b"a" * 3 * CHUNK_BYTES, None))
    second = stage.write(stage.checkpoints.draft(0, 9, b"b" * 2 * CHUNK_BYTES, first))
    again = stage.write(stage.checkpoints.draft(0, 9, b"c" * CHUNK_BYTES, first))  # The member before crashed.
    third = stage.write(stage.checkpoints.draft(0, 12, b"d" * CHUNK_BYTES, again))
    keys = stage.keys()
    assert not set(keys[:3]) & set(keys[3:6])
    assert keys[5] == keys[3]
    assert keys[6] == keys[0]
    assert [place.half for place in (first, second, again, third)] == [0, 1, 1, 0]


def test_an_aborted_slice_is_sent_again(stage: Stage) -> None:
    """What went with a transaction that did not commit is part of the next one."""
    snapshot = random.Random(1).randbytes(5 * CHUNK_BYTES)
    producer = Producer(stage.connection, transactional_id=stage.topic)
    producer.init_transactions()
    draft = stage.checkpoints.draft(0, 5, snapshot, None)
    for end in (producer.abort, producer.commit, producer.abort, producer.abort, producer.commit):
        producer.begin()
        draft.send(producer, 3 * CHUNK_BYTES)
        producer.flush()
        end()
        (draft.committed if end == producer.commit else draft.aborted)()
    assert draft.whole
    assert stage.read(draft.place()) == snapshot
    assert len(stage.keys()) == 5
    producer.close()


@pytest.mark.parametrize(
    "place",
    [
        CheckpointPlace(5, ((0, 70),)),
        CheckpointPlace(5, ((1, 0),)),
        CheckpointPlace(5, ((0, 1),)),
        CheckpointPlace(4, ((0, 0),)),
        CheckpointPlace(5, ((0, 0), (0, 1))),
        CheckpointPlace(5, ((0, 0),), indexed=True),
    ],
)
def test_a_place_where_something_else_lies_is_gone(stage: Stage, place: CheckpointPlace) -> None:
    """Nothing there, another's record, or a checkpoint of a later time: told at once, and told apart from silence."""
    stage.write(stage.checkpoints.draft(0, 5, b"state", None))
    stage.producer.send_one(stage.topic, "stranger", b"x")
    stage.producer.flush()
    with pytest.raises(CheckpointGone):
        stage.read(place)
    assert issubclass(CheckpointGone, ContractError)
