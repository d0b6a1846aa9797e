"""Notifications: control events, of which each channel is told, by receivers that refuse now and then."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

from headrace.columnar import packing
from headrace.domain.control.drift import DriftGrew, DriftHarmed, DriftOpened
from headrace.domain.control.events import ControlEvent
from headrace.domain.records.notifications import DUE, NOTIFICATIONS, SENT
from headrace.streaming.records.batch import Batch
from headrace.streaming.task.runner import Runner
from headrace.streaming.task.service import Service
from services.notify.app import build
from services.notify.service import Notifications
from services.notify.settings import NotifySettings
from tests.simulated.broker import Broker
from tests.simulated.groups import Part
from tests.simulated.plan import Plan as Schedule
from tests.simulated.process import SimulatedLibrary
from tests.simulated.product.crew import Crew
from tests.simulated.product.product_scene import Fold, ProductScene, Said
from tests.simulated.scene import Store, named

CONTROL = "control"
KINDS = (DriftOpened, DriftGrew, DriftHarmed)
CHANNELS = {"oncall": {DriftHarmed}, "team": {DriftOpened, DriftGrew, DriftHarmed}}
"""As the pipeline's file has them."""


class ReceiverAnswer:
    """What a receiver said at once."""

    over = True

    def __init__(self, problem: str | None) -> None:
        self.problem = problem


class NotifyScene(ProductScene):
    """Findings of drift, some of which come twice, and some that nobody can read."""

    service = "notify"
    inputs = Notifications.inputs
    outputs = ()
    counts = {CONTROL: 1, NOTIFICATIONS: 1}  # noqa: RUF012 - nobody changes it

    def __init__(self, plan: Schedule) -> None:
        super().__init__(plan)
        self.crew = Crew(build, NotifySettings)
        self._attempts: Counter[str] = Counter()
        self._taken: set[tuple[str, int]] = set()

    def open(self, broker: Broker) -> None:
        super().open(broker)
        self._mailbox = MailboxFold(self, self.undisturbed(), NOTIFICATIONS)

    def member(self, name: str, library: SimulatedLibrary, store: Store) -> Runner:
        return self.crew.member(self.plan, name, library, self._begin)

    def undisturbed(self) -> Service:
        return self.crew.undisturbed(self.partitions(), self._begin)

    def _begin(self, channel: str, told: Mapping[str, Any]) -> ReceiverAnswer:
        """Every third message is refused the first time."""
        identity = told["message_id"]
        self._attempts[identity] += 1
        if len(self._attempts) % 3 == 0 and self._attempts[identity] == 1:
            return ReceiverAnswer("refused")
        self._taken.add((identity, told["count"]))
        return ReceiverAnswer(None)

    # ---- what is published ---------------------------------------------------------------------------------------

    def publish(self, draw: Random, number: int) -> Sequence[tuple[Part, Said]]:
        finding = draw.choice(KINDS)(f"predictions/{number}", "predictions", number, None, "m@1")
        row = ControlEvent(f"e{number}", "p", int(self.broker.wall * 1000), "drift", finding).row()
        if draw.random() < 0.05:
            return [((named(CONTROL), 0), Said("p", row, b"nobody can read this", good=False))]
        said = self.record(CONTROL, "p", row)
        return [((named(CONTROL), 0), said)] * (2 if draw.random() < 0.1 else 1)

    # ---- what must come of it ------------------------------------------------------------------------------------

    def state(self, part: Part, snapshot: bytes) -> Any:
        return packing.json_of(packing.unpack(snapshot)["said"])

    def fold(self, part: Part, below: int) -> Any:
        return self.state(part, self._mailbox.snapshot(part[1], below))

    def done(self) -> bool:
        """Whether nothing waits to be sent, besides."""
        if not super().done():
            return False
        self._mailbox.run_all()
        return self.lossy or not self._mailbox.waits()

    def judge(self) -> None:
        self.bad_refused_once()
        rows = [row for part in self.rows(NOTIFICATIONS) for row in part]
        wanted = [
            (channel, event.row["event_id"])
            for event in self.said(CONTROL)
            for channel, kinds in CHANNELS.items()
            if event.row["type"] in {kind.type for kind in kinds}
        ]
        self.as_often("due", [(row["channel"], row["event_id"]) for row in rows if row["step"] == DUE], wanted)
        sent = [row for row in rows if row["step"] == SENT]
        if len({row["step"] for row in rows} - {DUE, SENT}):
            self.note("something was given up, though every receiver takes it the second time")
        for row in sent:
            if (row["message_id"], row["count"]) not in self._taken:
                self.note(f"{row['message_id']} is told to be sent, and was not")
        self._mailbox.run_all()
        told: Counter[str] = Counter()
        for identity, count in {(row["message_id"], row["count"]) for row in sent}:
            told[identity.partition("/")[0]] += count
        later = self._mailbox.later()
        for channel in CHANNELS:
            due = len({event for name, event in wanted if name == channel})
            if not self.lossy and told[channel] + later[channel] != due:
                self.note(f"{channel}: {due} events, {told[channel]} were told, {later[channel]} wait for their window")


class MailboxFold(Fold):
    """What one process makes of the notifications that there are."""

    def begin(self, partition: int) -> None:
        """Nothing is kept beside the service's own state."""

    def take(self, partition: int, batch: Batch) -> None:
        self._service.replay(self._service.admit(batch, 0.0).batch)

    def waits(self) -> bool:
        """Whether messages should have been sent by now."""
        return any(queue["waiting"] for queue in self._said().values())

    def _said(self) -> Any:
        return packing.json_of(packing.unpack(self.snapshot(0, self._read[0]))["said"])

    def later(self) -> Counter[str]:
        """Events by channel that are told at the end of a window; those that should have been told by now are not."""
        return Counter(
            {
                channel: sum(len(letter["events"]) for _, _, letter in queue["windows"].values() if letter)
                for channel, queue in self._said().items()
            }
        )
