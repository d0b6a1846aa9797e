"""The service `notify`: each event once, whoever sends it and whenever it dies."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from prometheus_client import CollectorRegistry

from headrace.domain.control.base import ControlFinding
from headrace.domain.control.drift import DriftClosed, DriftGrew, DriftHarmed, DriftOpened
from headrace.domain.control.events import ControlEvent
from headrace.domain.control.groups import EVENT_GROUPS
from headrace.domain.pipeline.notification.spec import NotificationChannel, Notify
from headrace.domain.records.notifications import DUE, NOTIFICATIONS, SENT, UNDELIVERED, record_again
from headrace.operations.notification.untaken_messages import untaken
from headrace.streaming.contracts.schemas import load_schema
from headrace.streaming.records.batch import Batch, Output, slot
from headrace.streaming.watermarks.idleness import Quiet
from services.notify.courier import RetryPolicy
from services.notify.mailbox import DIRECT
from services.notify.metrics import NotifyMetrics
from services.notify.service import Notifications
from tests.members import ROOT

FILES = {"control": "control_event", NOTIFICATIONS: "notification"}
SCHEMAS = {name: load_schema(ROOT / f"schemas/{file}.avsc").arrow for name, file in FILES.items()}
HERE = slot(Notifications.inputs.index(NOTIFICATIONS), 0)
KINDS = frozenset(kind for kinds in EVENT_GROUPS.values() for kind in kinds)
FOLD_S, DEADLINE_S, GIVE_UP_S, WITHIN_S = 600, 30, 900, 86_400
ONCALL = NotificationChannel("oncall", "env", "A", frozenset(EVENT_GROUPS["harm"]), "critical")
TEAM = NotificationChannel("team", "env", "B", KINDS)


@dataclass
class Told:
    """An attempt whose end the test decides."""

    over: bool = True
    problem: str | None = None


@dataclass
class World:
    """A log of notifications, those who are told, and members of the service, one at a time.

    Attributes:
        log: rows of the topic.
        calls: (channel, message) of each attempt.
        away: channels that take nothing, with why; None: they do not answer.
    """

    section: Notify
    log: list[dict[str, Any]] = field(default_factory=list)
    calls: list[tuple[str, Mapping[str, Any]]] = field(default_factory=list)
    away: dict[str, str | None] = field(default_factory=dict)
    hung: list[Told] = field(default_factory=list)
    letters: list[dict[str, Any]] = field(default_factory=list)
    now: float = 1_000_000.0
    read: int = 0
    control: int = 0

    def __post_init__(self) -> None:
        self.start(None)

    def start(self, snapshot: tuple[int, bytes] | None) -> None:
        """Another member goes on from a snapshot of an offset."""
        self.service = Notifications(
            "p", self.section, self._begin, RetryPolicy(DEADLINE_S, GIVE_UP_S), WITHIN_S,
            SCHEMAS[NOTIFICATIONS], NotifyMetrics(CollectorRegistry()),
        )  # fmt: skip  # one argument a thing
        since, state = snapshot or (0, None)
        self.service.restore(HERE, state)
        if since < self.read:
            self.service.replay(self._batch(NOTIFICATIONS, self.log[since : self.read], since))

    def _begin(self, channel: str, told: Mapping[str, Any]) -> Told:
        self.calls.append((channel, told))
        if channel not in self.away:
            return Told()
        if (why := self.away[channel]) is not None:
            return Told(problem=why)
        self.hung.append(Told(over=False))
        return self.hung[-1]

    def _batch(self, topic: str, rows: list[dict[str, Any]], first: int) -> Batch:
        columns = pa.RecordBatch.from_pylist(rows, schema=SCHEMAS[topic])
        here = np.full(len(rows), slot(Notifications.inputs.index(topic), 0), np.int32)
        zeros = np.zeros(len(rows), np.int64)
        return Batch(topic, columns, pa.nulls(len(rows), pa.binary()), here, first + np.arange(len(rows)), zeros)

    def _write(self, output: Output) -> None:
        for emit in output.emits:
            plain = emit.columns
            for name in ("time", "happened"):
                at = plain.schema.get_field_index(name)
                plain = plain.set_column(at, name, plain[name].cast(pa.int64()))
            self.log += plain.to_pylist()

    def happen(self, finding: ControlFinding, identity: str, ago_s: float = 0) -> None:
        """A control event."""
        event = ControlEvent(identity, "p", int((self.now - ago_s) * 1000), "drift", finding)
        admitted = self.service.admit(self._batch("control", [event.row()], self.control), self.now)
        self.control += 1
        if len(admitted.batch):
            self._write(self.service.process(admitted.batch, self.now))

    def turn(self, seconds: float = 1.0, commit: bool = True) -> None:
        """Read what is new, tick, and let time go on. Without `commit` what the tick wrote is lost, as in a crash."""
        if self.read < len(self.log):
            batch = self.service.admit(self._batch(NOTIFICATIONS, self.log[self.read :], self.read), self.now).batch
            output = self.service.process(batch, self.now)
            self.letters += [self.log[reject.offset] for reject in output.rejects]
            self.read = len(self.log)
        output = self.service.tick(self.now, {HERE: Quiet(self.now, self.now)})
        if commit:
            self._write(output)
        self.now += seconds

    def titles(self, channel: str) -> list[str]:
        """What a channel was told, in order."""
        return [told["title"] for name, told in self.calls if name == channel]

    def steps(self) -> Counter[str]:
        """How often each stands on the topic."""
        return Counter(row["step"] for row in self.log)


@pytest.fixture
def world() -> World:
    """Two who are told: one of harm, one of all."""
    return World(Notify({"oncall": ONCALL, "team": TEAM}, FOLD_S * 1000))


def test_who_asked_is_told_once(world: World) -> None:
    """An event goes to the channels whose kinds and severity it has; the same event again goes to nobody."""
    for _ in range(2):
        world.happen(DriftOpened("predictions/1", "predictions", model="m@1"), "e1")
        world.happen(DriftHarmed("predictions/1", "outcomes", model="m@1"), "e2")
    for _ in range(5):
        world.turn()
    assert world.titles("oncall") == ["p: m@1 is worse since incident predictions/1"]
    assert world.titles("team") == [
        "p: drift incident predictions/1 opened",
        "p: m@1 is worse since incident predictions/1",
    ]
    assert world.steps() == {DUE: 6, SENT: 3}


def test_a_storm_is_some_messages(world: World) -> None:
    """The first are told at once, the others in one message at the window's end; another kind is not held up."""
    for number in range(100):
        world.happen(DriftGrew(f"predictions/{number}", "predictions", model="m@1"), f"e{number}")
        world.turn()
    world.happen(DriftHarmed("predictions/1", "outcomes", model="m@1"), "harm")
    for _ in range(3):
        world.turn()
    assert len(world.titles("team")) == DIRECT + 1
    world.turn(FOLD_S)
    for _ in range(3):
        world.turn()
    assert world.titles("team")[DIRECT + 1 :] == [f"p: {100 - DIRECT} more times drift_grew"]
    told = [row for row in world.log if row["step"] == SENT and row["channel"] == "team"]
    assert sum(row["count"] for row in told) == 101


