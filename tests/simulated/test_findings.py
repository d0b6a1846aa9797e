"""What schedules have found, each as the one situation that shows it."""

from __future__ import annotations

import pytest

from headrace.errors import ContractError, Fenced
from headrace.streaming.kafka.client import Consumer
from headrace.streaming.kafka.message import TopicPartition
from headrace.streaming.process.metrics import Metrics
from headrace.streaming.task.partition_counts import PartitionCounts
from headrace.streaming.task.recovery import Recovery, check_offsets
from headrace.streaming.task.transactions import AtLeastOnce, Retry, TransactionAborted
from tests.simulated.member import Cast
from tests.simulated.memory import InMemory
from tests.simulated.plan import Plan
from tests.simulated.process import Process
from tests.simulated.scene import channel, wiring
from tests.simulated.scripts import Subscriber, until
from tests.simulated.tally_scene import StoreTally
from tests.simulated.world import World


def _delivery(memory: InMemory, name: str) -> AtLeastOnce:
    connection = memory.connection(name)
    return AtLeastOnce(connection, name, Retry(10, lambda: None, memory.moment, memory.wait))


def _checkpoint(delivery: AtLeastOnce, topic: str, value: bytes) -> None:
    """Queue a checkpoint of one record under the key that all have."""
    delivery.open()
    delivery.producer.send_one(topic, "key", value, partition=0, delivered=lambda *_: None)


class Overtaken(InMemory):
    """A broker to which others come while one that starts has asked for offsets and members, and not yet for answers.

    Attributes:
        commits: whether the others commit offsets with what they answer.
    """

    commits = True

    def point(self, process: Process, what: str) -> None:
        if what == "describe answered":
            self.broker.append((channel("tallies").name, 0), b"k", b"an answer")
            if self.commits:
                self.broker.offsets["simulated.tally", channel("events").name, 0] = (1, "")
        super().point(process, what)


@pytest.mark.parametrize("commits", [True, False])
def test_who_starts_beside_the_first_answers_does_not_take_them_for_those_of_before(commits: bool) -> None:
    """Answers that came with offsets are no sign of offsets that are gone; answers without any are."""
    memory = Overtaken("classic", 1)
    memory.commits = commits
    for logical in ("events", "tallies", "notes", "dead-letters", "checkpoints"):
        memory.broker.create(channel(logical).name, 1)
    wired = wiring("tally", ("events",), ("tallies", "notes"))
    connection = memory.connection("m0")
    consumer = Consumer(connection, group=wired.group)

    def check() -> None:
        check_offsets(connection, consumer, wired, StoreTally(memory), Recovery("", Metrics()), lambda: None)

    if commits:
        check()
    else:
        with pytest.raises(ContractError, match="answer_again"):
            check()


def test_a_checkpoint_of_who_is_no_member_any_more_takes_nobodys_place() -> None:
    """In at_least_once too: what was begun before partitions went is written late, and compaction keeps what counts."""
    memory = InMemory("classic", 1)
    events, checkpoints, group = memory.topic(1), memory.topic(1), memory.name("group")
    old = Subscriber(memory, group, events, "old")
    until(memory, lambda: old.has() == [0], old)
    late = _delivery(memory, "old")
    _checkpoint(late, checkpoints, b"late")
    new = Subscriber(memory, group, events, "new")
    memory.wait(10.0)
    old.consumer.close()
    until(memory, lambda: new.has() == [0], new)
    delivery = _delivery(memory, "new")
    _checkpoint(delivery, checkpoints, b"committed")
    place = TopicPartition(events, 0, 5, metadata="{}")
    delivery.commit(new.consumer, [place], new.consumer.group_metadata())
    with pytest.raises(TransactionAborted):
        late.commit(old.consumer, [place], old.consumer.group_metadata())
    late.abort()
    memory.wait(1.0)
    log = memory.broker.log(checkpoints, 0)
    log.compact()
    assert [entry.value for _, entry in log.visible()] == [b"committed"]
    reader = Consumer(memory.connection("reader"), group=group)
    assert reader.committed([TopicPartition(events, 0)])[0].offset == 5


def test_the_first_commit_of_what_waits_for_sources_has_its_checkpoint() -> None:
    """Folded anew from the beginning, by a member that knows of more of them, it would wait for those."""
    world = World(Plan(1, 1, 1, 6, 0, "labels", "exactly_once", "classic", 50, 1.0, 1_000, 0.0), Cast())
    while not world.publisher.done:
        world.publisher.turn()
    (member,) = world.members
    member.start()
    assert member.life is not None
    log = world.broker.log("simulated.exchange", 0)
    while (world.scene.committed(log) or (0, ""))[0] == 0:
        member.life.turn()
        world.elapse(member.life.process, 0.1)
    assert "checkpoint" in (world.scene.committed(log) or (0, ""))[1]
    assert not world.scene.breaches


def test_records_of_who_knows_of_more_partitions_are_no_broken_ones() -> None:
    """Before a record is held against its writer, a member looks whether it knows of all partitions."""
    memory = InMemory("classic", 1)
    memory.broker.create(channel("events").name, 1)
    wired = wiring("tally", ("events",), ())
    consumer = Consumer(memory.connection("m0"), group=wired.group)
    counts = PartitionCounts(wired, StoreTally(memory), {"events": 1})
    counts.ask(consumer)
    memory.broker.grow(channel("events").name)
    with pytest.raises(Fenced, match="has 2 partitions by now"):
        counts.ask(consumer)


def test_a_state_without_a_checkpoint_is_not_rebuilt_from_half_a_log() -> None:
    """Where retention took what was answered before the first checkpoint, a member refuses with the remedy."""
    plan = Plan(1, 1, 1, 6, 0, "tally", "exactly_once", "classic", 50, 1.0, 1_000, 0.0)
    world = World(plan, Cast())
    while not world.publisher.done:
        world.publisher.turn()
    (member,) = world.members
    member.start()
    assert member.life is not None
    while not world.scene.done():
        member.life.turn()
        world.elapse(member.life.process, 0.1)
    (log,) = world.scene.logs()
    assert "checkpoint" not in (world.scene.committed(log) or (0, ""))[1]
    process = member.life.process
    process.dead = True
    member.life.turn()
    log.cut(1)
    world.elapse(process, 20.0)
    member.start()
    for life in list(world.lives):
        for _ in range(20):
            life.turn()
            world.elapse(life.process, 0.5)
            if world.scene.breaches:
                break
    assert any("HEADRACE_RECOVER=rebuild_state" in breach for breach in world.scene.breaches)
