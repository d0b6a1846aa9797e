"""The service `drift`: the same incidents at the same rows, whoever reads what, in whatever pieces."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from prometheus_client import CollectorRegistry

from headrace.columnar import packing
from headrace.domain.control.drift import DriftClosed, DriftFinding, DriftGrew, DriftOpened
from headrace.domain.control.events import read_event
from headrace.domain.drift.reference_bins import Floats
from headrace.domain.drift.reference_profile import ReferenceProfile, joint_of, profile_of
from headrace.domain.pipeline.drift.spec import Drift
from headrace.domain.records.drift_parts import PARTS, SOURCES, Acceptance, pack, unpack
from headrace.domain.records.watched_columns import OUTCOMES, PREDICTIONS, ModelIdentity, WatchedColumns
from headrace.errors import ContractError, Transient
from headrace.streaming.records.batch import Batch, Emit, slot
from headrace.streaming.watermarks.idleness import Quiet
from services.drift.metrics import DriftMetrics
from services.drift.service import Watcher
from tests.drift import predictions as made

PARTITIONS = 3
IDLE_AFTER_S = 10.0
SECOND = 1_000
REFERENCE = made.reference()
STRICT = replace(made.PIPELINE, drift=Drift(false_alarms_per_month=20.0))


def columns_of(stream: str, model: ModelIdentity) -> WatchedColumns:
    """Both models have the same reference."""
    return made.watched(stream, STRICT, REFERENCE)


def member(columns: Any = columns_of) -> Watcher:
    """A member that was told how many partitions there are."""
    names = (PARTS, "drift", "control")
    registry = DriftMetrics(CollectorRegistry())
    service = Watcher(STRICT, columns, *(made.SCHEMAS[name] for name in names), 1.0, IDLE_AFTER_S, registry)
    service.start({**dict.fromkeys(SOURCES, PARTITIONS), PARTS: 1})
    return service


@dataclass
class Group:
    """Members that share the partitions, and the topics between them.

    Partitions that rest are told to be at their ends again and again, as the clock goes on, until they are read.

    Args:
        members: how many.
        seed: who reads how much, and when.
    """

    members: int
    seed: int
    control: list[dict[str, Any]] = field(default_factory=list)
    standing: list[dict[str, Any]] = field(default_factory=list)
    resting: dict[int, float] = field(default_factory=dict)
    clock: float = 1.0

    def __post_init__(self) -> None:
        self.random = Random(self.seed)
        self.services = [member() for _ in range(self.members)]
        self.parts: list[pa.RecordBatch] = []
        self.folded = 0
        self.here = slot(Watcher.inputs.index(PARTS), 0)
        self.owner = self.services[self.random.randrange(self.members)]
        self.owner.restore(self.here, None)
        self.of = {
            slot(place, number): self.services[self.random.randrange(self.members)]
            for place in range(len(SOURCES))
            for number in range(PARTITIONS)
        }
        for partition, service in self.of.items():
            service.restore(partition, None)

    def read(self, logs: dict[int, Batch], most: int) -> None:
        """Read logs to their ends in pieces, in any order; the member that watches is replaced now and then."""
        at = dict.fromkeys(logs, 0)
        while any(at[number] < len(log) for number, log in logs.items()):
            number = self.random.choice([n for n, log in logs.items() if at[n] < len(log)])
            upto = at[number] + self.random.randint(1, most)
            self.send(number, logs[number].slice(slice(at[number], upto)))
            at[number] = upto
            if self.random.random() < 0.5:
                self.fold()
            if self.members > 1 and self.random.random() < 0.02:
                self.move(number)
        self.settle()

    def send(self, number: int, batch: Batch) -> None:
        """Have rows of a partition told."""
        self.resting.pop(number, None)
        self.wait(0.125)
        self.take(self.of[number].process(batch, self.clock).emits)

    def wait(self, seconds: float) -> None:
        """Let the clock go on."""
        self.clock += seconds
        for number, since in self.resting.items():
            self.take(self.of[number].tick(self.clock, {number: Quiet(since, self.clock)}).emits)

    def publish(self) -> None:
        """Have told how everything stands."""
        self.clock += 2.0
        self.take(self.owner.tick(self.clock, {}).emits)

    def move(self, number: int) -> None:
        """Another member goes on with a partition, and another one with the parts."""
        before, self.of[number] = self.of[number], self.services[self.random.randrange(self.members)]
        snapshot = before.snapshot(number)
        before.drop(number)
        self.of[number].restore(number, snapshot)
        snapshot = self.owner.snapshot(self.here)
        self.owner.drop(self.here)
        self.owner = self.services[self.random.randrange(self.members)]
        self.owner.restore(self.here, snapshot)

    def idle(self, numbers: list[int]) -> None:
        """These partitions rest from now on."""
        self.resting |= dict.fromkeys(numbers, self.clock)
        self.settle()

    def settle(self) -> None:
        """Let time go by until partitions that rest are proven to have had nothing; what was told is watched."""
        for _ in range(4):
            self.wait(IDLE_AFTER_S / 2)
        self.fold()

    def fold(self) -> None:
        """Watch what was told."""
        if self.folded < len(self.parts):
            told = pa.Table.from_batches(self.parts[self.folded :]).combine_chunks().to_batches()[0]
            count = told.num_rows
            nothing = np.zeros(count, np.int64)
            here = np.full(count, self.here, np.int32)
            offsets = self.folded + np.arange(count)
            rows = Batch(PARTS, told, pa.nulls(count, pa.binary()), here, offsets, nothing)
            admitted = self.owner.admit(rows, 0.0)
            assert not admitted.rejects
            answer = self.owner.process(admitted.batch, 0.0)
            assert not answer.rejects
            self.take(answer.emits)
            self.folded = len(self.parts)

    def take(self, emits: tuple[Emit, ...]) -> None:
        """What was written."""
        for emit in emits:
            if emit.topic == PARTS:
                self.parts += [emit.columns.slice(at, 1) for at in range(emit.columns.num_rows)]
            elif emit.topic == "control":
                self.control += emit.columns.to_pylist()
            else:
                self.standing += emit.columns.to_pylist()

    def findings(self) -> list[DriftFinding]:
        """What was told, each once: nothing is told twice where nothing is read twice."""
        ids = [row["event_id"] for row in self.control]
        assert len(set(ids)) == len(ids)
        events = [read_event(row | {"evidence": dict(row["evidence"])}) for row in self.control]
        return [event.finding for event in events if event is not None and isinstance(event.finding, DriftFinding)]


def logs(seed: int, rows: int = 12_000, canary: bool = False) -> dict[int, Batch]:
    """A second a row over the partitions: an input that scores leave out moves at row 6,000, labels flip at 8,000."""
    draw = np.random.default_rng(seed)
    values = draw.normal(size=(rows, len(made.INPUTS)))
    values[6_000:, 2] += 0.6
    truth = made.labels(values, draw)
    truth[8_000:] = 1 - truth[8_000:]
    times = made.START + np.arange(rows) * SECOND
    models = [made.OTHER if canary and draw.random() < 0.3 else made.MODEL for _ in range(rows)]
    found = {}
    for number in range(PARTITIONS):
        mine = np.flatnonzero(np.arange(rows) % 7 % PARTITIONS == number)
        of = [models[at] for at in mine]
        for stream, told in ((PREDICTIONS, None), (OUTCOMES, truth[mine])):
            records = made.columns(stream, values[mine], times[mine], mine, of, told)
            batch = made.batch(stream, records, number, 5)
            found[int(batch.partition[0])] = batch
    return found


def told(group: Group) -> list[DriftFinding]:
    """What is found in the end, in the order of each stream."""
    return sorted(group.findings(), key=lambda each: each.stream)


@pytest.mark.slow
@pytest.mark.parametrize("canary", [False, True])
def test_members_and_pieces_change_nothing(canary: bool) -> None:
    """One member that reads by thousands, or three that share, hand on and read by dozens: the same incidents."""
    rows = logs(1, canary=canary)
    whole = Group(1, 0)
    whole.read(rows, 5_000)
    whole.idle(list(rows))
    found = told(whole)
    assert len(found) >= 2
    for seed in range(1, 4):
        group = Group(3, seed)
        group.read(rows, (90, 700)[seed % 2])
        group.idle(list(rows))
        assert told(group) == found


def test_incidents_say_what_changed_and_since_when() -> None:
    """Of predictions the input, of outcomes the losses; begun when they did."""
    group = Group(1, 0)
    rows = logs(2)
    group.read(rows, 2_000)
    group.idle(list(rows))
    opened = {found.stream: found for found in group.findings() if isinstance(found, DriftOpened)}
    assert opened.keys() == {PREDICTIONS, OUTCOMES}
    assert '"terminal.risk_30d"' in opened[PREDICTIONS].columns
    assert '"model loss"' in opened[OUTCOMES].columns
    for stream, began in ((PREDICTIONS, 6_000), (OUTCOMES, 8_000)):
        since = opened[stream].began
        assert since is not None
        assert abs((since - made.START) / SECOND - began) < 60, stream
        assert 0 <= (opened[stream].reached - made.START) / SECOND - began < 400
    assert opened[PREDICTIONS].model == "m@1"


def test_rows_wait_for_partitions_that_may_tell_earlier_ones() -> None:
    """Nothing is watched beyond the slowest partition, until that is idle; how much waits is told."""
    group = Group(1, 0)
    rows = {number: log for number, log in logs(3).items() if log.topic == PREDICTIONS}
    slow = slot(0, 2)
    group.read({number: log for number, log in rows.items() if number != slow}, 3_000)
    group.publish()
    assert not group.standing
    group.idle([slow])
    group.publish()
    whole = next(row for row in group.standing if row["column"] == "" and row["state"] != "course")
    others = sum(len(log) for number, log in rows.items() if number != slow)
    assert others - 20 < whole["events"] <= others
    assert whole["incident"] == "predictions/1"


def test_a_repeat_changes_nothing() -> None:
    """Parts that come twice, as in at_least_once, are taken once."""
    once, twice = Group(1, 0), Group(1, 0)
    rows = logs(4)
    once.read(rows, 2_000)
    for log in rows.values():
        twice.send(int(log.partition[0]), log.slice(slice(0, 3_000)))
    twice.parts = [part for part in twice.parts for _ in (0, 1)]
    fresh = Group(1, 0)
    for log in rows.values():
        fresh.send(int(log.partition[0]), log)
    twice.parts += fresh.parts
    for group in (once, twice):
        group.fold()
        group.idle(list(rows))
    assert told(twice) == told(once)


def test_what_stands_is_told_of_each_column() -> None:
    """A row for each column and one for all; a column without a reference says how far it is."""
    group = Group(1, 0)
    rows = logs(5, rows=3_000)
    group.read(rows, 2_000)
    group.idle(list(rows))
    group.publish()
    standing = {(row["stream"], row["column"]): row for row in group.standing}
    columns = {column for stream, column in standing if stream == PREDICTIONS}
    assert columns >= {"", *made.INPUTS, "model score", "model decision", "age of terminal", "inputs together"}
    age = standing[PREDICTIONS, "age of terminal"]
    assert (age["state"], age["learnt"]) == ("learning", 3_000)
    score = standing[PREDICTIONS, "model score"]
    assert score["state"] == "watched"
    assert len(score["reference"]) == len(score["recent"]) == len(score["edges"]) + 2
    assert sum(score["recent"]) == pytest.approx(1.0)


def test_a_model_whose_package_is_no_good_is_counted_and_the_others_watched() -> None:
    """Its rows are told to nobody; one that cannot be had yet is waited for."""

    def columns(stream: str, model: ModelIdentity) -> WatchedColumns:
        if model == made.OTHER:
            raise ContractError("no package")
        return columns_of(stream, model)

    service = member(columns)
    (log,) = [log for log in logs(6, 300, canary=True).values() if log.partition[0] == 0]
    service.restore(0, None)
    (emit,) = service.process(log, 0.0).emits
    assert [model["version"] for model in emit.columns["models"][0].as_py()] == ["1"]

    def away(stream: str, model: ModelIdentity) -> WatchedColumns:
        raise Transient("model store: away")

    waiting = member(away)
    waiting.restore(0, None)
    with pytest.raises(Transient, match="away"):
        waiting.process(log, 0.0)
    assert waiting.snapshot(0) == member(away).snapshot(0)


def test_an_incident_is_over_when_its_model_answers_no_more() -> None:
    """A new version takes over: what had changed of the old one is of no account."""
    draw = np.random.default_rng(7)
    values = draw.normal(size=(120_000, len(made.INPUTS)))
    values[2_000:4_000, 0] += 2
    times = made.START + np.arange(len(values)) * SECOND
    of = [made.MODEL] * 4_000 + [made.OTHER] * (len(values) - 4_000)
    group = Group(1, 0)
    log = made.batch(PREDICTIONS, made.columns(PREDICTIONS, values, times, np.arange(len(values)), of), 0, 0)
    group.idle([slot(0, 1), slot(0, 2)])
    group.read({0: log}, 30_000)
    closed = [found for found in group.findings() if isinstance(found, DriftClosed)]
    assert [found.because for found in closed] == ["its model answers no more"]
    assert (closed[0].reached - made.START) // SECOND == 3_999 + 100_000


def test_inputs_that_no_longer_go_together_are_seen() -> None:
    """A correlation turns, and each input stays as it was: an incident of inputs together, and of no input alone."""
    draw = np.random.default_rng(8)

    def rows(count: int, by: float) -> Floats:
        first = draw.normal(size=count)
        return np.column_stack([first, by * first + 0.6 * draw.normal(size=count), draw.normal(size=count)])

    trained = rows(20_000, 0.8)
    inputs = profile_of(made.INPUTS, trained)
    reference = ReferenceProfile(inputs, {}, joint_of(inputs, trained))
    service = member(lambda stream, model: made.watched(stream, STRICT, reference))
    group = Group(1, 0)
    group.services = [service]
    group.owner = service
    group.of = dict.fromkeys(group.of, service)
    for partition in (group.here, *group.of):
        service.restore(partition, None)
    values = np.concatenate([rows(6_000, 0.8), rows(3_000, -0.8)])
    times = made.START + np.arange(len(values)) * SECOND
    log = made.batch(PREDICTIONS, made.columns(PREDICTIONS, values, times, np.arange(len(values))), 0, 0)
    group.idle([slot(0, 1), slot(0, 2)])
    group.read({0: log}, 2_000)
    (opened,) = [found for found in group.findings() if isinstance(found, DriftOpened)]
    named = {each["column"] for each in json.loads(opened.columns)}
    assert named <= {"inputs together", "amount with customer.avg_amount_7d", "model score", "model decision"}
    assert named & {"inputs together", "amount with customer.avg_amount_7d"}
    assert (opened.reached - made.START) / SECOND < 6_500


@pytest.mark.parametrize("at", [0, 2])
def test_an_input_that_stops_coming_is_seen_within_500_events(at: int) -> None:
    """All missing from one event on, whatever the others do."""
    draw = np.random.default_rng(9)
    values = draw.normal(size=(7_000, len(made.INPUTS)))
    values[6_000:, at] = np.nan
    times = made.START + np.arange(len(values)) * SECOND
    scored = np.nan_to_num(values)
    records = made.columns(PREDICTIONS, values, times, np.arange(len(values)))
    place = records.schema.get_field_index("score")
    records = records.set_column(place, records.schema.field("score"), pa.array(made.scores(scored)))
    group = Group(1, 0)
    group.idle([slot(0, 1), slot(0, 2)])
    group.read({0: made.batch(PREDICTIONS, records, 0, 0)}, 2_000)
    opened = next(found for found in group.findings() if isinstance(found, DriftOpened))
    assert made.INPUTS[at] in {each["column"] for each in json.loads(opened.columns)}
    assert 0 <= (opened.reached - made.START) / SECOND - 6_000 < 500


def test_a_backfill_finds_what_the_live_stream_found() -> None:
    """Partition by partition from their beginnings at once, or row by row as it came: the same incidents."""
    rows = logs(10)
    live, back = Group(1, 0), Group(1, 0)
    live.read(rows, 60)
    for log in rows.values():
        back.send(int(log.partition[0]), log)
    back.fold()
    for group in (live, back):
        group.idle(list(rows))
    assert told(back) == told(live)
    assert len(told(live)) >= 2


def test_who_comes_first_of_those_that_were_idle_does_not_depend_on_batches() -> None:
    """Both were idle, then each tells what it has: taken part by part or at once, the state is the same."""
    rows = {number: log for number, log in logs(14, 600).items() if log.topic == PREDICTIONS}
    states = []
    for at_once in (True, False):
        group = Group(1, 0)
        group.idle(list(rows))
        for log in rows.values():
            group.send(int(log.partition[0]), log)
            if not at_once:
                group.fold()
        group.fold()
        states.append(group.owner.snapshot(group.here))
    assert states[0] == states[1]


def test_partitions_that_rested_are_watched_in_order_whichever_is_read_first() -> None:
    """A stretch of time that comes at once over all of them is taken row by row, as if it had come so."""
    rows = {number: log for number, log in logs(14, 600).items() if log.topic == PREDICTIONS}
    states = []
    for order in ([0, 1, 2], [2, 1, 0], [1, 2, 0]):
        group = Group(1, 0)
        group.idle(list(rows))
        for number in order:
            group.send(slot(0, number), rows[slot(0, number)])
            group.fold()
            group.wait(IDLE_AFTER_S)  # Of partitions that nobody has read to the end yet, nobody says that they rest.
        group.idle(list(rows))
        states.append(by_rows(group))
    assert states[0] == states[1] == states[2]
    assert group.owner._watches is not None
    assert group.owner._watches[PREDICTIONS].rows == 600
    assert not group.owner.tick(group.clock + 2, {}).unfinished


def by_rows(group: Group) -> dict[str, bytes]:
    """The state of the member that watches, without when partitions were seen: that is the clock's."""
    columns = packing.unpack(group.owner.snapshot(group.here))
    return {
        name: each.tobytes() for name, each in columns.items() if not name.endswith(("merge.proofs", "merge.waits"))
    }