def test_events_of_long_ago_are_told_together(world: World) -> None:
    """As when the service is started for the first time: nobody's telephone rings for a year of incidents."""
    for number in range(50):
        world.happen(DriftHarmed(f"predictions/{number}", "outcomes", model="m@1"), f"e{number}", WITHIN_S + 100)
    for _ in range(4):
        world.turn(FOLD_S / 2)
    assert world.titles("oncall") == ["p: 50 events of a time when nobody was told"]


def test_a_channel_that_comes_back_is_told(world: World) -> None:
    """It is tried less and less often, and another channel does not wait for it."""
    world.away["oncall"] = "away"
    world.happen(DriftHarmed("predictions/1", "outcomes", model="m@1"), "e1")
    for _ in range(100):
        world.turn()
    assert world.titles("team") == ["p: m@1 is worse since incident predictions/1"]
    assert 5 < len(world.titles("oncall")) < 12
    del world.away["oncall"]
    for _ in range(70):
        world.turn()
    assert world.steps() == {DUE: 2, SENT: 2}


def test_what_nobody_takes_becomes_a_dead_letter(world: World) -> None:
    """After so long, with the reason; and the loop goes on with the next."""
    world.away["oncall"] = "it said 403"
    world.happen(DriftHarmed("predictions/1", "outcomes", model="m@1"), "e1")
    for _ in range(GIVE_UP_S + 120):
        world.turn()
    assert world.steps() == {DUE: 2, SENT: 1, UNDELIVERED: 1}
    (letter,) = world.letters
    assert (letter["channel"], letter["event_id"], letter["problem"]) == ("oncall", "e1", "it said 403")
    assert "predictions/1" in letter["title"]
    world.away.clear()
    world.happen(DriftHarmed("predictions/2", "outcomes", model="m@1"), "e2")
    for _ in range(70):
        world.turn()
    assert world.titles("oncall")[-1] == "p: m@1 is worse since incident predictions/2"
    assert len(world.letters) == 1


def test_an_attempt_without_an_answer_has_failed_but_may_end_well(world: World) -> None:
    """After the deadline it is tried again; what was taken after all is not sent once more."""
    world.away["oncall"] = None
    world.happen(DriftHarmed("predictions/1", "outcomes", model="m@1"), "e1")
    for _ in range(DEADLINE_S + 3):
        world.turn()
    assert len(world.titles("oncall")) == 2
    world.hung[0].over = True
    for _ in range(5):
        world.turn()
    assert len(world.titles("oncall")) == 2
    assert world.steps()[SENT] == 2


