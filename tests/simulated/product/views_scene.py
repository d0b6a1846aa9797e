"""A view that another entity keys: two groups, of enrich and of views, and the store between them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from random import Random

from headrace.columnar import packing
from headrace.domain.features.store_keys import Shelves
from headrace.errors import Transient
from headrace.stores.online import Asked, Found, MemoryStore, Publication, Values
from headrace.streaming.records.batch import Batch
from headrace.streaming.task.runner import Runner
from headrace.streaming.task.service import Service
from services.enrich import app as enrich
from services.enrich.settings import EnrichSettings
from services.views import app as views
from services.views.settings import ViewsSettings
from tests.simulated.broker import Broker
from tests.simulated.groups import Part
from tests.simulated.plan import Plan
from tests.simulated.process import Process, SimulatedLibrary
from tests.simulated.product.contracts import contracts
from tests.simulated.product.product_scene import MINUTE, SECOND, Fold, ProductScene, Said
from tests.simulated.scene import PIPELINE, Row, Store, named
from tests.simulated.settings import SESSION_MS, Simulated, of_member

VIEW = "view.depot"
CUSTOMERS, DEPOTS = 4, 2
LATENESS, DELAY = 2 * SECOND, 4 * SECOND
OWN: Mapping[str, int] = {"1m": MINUTE}
WINDOWS: Mapping[str, int] = {"5s": 5 * SECOND, "1m": MINUTE}
HEAVIEST = 100
LEAST_ROWS = 4
"""Of a batch: every source tells each partition of the view time and again that it is idle."""


class EnrichingMember(Simulated, EnrichSettings):
    """Settings of a member of `enrich`."""


class ViewsMember(Simulated, ViewsSettings):
    """Settings of a member of `views`."""


class SharedStore(MemoryStore):
    """The store that all members have. It may lose what it holds of a partition.

    Args:
        faults: when it does.
        shelves: keys, by partition.
    """

    def __init__(self, faults: Store, shelves: Sequence[bytes]) -> None:
        super().__init__()
        self._faults = faults
        self._keys = shelves

    def open(self) -> None:
        """A call comes: it is answered or not, by what there is now. Raises Transient."""
        if self._faults.slow():
            raise Transient("the store does not answer")
        for partition, key in enumerate(self._keys):
            if self._faults.lacks(partition):
                self.shelves.pop(key, None)


class ProcessStore:
    """The shared store as one process calls it: others go on before and after a call, and a dead process makes none."""

    def __init__(self, process: Process, shared: SharedStore) -> None:
        self._process = process
        self._shared = shared

    def _open(self) -> SharedStore:
        self._process.point("store")
        self._shared.open()
        return self._shared

    def read(self, asked: Asked) -> Found:
        """See `headrace.stores.online.Store`."""
        found = self._open().read(asked)
        self._process.point("store answered")
        return found

    def offsets(self, shelves: Sequence[bytes]) -> list[int | None]:
        """As `read`."""
        found = self._open().offsets(shelves)
        self._process.point("store answered")
        return found

    def publish(
        self, shelf: bytes, offset: int, values: Values, previous: int | None = None, anew: bool = False
    ) -> Publication:
        """As `read`."""
        found = self._open().publish(shelf, offset, values, previous, anew)
        self._process.point("store answered")
        return found

    def drop(self, shelf: bytes, offset: int) -> bool:
        """As `read`."""
        found = self._open().drop(shelf, offset)
        self._process.point("store answered")
        return found

    def keys(self, prefix: bytes) -> Iterator[list[bytes]]:
        """As `read`."""
        yield from self._open().keys(prefix)


class ViewsScene(ProductScene):
    """Events as they happen, a little out of order, some wrong or again; a store that is slow, or loses what it has.

    They are published outside of transactions: until one has ended its records cannot be read, and time by which the
    simulator's may end late is more than events may be late here.
    """

    service = "enrich"
    inputs = ("events", VIEW)
    outputs = ("features",)
    in_transactions = False
    pipeline = Path(__file__).parent / "shipments.yaml"

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan)
        common = {"pipeline": str(self.pipeline), "session_timeout_ms": SESSION_MS, "mode": "exactly_once"}
        self._enrich = EnrichingMember(**common)
        self._views = ViewsMember(**common)
        self._store: SharedStore | None = None

    def open(self, broker: Broker) -> None:
        super().open(broker)
        one, other = self._undisturbed()
        self._folds = {"events": RowFold(self, one, "events"), VIEW: RowFold(self, other, VIEW)}

    def names(self) -> list[str]:
        """Of each group at least one member."""
        return [f"{letter}{number}" for number in range(max(self.plan.members, 1)) for letter in "mv"]

    def groups(self) -> list[str]:
        return [self.group_of(named(logical)) for logical in self.inputs]

    def group_of(self, topic: str) -> str:
        return f"{PIPELINE}.views.depot" if topic == named(VIEW) else self.group

    def place(self, logical: str) -> int:
        return 0  # Each is the only input of its service.

    def member(self, name: str, library: SimulatedLibrary, store: Store) -> Runner:
        if self._store is None:
            keys = Shelves(PIPELINE, "depot", contracts(self.pipeline).pipeline.views["depot"].version)
            count = self.count(VIEW)
            self._store = SharedStore(store, [keys.of(partition, count) for partition in range(count)])
        own = of_member(self.plan, name, library)
        own["mode"] = "exactly_once"
        own["batch_rows"] = max(own["batch_rows"], LEAST_ROWS)
        mine = ProcessStore(library.process, self._store)
        if name.startswith("v"):
            return views.build(self._views.model_copy(update=own), contracts(self.pipeline), mine)
        return enrich.build(self._enrich.model_copy(update=own), contracts(self.pipeline), mine)

    def _undisturbed(self) -> tuple[Service, Service]:
        """Both services, of processes that nothing happens to."""
        read = contracts(self.pipeline)
        one = enrich.build(EnrichSettings(pipeline=str(self.pipeline)), read, MemoryStore()).service
        other = views.build(ViewsSettings(pipeline=str(self.pipeline)), read, MemoryStore()).service
        for service in (one, other):
            service.start(self.partitions())
        return one, other

    def publish(self, draw: Random, number: int) -> Sequence[tuple[Part, Said]]:
        who, fate = draw.randrange(CUSTOMERS), draw.random()
        where = (named("events"), who % self.plan.partitions)
        row = {
            "parcel": f"e{number}", "sent_at": self.broker.milliseconds() - draw.randrange(LATENESS - SECOND),
            "customer": f"c{who}", "depot": f"d{draw.randrange(DEPOTS)}", "weight": draw.randint(0, HEAVIEST),
        }  # fmt: skip  # one line's worth
        if fate < 0.05:
            return [(where, self.record("events", row["customer"], row | {"weight": HEAVIEST + 1}, good=False))]
        if fate < 0.08:
            return [(where, Said(row["customer"], row, b"nobody can read this", good=False))]
        return [(where, self.record("events", row["customer"], row))] * (2 if fate > 0.9 else 1)

    # ---- what must come of it ------------------------------------------------------------------------------------

    def state(self, part: Part, snapshot: bytes) -> str:
        columns = packing.unpack(snapshot)
        plain = [(name, column.tolist()) for name, column in sorted(columns.items())]
        return hashlib.sha256(repr(plain).encode()).hexdigest()[:12]

    def fold(self, part: Part, below: int) -> str:
        return self.state(part, self._folds[part[0].partition(".")[2]].snapshot(part[1], below))

    def judge(self) -> None:
        self.bad_refused_once()
        events = {event.row["parcel"]: event.row for event in self.said("events")}
        told = [row for rows in self.rows("features") for row in rows]
        self.each_once("answered", [row["event_id"] for row in told], events)
        if self.lossy:
            return
        before: dict[str, list[Row]] = {}
        for _, event in sorted(self.events.items()):
            if event.good and event.row not in before.setdefault(event.row["customer"], []):
                before[event.row["customer"]].append(event.row)
        for row in told:
            event = events.get(row["event_id"])
            if event is not None:
                mine = before[event["customer"]]
                wanted = _windows(event["sent_at"], mine[: mine.index(event) + 1], OWN)
                if row["customer"] != wanted:
                    self.note(f"{row['event_id']} was answered {row['customer']}, and deserves {wanted}")
                self._of_depot(row, event["sent_at"] - DELAY, [each for each in events.values() if _same(each, event)])

    def _of_depot(self, row: Row, until: int, events: Sequence[Row]) -> None:
        """All that there is of a depot; without what is younger than that by no more than the age, where there is one.

        An event has an age that is dated beyond what is credible of its partition, while others stand still (ADR 18).
        """
        wanted, age = _windows(until, events, WINDOWS), row["depot_age"] or 0
        least = _windows(until, [each for each in events if each["sent_at"] <= until - age], WINDOWS)
        if any(not least[name] <= row["depot"][name] <= wanted[name] for name in wanted):
            self.note(f"{row['event_id']} was answered {row['depot']}, {age} ms old, and deserves {wanted}")


def _same(event: Row, other: Row) -> bool:
    return bool(event["depot"] == other["depot"])


def _windows(until: int, events: Sequence[Row], windows: Mapping[str, int]) -> Row:
    """What is asked of windows that end at a time."""
    found: dict[str, float] = {}
    for name, duration in windows.items():
        weights = [each["weight"] for each in events if until - duration < each["sent_at"] <= until]
        found |= {f"sent_{name}": len(weights), f"kilos_{name}": sum(weights)}
    return found


class RowFold(Fold):
    """The fold of one of the inputs."""

    def begin(self, partition: int) -> None:
        """Nothing comes of a partition but its state."""

    def take(self, partition: int, batch: Batch) -> None:
        admitted = self._service.admit(batch, 0.0).batch
        if len(admitted):
            self._service.replay(admitted)