def test_who_waits_for_a_partition_has_something_left_to_do_and_notices_are_none() -> None:
    """Until it is proven that it has nothing; that a partition rests is told again, and makes nobody busy."""
    group = Group(1, 0)
    rows = {number: log for number, log in logs(14, 60).items() if log.topic == PREDICTIONS}
    for number in rows:
        group.send(number, rows[number])
    group.fold()
    group.publish()
    assert group.owner.tick(group.clock, {}).unfinished
    group.resting |= dict.fromkeys(rows, group.clock)
    told = len(group.parts)
    for _ in range(8):
        group.wait(IDLE_AFTER_S / 2)
    assert len(group.parts) - told == 7 * len(rows)
    notices = pa.Table.from_batches(group.parts[told:]).combine_chunks().to_batches()[0]
    here, at = np.full(len(notices), group.here, np.int32), told + np.arange(len(notices))
    answer = group.owner.process(Batch(PARTS, notices, pa.nulls(len(notices), pa.binary()), here, at, at), group.clock)
    assert answer.housekeeping
    group.publish()
    assert not group.owner.tick(group.clock, {}).unfinished


def test_rows_that_cannot_be_of_the_columns_are_not_watched() -> None:
    """A bin that there is not, or another number of columns, reaches no kernel; the service goes on."""
    group = Group(1, 0)
    (log,) = [log for log in logs(12, 300).values() if log.partition[0] == 0]
    (emit,) = group.services[0].process(log, 0.0).emits
    models = [made.MODEL]
    good = unpack(models, emit.columns["payload"][0].as_py())[made.MODEL]
    beyond = replace(good, places=np.where(good.places == good.places.max(), 200, good.places).astype(np.uint8))
    narrow = replace(good, places=good.places[:, 1:])
    for bad in (beyond, narrow):
        payload = pa.array([pack({made.MODEL: bad})], emit.columns.schema.field("payload").type)
        at = emit.columns.schema.get_field_index("payload")
        group.parts.append(emit.columns.set_column(at, emit.columns.schema.field("payload"), payload))
    group.fold()
    group.idle([slot(0, number) for number in range(PARTITIONS)])
    assert group.services[0]._watches is not None
    assert group.services[0]._watches[PREDICTIONS].rows == 0