def test_attempts_that_hang_are_bounded(world: World) -> None:
    """A receiver that never answers holds a few threads, and its messages become dead letters."""
    world.away["oncall"] = None
    for number in range(5):
        world.happen(DriftHarmed(f"predictions/{number}", "outcomes", model="m@1"), f"e{number}")
    for _ in range(3 * GIVE_UP_S):
        world.turn()
    assert len(world.hung) <= 4
    assert sum(letter["count"] for letter in world.letters) == 5


def test_a_channel_that_the_file_no_longer_names_is_given_up(world: World) -> None:
    """Its messages are dead letters that say so."""
    world.away["oncall"] = "away"
    world.happen(DriftHarmed("predictions/1", "outcomes", model="m@1"), "e1")
    world.turn()
    world.section = Notify({"team": TEAM}, FOLD_S * 1000)
    world.start(None)
    for _ in range(GIVE_UP_S + 120):
        world.turn()
    assert [letter["problem"] for letter in world.letters] == ["the pipeline file names no such channel any more"]


def test_a_crash_between_sending_and_committing_repeats_one_message(world: World) -> None:
    """With the same identity in its last line."""
    world.happen(DriftHarmed("predictions/1", "outcomes", model="m@1"), "e1")
    world.happen(DriftHarmed("predictions/2", "outcomes", model="m@1"), "e2")
    world.turn()
    world.turn(commit=False)
    world.start(None)
    for _ in range(5):
        world.turn()
    bodies = [told["body"] for name, told in world.calls if name == "oncall"]
    assert [body.splitlines()[-1] for body in bodies] == ["event e1", "event e1", "event e2"]


@pytest.mark.parametrize("seed", range(12))
def test_whatever_dies_each_event_is_told(seed: int) -> None:
    """Crashes, snapshots, channels that go and come: each event ends as sent or as a dead letter, and is in one
    message a channel, but for those that a crash repeats.
    """
    draw = Random(seed)
    world = World(Notify({"oncall": ONCALL, "team": TEAM}, FOLD_S * 1000))
    kept: tuple[int, bytes] | None = None
    kinds = (DriftOpened, DriftGrew, DriftHarmed, DriftClosed)
    crashes, happened = 0, 0
    for _ in range(300):
        for _ in range(draw.choice((0, 0, 1, 5))):
            finding = draw.choice(kinds)(f"predictions/{happened}", "predictions", model="m@1")
            world.happen(finding, f"e{happened}", draw.choice((0, 0, 0, WITHIN_S + 1)))
            happened += 1
        if draw.random() < 0.1:
            world.away = {name: "away" for name in ("oncall", "team") if draw.random() < 0.5}
        if draw.random() < 0.1:
            kept = world.read, world.service.snapshot(HERE)
        crash = draw.random() < 0.1
        world.turn(draw.choice((0.01, 1, 60)), commit=not crash)
        if crash:
            crashes += 1
            world.start(kept)
    world.away = {}
    for _ in range(400):
        world.turn(30)
    due = Counter((row["channel"], row["event_id"]) for row in world.log if row["step"] == DUE)
    ended: Counter[str] = Counter()
    for row in world.log:
        if row["step"] != DUE:
            ended[row["channel"]] += row["count"]
    assert ended == Counter(channel for channel, _ in due)
    taken = Counter((name, told["message_id"], told["count"]) for name, told in world.calls)
    sent = {(row["channel"], row["message_id"], row["count"]) for row in world.log if row["step"] == SENT}
    assert sent <= taken.keys()
    assert max(Counter(row["message_id"] for row in world.log if row["step"] != DUE).values()) == 1


def test_what_nobody_took_is_sent_again_when_a_person_asks(world: World) -> None:
    """Once, as it was, folded ones too; not what was taken, nor what was asked for already, also over a restart."""
    world.away["oncall"] = "it said 403"
    for number in range(DIRECT + 4):
        world.happen(DriftHarmed(f"predictions/{number}", "outcomes", model="m@1"), f"e{number}")
    for _ in range(40):
        world.turn(GIVE_UP_S / 10)
    lost = untaken(world.log)
    assert [row["count"] for row in lost] == [1] * DIRECT + [4]
    del world.away["oncall"]
    before = len(world.calls)
    world.log += [record_again(row, world.now) for row in lost]
    assert untaken(world.log) == []
    world.log += [record_again(row, world.now) for row in lost]  # two people ask at the same moment
    world.turn()
    world.start((world.read, world.service.snapshot(HERE)))
    for _ in range(10):
        world.turn()
    told = [told["title"] for _, told in world.calls[before:]]
    assert told == [lost[0]["title"], *(row["title"] for row in lost)]  # one was on its way as the member ended
    assert world.steps()[SENT] - sum(row["channel"] == "team" for row in world.log if row["step"] == SENT) == DIRECT + 1
    assert untaken(world.log) == []
