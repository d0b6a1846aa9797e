"""A revision changes a view that another entity keys: what it is told is kept apart, and each event finds its own."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from random import Random

from headrace.domain.revisions.revision import BUILDING, SWITCHING, Revision, digest_of
from headrace.streaming.task.runner import Runner
from tests.simulated.broker import Broker, Offset
from tests.simulated.groups import Part
from tests.simulated.log import Log, Transaction
from tests.simulated.plan import Plan
from tests.simulated.process import SimulatedLibrary
from tests.simulated.product.contracts import contracts, decode
from tests.simulated.product.product_scene import Said
from tests.simulated.product.shared_store import ProcessStore, SharedStore
from tests.simulated.product.view_answers import faults
from tests.simulated.product.views_scene import ViewsScene
from tests.simulated.scene import PIPELINE, Row, Store, named

LATER = {"r": "m", "w": "v", "t": "l"}
"""First letters of members of the second revision, with those of the first that do the same."""


class LaterScene(ViewsScene):
    """Members of the second revision, and what they leave behind.

    Attributes:
        shared: whether both have the same view, and members of one group keep it.
    """

    def __init__(self, plan: Plan) -> None:
        self.shared = "shared" in plan.variants and "labels" not in plan.variants
        super().__init__(plan)
        if self._labels:
            self.inputs = ("events", self.topic, self._exchange, "labels")

    def file(self) -> Path:
        return (
            super()
            .file()
            .with_name(
                "labelled_revised.yaml" if self._labels else f"shipments_{'shared' if self.shared else 'revised'}.yaml"
            )
        )

    def join(self, broker: Broker, scene: ViewsScene) -> None:
        """Be there beside the members of the first one."""
        self.broker, self.events = broker, scene.events
        for logical in self.inputs:
            if named(logical) not in broker.topics:
                broker.create(named(logical), self.plan.partitions)
        self._folds = self._made_folds()

    def letters(self) -> list[str]:
        """First letters of its members."""
        return [letter for letter, same in LATER.items() if same in self._crews and not (self.shared and same == "v")]

    def group_of(self, topic: str) -> str:
        return (
            f"{PIPELINE}.labels.depot.r2"
            if topic in (named(self._exchange), named("labels"))
            else super().group_of(topic)
        )

    def place(self, logical: str) -> int:
        return 1 if logical == self._exchange else 0


class HandoverScene(ViewsScene):
    """Events as `ViewsScene` has them, members of two revisions with a view each, and at some event the switch."""

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan)
        self.after = LaterScene(plan)
        draw = Random(f"revision {plan.seed}")
        self._switch_at, self._patient = draw.randrange(plan.events), draw.random() < 0.8

    @property
    def switched(self) -> bool:
        """Whether the first revision was told to give way: what is published may be taken back."""
        return any(row["state"] == SWITCHING for part in self.rows("revisions") for row in part)

    def open(self, broker: Broker) -> None:
        super().open(broker)
        self.after.join(broker, self)
        told = self._fact(BUILDING)
        broker.append((named("revisions"), 0), told.key.encode(), told.value)

    def names(self) -> list[str]:
        return [
            *super().names(),
            *(f"{letter}{number}" for number in range(max(self.plan.members, 1)) for letter in self.after.letters()),
        ]

    def groups(self) -> list[str]:
        return [*super().groups(), *self.after.groups()]

    def member(self, name: str, library: SimulatedLibrary, store: Store) -> Runner:
        if self._store is None:
            self._store = SharedStore(store, lambda: [*self._shelves(), *self.after._shelves()])
        if name[0] not in LATER:
            return super().member(name, library, store)
        letter = LATER[name[0]]
        parts = self._parts(letter, ProcessStore(library.process, self._store))
        return self.after._crews[letter].member(self.plan, name, library, *parts)

    def publish(self, draw: Random, number: int) -> Sequence[tuple[Part, Said]]:
        told = list(super().publish(draw, number))
        due = number >= self._switch_at and (not self._patient or self._begun() or number == self.plan.events - 1)
        if due and not self.switched:
            told.insert(draw.randrange(len(told) + 1), ((named("revisions"), 0), self._fact(SWITCHING)))
        return told

    def _begun(self) -> bool:
        """Whether the first revision has answered some events, so that there is something to follow."""
        first = [ViewsScene.committed(self, log) for log in self.broker.topics[named("events")]]
        return all(offset is not None and offset[0] > 2 for offset in first)

    def _fact(self, state: str) -> Said:
        made = Revision(
            2, state, 1, digest_of(contracts(self.after.pipeline).pipeline), "", 0, "somebody", "a schedule"
        )
        return self.record("revisions", f"{PIPELINE}/2", made.row(PIPELINE))

    # ---- how far it is -----------------------------------------------------------------------------------------------

    def committed(self, log: Log) -> Offset | None:
        """What is answered of a partition: by the first revision, or by the second once that has ended."""
        first = super().committed(log)
        second = self.after.committed(log) if log.topic == named("events") else None
        return first if second is None or _spoken(second).get("silent") else second

    def answered(self, log: Log) -> bool:
        first = ViewsScene.committed(self, log)
        if log.topic == named("events") and self.switched and first is not None and not _spoken(first).get("ended"):
            return False
        return super().answered(log)

    def standing(self) -> str:
        offsets = [(log.partition, ViewsScene.committed(self, log), self.after.committed(log)) for log in self.logs()]
        return f"{super().standing()}, switched: {self.switched}, {offsets}, {self.after.standing()}"

    def retire(self) -> None:
        for log in [*self.logs(), *self.after.logs()]:
            if log.topic != named("events"):
                scenes = [scene for scene in (self, self.after) if log.topic in map(named, scene.inputs)]
                theirs = [
                    self.broker.offsets.get((scene.group_of(log.topic), log.topic, log.partition)) for scene in scenes
                ]
            else:
                theirs = [ViewsScene.committed(self, log), self.after.committed(log)]
                if theirs[0] is not None and _spoken(theirs[0]).get("ended"):
                    theirs = theirs[1:]
            log.cut(min(0 if each is None else int(_spoken(each).get("checkpoint", 0)) for each in theirs))

    def lose(self, draw: Random) -> None:
        """Nothing is lost: what becomes of a revision then is what becomes of `enrich`."""

    def told(self, group: str, part: Part, offset: Offset, transaction: Transaction | None) -> None:
        super().told(group, part, offset, transaction)
        if group not in super().groups():
            self.after.told(group, part, offset, transaction)
        for breach in self.after.breaches:
            self.note(f"revision 2: {breach}")

    # ---- what must come of it ----------------------------------------------------------------------------------------

    def judge(self) -> None:
        entries, late = self._passed()
        self._judge_refusals(late)
        self._add_reports(entries)
        told = self._answers()
        self.each_once("answered", [row["event_id"] for _, row in told], entries)
        starts = {log.partition: self._start(log) for log in self.broker.topics[named("events")]}
        for revision, row in told:
            entry, name = entries.get(row["event_id"]), row["event_id"]
            if entry is None:
                continue
            wanted = 2 if entry.place[1] >= starts[entry.place[0]] else 1
            if revision != wanted:
                self.note(f"{name} was answered by revision {revision}, and is revision {wanted}'s")
            own = {what: row["customer"][what] for what in entry.own}
            if own != entry.own:
                self.note(f"{name} was answered {row['customer']}, and deserves {entry.own}")
            age, windows = row["depot_age"] or 0, self.windows if revision == 1 else self.after.windows
            for fault in faults(entry, entries.values(), row["depot"], age, windows, self._labels):
                self.note(f"{name} of revision {revision}, {age} ms old, was answered {fault}")

    def _answers(self) -> list[tuple[int, Row]]:
        """All features, with the revision whose they are, each as that one has them."""
        found = []
        for log in self.broker.topics[named("features")]:
            for _, entry in log.history():
                value = entry.value or b""
                revision = int.from_bytes(value[1:5], "big")  # ids of schemas are those of revisions, see `FirstIds`
                path = self.pipeline if revision == 1 else self.after.pipeline
                found += [(revision, row) for row in decode("features", [value], path)]
        return found

    def _start(self, log: Log) -> int:
        """From where on the second revision answers."""
        first, second = ViewsScene.committed(self, log), self.after.committed(log)
        if first is None or not _spoken(first).get("ended"):
            return log.end
        if second is not None and second[0] < first[0]:
            self.note(f"{log.partition} was ended at {first}, and is followed to {second}")
        return first[0]


def _spoken(offset: Offset) -> dict[str, object]:
    spoken: dict[str, object] = json.loads(offset[1] or "{}")
    return spoken