def accepted(group: Group, incident: str) -> None:
    """Somebody decides it, at this place among the parts."""
    row = Acceptance(incident, "ada", "a new tariff").row()
    group.parts.append(pa.RecordBatch.from_pylist([row], made.SCHEMAS[PARTS]))


@pytest.mark.parametrize("members", [1, 3])
def test_what_is_accepted_is_what_is_usual_from_then_on(members: int) -> None:
    """The incident is over, its column learns its next values, and the next change of it is the next incident."""
    draw = np.random.default_rng(13)
    values = draw.normal(size=(20_000, len(made.INPUTS)))
    values[3_000:, 2] += 1
    values[14_000:, 2] += 1
    times = made.START + np.arange(len(values)) * SECOND
    records = made.columns(PREDICTIONS, values, times, np.arange(len(values)))
    group = Group(members, members)
    group.idle([slot(0, 1), slot(0, 2)])
    group.send(0, made.batch(PREDICTIONS, records.slice(0, 4_000), 0, 0))
    group.settle()
    accepted(group, "predictions/1")
    accepted(group, "predictions/7")
    group.fold()
    group.read({0: made.batch(PREDICTIONS, records.slice(4_000), 0, 4_000)}, 3_000)
    opened, closed, again = [found for found in group.findings() if not isinstance(found, DriftGrew)]
    assert isinstance(closed, DriftClosed)
    assert closed.because == "accepted by ada: a new tariff"
    assert isinstance(again, DriftOpened)
    assert (opened.incident, again.incident) == ("predictions/1", "predictions/2")
    assert 0 <= (again.reached - made.START) / SECOND - 14_000 < 100
    assert '"terminal.risk_30d"' in again.columns
