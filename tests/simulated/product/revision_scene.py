"""A revision of the pipeline takes the place of the one before while events come: each is answered once, by one."""

from __future__ import annotations

import json
from collections.abc import Sequence
from random import Random

from headrace.domain.revisions.revision import BUILDING, SWITCHING, Revision, digest_of, group_of
from headrace.streaming.records.batch import Batch
from headrace.streaming.task.runner import Runner
from services.enrich.app import build
from services.enrich.settings import EnrichSettings
from tests.simulated.broker import Broker, Offset
from tests.simulated.groups import Part
from tests.simulated.log import Log, Transaction
from tests.simulated.plan import Plan
from tests.simulated.process import SimulatedLibrary
from tests.simulated.product.contracts import REVISED, contracts, rows_of
from tests.simulated.product.crew import Crew
from tests.simulated.product.enrich_scene import EnrichScene, EventFold
from tests.simulated.product.product_scene import Said
from tests.simulated.scene import PIPELINE, Row, Store, named


class RevisedScene(EnrichScene):
    """What the second revision alone would have answered."""

    pipeline = REVISED

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan)
        self.crew = Crew(build, EnrichSettings, REVISED)
        self.group = group_of(PIPELINE, 2)


class RevisionScene(EnrichScene):
    """Events as `EnrichScene` has them, members of two revisions, and at some event the switch."""

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan)
        self.after = RevisedScene(plan)
        draw = Random(f"revision {plan.seed}")
        self._switch_at = draw.randrange(plan.events)

    @property
    def switched(self) -> bool:
        """Whether the first revision was told to give way: what is published may be taken back."""
        return any(row["state"] == SWITCHING for part in self.rows("revisions") for row in part)

    def open(self, broker: Broker) -> None:
        super().open(broker)
        self.after.broker, self.after.events = broker, self.events
        self.after._fold = EventFold(self.after)
        told = self._fact(BUILDING)
        broker.append((named("revisions"), 0), told.key.encode(), told.value)

    def names(self) -> list[str]:
        return [*super().names(), *(f"r{number}" for number in range(self.plan.members))]

    def groups(self) -> list[str]:
        return [self.group, self.after.group]

    def member(self, name: str, library: SimulatedLibrary, store: Store) -> Runner:
        crew = self.after.crew if name.startswith("r") else self.crew
        return crew.member(self.plan, name, library)

    def publish(self, draw: Random, number: int) -> Sequence[tuple[Part, Said]]:
        told = list(super().publish(draw, number))
        if number >= self._switch_at and not self.switched:
            told.insert(draw.randrange(len(told) + 1), ((named("revisions"), 0), self._fact(SWITCHING)))
        return told

    def _fact(self, state: str) -> Said:
        made = Revision(2, state, 1, digest_of(contracts(REVISED).pipeline), "", 0, "somebody", "a schedule")
        return self.record("revisions", f"{PIPELINE}/2", made.row(PIPELINE))

    # ---- how far it is -----------------------------------------------------------------------------------------------

    def committed(self, log: Log) -> Offset | None:
        """What is answered of a partition: by the first revision, or by the second once that has ended."""
        first = super().committed(log)
        second = self.after.committed(log)
        if second is not None and not _spoken(second).get("silent"):
            return second
        return first

    def answered(self, log: Log) -> bool:
        first = EnrichScene.committed(self, log)
        if self.switched and first is not None and not _spoken(first).get("ended"):
            return False
        return super().answered(log)

    def standing(self) -> str:
        offsets = [(log.partition, EnrichScene.committed(self, log), self.after.committed(log)) for log in self.logs()]
        return f"{super().standing()}, switched: {self.switched}, {offsets}"

    def retire(self) -> None:
        for log in self.logs():
            both = [EnrichScene.committed(self, log), self.after.committed(log)]
            kept = [0 if each is None else int(_spoken(each).get("checkpoint", 0)) for each in both]
            ended = both[0] is not None and _spoken(both[0]).get("ended")
            log.cut(kept[1] if ended else min(kept))

    def lose(self, draw: Random) -> None:
        """Nothing is lost: what becomes of a revision then is what becomes of `enrich`."""

    def told(self, group: str, part: Part, offset: Offset, transaction: Transaction | None) -> None:
        super().told(group, part, offset, transaction)
        self.after.told(group, part, offset, transaction)
        for breach in self.after.breaches:
            self.note(f"revision 2: {breach}")

    # ---- what must come of it ----------------------------------------------------------------------------------------

    def judge(self) -> None:
        starts = {log.partition: self._start(log) for log in self.logs()}
        folds = (PlacedFold(self), PlacedFold(self.after))
        wanted: dict[str, tuple[int, Row]] = {}
        refused = {(where[1], where[2]) for where, event in self.events.items() if self._unreadable(where, event)}
        for revision, fold in enumerate(folds):
            fold.run_all()
            theirs = {place for place in fold.answered if (place[1] >= starts[place[0]]) == bool(revision)}
            wanted |= {_named(fold.answered[place], revision + 1): (revision, fold.answered[place]) for place in theirs}
            refused |= {place for place in fold.refused if (place[1] >= starts[place[0]]) == bool(revision)}
        letters = [(row["partition"], row["offset"]) for part in self.rows("dead-letters") for row in part]
        self.as_often("refused", letters, refused)
        told = [row for rows in self.after.rows("features") for row in rows]
        # An id whose event the second one's rules refuse may come again, with other values, and is the first to it.
        self.each_once("answered", [_named(row, row["pipeline_revision"]) for row in told], wanted)
        for row in told:
            revision, deserved = wanted.get(_named(row, row["pipeline_revision"]), (1, {}))
            if not revision:  # Read by the second one: what it has not is gone, what is new is null.
                shared = {
                    name: None if name.endswith("_5m") else deserved["customer"][name] for name in row["customer"]
                }
                deserved = {**deserved, "customer": shared, "sender": {"least_10m": None}, "pipeline_revision": 1}
            if row != deserved:
                self.note(f"{row['event_id']} of revision {revision + 1} was answered {row}, and deserves {deserved}")

    def _start(self, log: Log) -> int:
        """From where on the second revision answers."""
        first, second = EnrichScene.committed(self, log), self.after.committed(log)
        if first is None or not _spoken(first).get("ended"):
            return log.end
        if second is not None and second[0] < first[0]:
            self.note(f"{log.partition} was ended at {first}, and is followed to {second}")
        return first[0]

    def _unreadable(self, where: tuple[str, int, int], event: Said) -> bool:
        return where[0] == named("events") and not event.good


class PlacedFold(EventFold):
    """The fold of events, and where each was answered or refused."""

    def __init__(self, scene: EnrichScene) -> None:
        super().__init__(scene)
        self.answered: dict[tuple[int, int], Row] = {}
        self.refused: set[tuple[int, int]] = set()

    def take(self, partition: int, batch: Batch) -> None:
        admitted = self._service.admit(batch, 0.0)
        self.refused |= {(each.partition, each.offset) for each in admitted.rejects}
        if len(admitted.batch):
            (emit,) = self._service.process(admitted.batch, 0.0).emits
            places = zip(admitted.batch.partition.tolist(), admitted.batch.offset.tolist(), strict=True)
            self.answered |= dict(zip(places, rows_of(emit.columns), strict=True))


def _named(row: Row, revision: int) -> str:
    return f"{row['event_id']} of revision {revision}"


def _spoken(offset: Offset) -> dict[str, object]:
    spoken: dict[str, object] = json.loads(offset[1] or "{}")
    return spoken
