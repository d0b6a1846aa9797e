"""A view that another entity keys: groups of enrich, of views and perhaps of labels, and the store between them."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from itertools import zip_longest
from pathlib import Path
from random import Random

import numpy as np

from headrace.columnar import packing
from headrace.columnar.partitioner import murmur2
from headrace.domain.features.redistribution import Columns, taken
from headrace.domain.features.store_keys import Shelves
from headrace.domain.revisions.revision import group_of
from headrace.operations.repartition import GroupMember, moved
from headrace.operations.services import SERVICES
from headrace.stores.online import MemoryStore
from headrace.stores.online import Store as AnyStore
from headrace.streaming.records.batch import Batch
from headrace.streaming.task.runner import Runner
from headrace.streaming.watermarks.sources import COLUMNS
from services.enrich import app as enrich
from services.enrich.redistribution import moved_events
from services.enrich.settings import EnrichSettings
from services.labels import app as labels
from services.labels.service import Labelling
from services.labels.settings import LabelsSettings
from services.views import app as views
from services.views.redistribution import moved_updates
from services.views.settings import ViewsSettings
from tests.simulated.broker import Broker
from tests.simulated.groups import Part
from tests.simulated.log import Log
from tests.simulated.plan import Plan
from tests.simulated.process import SimulatedLibrary
from tests.simulated.product.contracts import contracts
from tests.simulated.product.crew import Crew
from tests.simulated.product.product_scene import HOUR, MINUTE, SECOND, Fold, ProductScene, Said
from tests.simulated.product.shared_store import ProcessStore, SharedStore
from tests.simulated.product.view_answers import LATENESS, Entry, Passed, Report, Sound, faults
from tests.simulated.scene import PIPELINE, Row, Store, named

CUSTOMERS, DEPOTS = 4, 2
HEAVIEST = 100
LEAST_ROWS = 4
"""Of a batch: every source tells each partition of the view time and again that it is idle."""
AGO = (40 * SECOND, 10 * MINUTE, 3 * HOUR)
"""How long ago what is published at once happened."""


class ViewsScene(ProductScene):
    """Events as they happen, a little out of order, some wrong or again; a store that is slow, or loses what it has.

    They are published outside of transactions: until one has ended its records cannot be read, and time by which the
    simulator's may end late is more than events may be late here.

    Attributes:
        topic: of the view.
        windows: of the view.

    With `backfill` some of long ago come at once, first or while others are live. With `labels` the view folds labels,
    which come early, late, again, corrected, wrong, or of nobody. With `growth` the events and the view's topic get
    another partition each, and what services remember is moved.
    """

    service = "enrich"
    outputs = ("features",)
    in_transactions = False
    waits_by_the_clock = True

    def __init__(self, plan: Plan) -> None:
        self._labels = "labels" in plan.variants
        if self._labels:  # All sources tell all partitions of two topics time and again that they are idle.
            plan = replace(plan, members=min(plan.members, 2), partitions=min(plan.partitions, 2))
        super().__init__(plan)
        self.pipeline = self.file()
        view = contracts(self.pipeline).pipeline.views["depot"]
        self._exchange = view.exchange
        self.topic, self.windows = view.topic, dict(zip(view.window_names, view.windows, strict=True))
        self._views_group = f"{PIPELINE}.views.{view.title}"
        self.group = group_of(PIPELINE, contracts(self.pipeline).pipeline.revision)
        self.inputs = (
            ("events", self.topic, self._exchange, *Labelling.inputs[:3]) if self._labels else ("events", self.topic)
        )
        answers = {"predictions": 1, "shadow-predictions": 1} if self._labels else {}
        self.counts = {"revisions": 1, **answers}
        own = Crew(enrich.build, EnrichSettings, self.pipeline, LEAST_ROWS)
        self._crews = {"m": own, "v": Crew(views.build, ViewsSettings, self.pipeline, LEAST_ROWS)}
        if self._labels:
            alone = {"view": view.name} if view.revision > 1 else {}
            self._crews["l"] = Crew(labels.build, LabelsSettings, self.pipeline, LEAST_ROWS, **alone)
        self._store: SharedStore | None = None
        chance = Random(f"history {plan.seed}")
        first = 0 if chance.random() < 0.6 else chance.randrange(plan.events)
        self._grows = "growth" in plan.variants
        self._grows_at = chance.randrange(plan.events // 2)
        self._ends: list[int] | None = None
        self._history_at = first if "backfill" in plan.variants else None
        self._more: list[tuple[Part, Said]] = []

    def file(self) -> Path:
        """The pipeline's."""
        return Path(__file__).parent / ("labelled.yaml" if self._labels else "shipments.yaml")

    def open(self, broker: Broker) -> None:
        super().open(broker)
        if self._labels:
            broker.create(named("outcomes"), 1)
        self._folds = self._made_folds()

    def _made_folds(self) -> dict[str, RowFold]:
        return {
            logical: RowFold(self, crew.undisturbed(self.partitions(), *self._parts(letter, MemoryStore())), logical)
            for logical, letter in (("events", "m"), (self.topic, "v"), (self._exchange, "l"))
            if (crew := self._crews.get(letter)) is not None
        }

    def _parts(self, letter: str, store: AnyStore) -> tuple[AnyStore, ...]:
        """What a service is given."""
        return () if letter == "l" else (store,)

    def names(self) -> list[str]:
        """Of each group at least one member."""
        return [f"{letter}{number}" for number in range(max(self.plan.members, 1)) for letter in self._crews]

    def groups(self) -> list[str]:
        return list(dict.fromkeys(self.group_of(named(logical)) for logical in self.inputs))

    def group_of(self, topic: str) -> str:
        if topic == named("events"):
            return self.group
        return self._views_group if topic == named(self.topic) else f"{PIPELINE}.labels"

    def place(self, logical: str) -> int:
        return Labelling.inputs.index(logical) if logical in Labelling.inputs else 0

    def member(self, name: str, library: SimulatedLibrary, store: Store) -> Runner:
        if self._store is None:
            self._store = SharedStore(store, self._shelves)
        parts = self._parts(name[0], ProcessStore(library.process, self._store))
        return self._crews[name[0]].member(self.plan, name, library, *parts)

    def _shelves(self) -> list[tuple[int, bytes]]:
        keys = Shelves.of_view(PIPELINE, contracts(self.pipeline).pipeline.views["depot"])
        count = self.count(self.topic)
        return [(partition, keys.of(partition, count)) for partition in range(count)]

    # ---- topics grow ---------------------------------------------------------------------------------------------

    def grow(self) -> None:
        begun = self._store is not None and not self.lossy
        self.growing = self.growing or (self._grows and begun and self._ends is None)

    def lose(self, draw: Random) -> None:
        if not self._grows:  # What is lost would be asked for by who moves state.
            super().lose(draw)

    def retire(self) -> None:
        if not self._grows:  # See `lose`: a partition without a checkpoint is read from its beginning.
            super().retire()

    def add_partitions(self) -> None:
        """What is kept is parted anew; `_ends` has those of what was written before."""
        ends, states = {}, {}
        for logical in ("events", self.topic):
            logs, fold = self.broker.topics[named(logical)], self._folds[logical]
            states[logical] = [packing.unpack(fold.snapshot(log.partition, log.end)) for log in logs]
            self.broker.grow(named(logical))
            ends[logical] = [log.end for log in logs]
        count = self.count("events")
        self._ends, self._folds = ends["events"], self._made_folds()
        self._folds["events"].begin_with(ends["events"], moved_events(states["events"], count, whole_keys=False))
        self._folds[self.topic].begin_with(
            ends[self.topic], moved_updates(states[self.topic], self.count(self.topic), ends[self.topic])
        )

    def move(self, library: SimulatedLibrary) -> None:
        assert self._store is not None, "members had it"
        store = ProcessStore(library.process, self._store)
        names = {"m": "enrich", "v": "views", "l": "labels"}
        members = [
            GroupMember(
                SERVICES[names[letter]], crew.member(self.plan, "repartition", library, *self._parts(letter, store))
            )
            for letter, crew in self._crews.items()
        ]
        settings = self._crews["m"].settings(self.plan, "repartition", library)
        moved(settings, contracts(self.pipeline).pipeline, members, store)

    # ---- what is published ---------------------------------------------------------------------------------------

    def publish(self, draw: Random, number: int) -> Sequence[tuple[Part, Said]]:
        if number >= self._grows_at:
            self.grow()
        told = self._event(draw, number)
        if number == self._history_at:
            told = [*self._history(draw), *told]
        elif self._more:
            told, self._more = [*self._more, *told], []
        if self._labels:
            told += self._reports(draw, number)
        return told

    def _event(self, draw: Random, number: int) -> list[tuple[Part, Said]]:
        who, fate = draw.randrange(CUSTOMERS), draw.random()
        row = self._row(draw, f"e{number}", who, self.broker.milliseconds() - draw.randrange(LATENESS - SECOND))
        if fate < 0.05:
            return [self._sent(who, row | {"weight": HEAVIEST + 1}, good=False)]
        if fate < 0.08:
            where, _ = self._sent(who, row)
            return [(where, Said(row["customer"], row, b"nobody can read this", good=False))]
        return [self._sent(who, row)] * (2 if fate > 0.9 else 1)

    def _row(self, draw: Random, name: str, who: int, time: int) -> dict[str, object]:
        return {
            "parcel": name, "sent_at": time, "customer": f"c{who}", "depot": f"d{draw.randrange(DEPOTS)}",
            "weight": draw.randint(0, HEAVIEST),
        }  # fmt: skip  # one line's worth

    def _sent(self, who: int, row: Row, good: bool = True) -> tuple[Part, Said]:
        home = murmur2(row["customer"].encode()) & 0x7FFFFFFF if self._grows else who
        where = (named("events"), home % self.count("events"))
        return where, self.record("events", row["customer"], row, good)

    def _history(self, draw: Random) -> list[tuple[Part, Said]]:
        """Events of long ago, in order but for a second, of all customers or of some, and labels of most.

        Those of two customers may come with the next event, which is soon enough most often, and too late sometimes.
        """
        who = draw.choice((range(CUSTOMERS), (0, 1), (0,)))
        step, begun = draw.choice((SECOND // 2, 2 * SECOND)), self.broker.milliseconds() - draw.choice(AGO)
        told, reports = [], []
        for number in range(draw.randint(6, 14)):
            customer, time = draw.choice(who), begun + number * step - draw.randrange(SECOND)
            told.append(self._sent(customer, self._row(draw, f"h{number}", customer, time)))
            for lag in draw.choice(((), (SECOND,), (8 * SECOND,), (3 * SECOND, 12 * SECOND))):
                reports.append((time + lag, f"h{number}"))
        if self._labels:
            told += [self._label(draw, name, time) for time, name in sorted(reports)]
        if draw.random() < 0.8:
            self._more = [one for one in told if one[1].key in ("c0", "c1")]
        return [one for one in told if one not in self._more]

    def _reports(self, draw: Random, number: int) -> list[tuple[Part, Said]]:
        """Labels of events of before, and now and then of one that is not there."""
        now = self.broker.milliseconds()
        before = [event.row for event in self.said("events")]
        told: list[tuple[Part, Said]] = []
        for _ in range(draw.choice((0, 1, 2)) if before else 0):
            event = draw.choice(before)
            time = max(now - draw.choice((0, 0, draw.randrange(2 * SECOND), 30 * SECOND)), event["sent_at"])
            told += [self._label(draw, event["parcel"], time)] * draw.choice((1, 1, 1, 2))
        if draw.random() < 0.05:
            told.append(self._label(draw, f"nobody{number}", now))
        if draw.random() < 0.05:
            where, wrong = self._label(draw, f"e{number}", now)
            told.append((where, self.record("labels", wrong.key, {**wrong.row, "value": 7.0}, good=False)))
        return told

    def _label(self, draw: Random, name: str, time: int) -> tuple[Part, Said]:
        """A label; at one time there is one value of an event."""
        value = float(Random(f"{self.plan.seed} {name} {time}").randint(0, 1))
        row = {"event_id": name, "value": value, "label_time": time, "source": ""}
        return (named("labels"), draw.randrange(self.count("labels"))), self.record("labels", name, row)

    # ---- what must come of it ------------------------------------------------------------------------------------

    def state(self, part: Part, snapshot: bytes) -> str:
        columns = packing.unpack(snapshot)
        if self._ends is not None and part[0] != named("events"):
            return str(_heard(columns))
        view = "customer" if part[0] == named("events") else "entities"
        windows = entities(packing.beneath(columns, f"{view}."))
        plain = [
            (name, column.tolist())
            for name, column in sorted(columns.items())
            if not name.startswith(f"{view}.") or "watermark" in name
        ]
        return hashlib.sha256(repr((plain, windows)).encode()).hexdigest()[:12]

    def fold(self, part: Part, below: int) -> str:
        return self.state(part, self._folds[part[0].partition(".")[2]].snapshot(part[1], below))

    def done(self) -> bool:
        """Whether all that was published is; of idle sources there is always more to hear."""
        published = [log for log in self.logs() if log.topic not in (named(self.topic), named(self._exchange))]
        return all(self.answered(log) for log in published)

    def judge(self) -> None:
        entries, late = self._passed()
        self._judge_refusals(late)
        told = [row for rows in self.rows("features") for row in rows]
        self.each_once("answered", [row["event_id"] for row in told], entries)
        if self.lossy:
            return
        self._add_reports(entries)
        for row in told:
            entry = entries.get(row["event_id"])
            if entry is None:
                continue
            if row["customer"] != entry.own:
                self.note(f"{row['event_id']} was answered {row['customer']}, and deserves {entry.own}")
            age = row["depot_age"] or 0
            for fault in faults(entry, entries.values(), row["depot"], age, self.windows, self._labels):
                self.note(f"{row['event_id']}, {age} ms old, was answered {fault}")

    def _judge_refusals(self, late: set[tuple[int, int]]) -> None:
        """Dead letters are of what is refused, and of what came too late, by partition and offset."""
        letters = [
            (row["topic"], row["partition"], row["offset"]) for part in self.rows("dead-letters") for row in part
        ]
        refused = [place for place, event in self.events.items() if self.refused(event)]
        self.as_often("refused", letters, [*refused, *((named("events"), *place) for place in late)])

    def _passed(self) -> tuple[dict[str, Entry], set[tuple[int, int]]]:
        """The events that pass, and the places of those that come too late."""
        logs, found = self.broker.topics[named("events")], Passed()
        ends = self._ends or []
        if ends:
            found.take([self._sound(log, 0, end) for log, end in zip(logs, ends, strict=True)][:-1])
        found.take([self._sound(log, begin, log.end) for log, begin in zip_longest(logs, ends, fillvalue=0)])
        return found.entries, found.late

    def _sound(self, log: Log, begin: int, end: int) -> Sound:
        """Those events of a partition that are not refused whatever came before."""
        return [
            (offset, entry.timestamp, event.row)
            for offset, entry in enumerate(log.entries[begin:end], begin)
            if entry is not None and (event := self.events.get((log.topic, log.partition, offset))) and event.good
        ]

    def _add_reports(self, entries: dict[str, Entry]) -> None:
        """What labels there are of each event."""
        if not self._labels:
            return
        found: dict[str, list[Report]] = defaultdict(list)
        for log in self.broker.topics[named("labels")]:
            after = 0
            for offset, entry in enumerate(log.entries):
                event = self.events.get((log.topic, log.partition, offset))
                if entry is not None and event is not None and event.good:
                    row = event.row
                    found[row["event_id"]].append(Report(row["value"], row["label_time"], entry.timestamp, after))
                    after = max(after, row["label_time"])
        for name, entry in entries.items():
            entry.reports = found[name]


def entities(columns: Columns) -> list[str]:
    """What is kept of each entity, in an order of their own: where one came to lie depends on when others went."""
    count = len(columns.get("sizes", ()))
    each = (taken(columns, np.arange(count) == number) for number in range(count))
    return sorted(str([(name, column.tolist()) for name, column in sorted(one.items())]) for one in each)


def _heard(columns: Columns) -> list[object]:
    """What is kept of sources: after a growth, the windows of views depend on who knew of it when, answers do not."""
    found: list[object] = []
    for kind in ("sources", "exchange"):
        if f"{kind}.next_offset" in columns:
            marks = [columns[f"{kind}.{name}"].tolist() for name in COLUMNS]
            found += [(kind, number, each) for number, each in enumerate(zip(*marks, strict=True)) if each[0] >= 0]
    return found


class RowFold(Fold):
    """The fold of one of the inputs."""

    def begin(self, partition: int) -> None:
        """Nothing comes of a partition but its state."""

    def take(self, partition: int, batch: Batch) -> None:
        admitted = self._service.admit(batch, 0.0).batch
        if len(admitted):
            self._service.replay(admitted)
