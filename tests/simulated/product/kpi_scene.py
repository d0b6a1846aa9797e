"""Rules over figures: cards, drift and predictions come; each breach, its end and each time unknown is told once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any

from headrace.columnar import packing
from headrace.domain.control.events import read_event
from headrace.domain.control.kpi import KpiBreached, KpiFinding, KpiRecovered
from headrace.domain.kpi.activity import STALE
from headrace.domain.kpi.fold import KpiFold
from headrace.domain.kpi.parts import CARD, CLOCK, DRIFT_ROW, PARTS, READ, content_of
from headrace.streaming.records.batch import Batch
from headrace.streaming.task.runner import Runner
from headrace.streaming.task.service import Service
from services.kpi.app import build
from services.kpi.events import KPIS, event_of
from services.kpi.service import CONTROL, Kpis
from services.kpi.settings import KpiSettings
from tests.kpi.test_kpi_service import card, column
from tests.simulated.broker import Broker
from tests.simulated.groups import Part
from tests.simulated.plan import Plan as Schedule
from tests.simulated.process import SimulatedLibrary
from tests.simulated.product.crew import Crew
from tests.simulated.product.product_scene import HOUR, Fold, ProductScene, Said
from tests.simulated.scene import Store, named

WATCHED = Path(__file__).parent / "watched.yaml"
UNREADABLE = b"nobody can read this"
TURN_S = 40
"""After so many seconds the lag is another one."""
CAUGHT_UP = "kpi has read"
"""What a rule says that waits until the service has caught up begins so."""
ROWS = 200
"""Of the first card; each has one more, by which it is known."""


class LagsByClock:
    """Lags that come, stay, cannot be asked for, and go, by the clock of whoever asks."""

    def start(self) -> None:
        """Nothing has to be asked."""

    def lags(self, now: float) -> Mapping[str, Any]:
        """Of `score`."""
        turns = [0, 0.0], [9, 1.0], [9, 2.0], "Kafka does not say", "Kafka does not say"
        return {"score": turns[int(now // TURN_S) % len(turns)]}


class KpiScene(ProductScene):
    """Cards of windows, which are corrected; drift of all columns together; predictions; and what nobody can read.

    Cards of one window lie on one partition, so that the newest of them is the same for whoever reads them.
    """

    service = "kpi"
    pipeline = WATCHED
    inputs = Kpis.inputs
    outputs = (KPIS, CONTROL)
    counts = {PARTS: 1, "dead-letters": 1, KPIS: 1, CONTROL: 1}  # noqa: RUF012 - nobody changes it
    waits_by_the_clock = True

    def __init__(self, plan: Schedule) -> None:
        super().__init__(plan)
        self.crew = Crew(build, KpiSettings, WATCHED)
        self._cards = 0

    def open(self, broker: Broker) -> None:
        super().open(broker)
        self._began = int(broker.wall * 1000) // HOUR * HOUR
        self._parts = PartsFold(self, self.undisturbed(), PARTS)
        self._alone, self._taken, self._decided = KpiFold(), 0, list[str]()

    def member(self, name: str, library: SimulatedLibrary, store: Store) -> Runner:
        return self.crew.member(self.plan, name, library, LagsByClock())

    def undisturbed(self) -> Service:
        return self.crew.undisturbed(self.partitions(), LagsByClock())

    # ---- what is published ---------------------------------------------------------------------------------------

    def publish(self, draw: Random, number: int) -> Sequence[tuple[Part, Said]]:
        return [*self._card(draw, number), *self._others(draw, number)]

    def _card(self, draw: Random, number: int) -> Iterator[tuple[Part, Said]]:
        """A card of the newest window or, now and then, another one of an earlier window."""
        window = max(0, number // 2 - (draw.randint(1, 3) if draw.random() < 0.3 else 0))
        self._cards += 1
        start = self._began + window * HOUR
        row = card(0, draw.choice((0.2, 0.4, 0.6, 0.9))) | {
            "window_start": start, "window_end": start + HOUR, "predictions": ROWS + self._cards,
            "outcomes": ROWS + self._cards, "mature": draw.random() < 0.9,
        }  # fmt: skip  # one line for what belongs together
        place = (named("scorecards"), window % self.count("scorecards"))
        if draw.random() < 0.05:
            yield place, Said("m", row, UNREADABLE, good=False)
        else:
            yield place, self.record("scorecards", "m", row)

    def _others(self, draw: Random, number: int) -> Iterator[tuple[Part, Said]]:
        if draw.random() < 0.5:
            row = column("", self._began + number, draw.choice((0.2, 0.9, 1.5)))
            yield (named("drift"), 0), self.record("drift", "d", row)
        for at in range(draw.choice((0, 0, 1, 5))):
            time = int(self.broker.wall * 1000)
            row = {
                "prediction_id": f"p{number}.{at}", "event_id": f"e{number}.{at}", "entity": "c", "event_time": time,
                "ingest_time": time, "predicted_time": time + 3, "arm": "champion", "plan_version": 1, "score": 0.5,
                "model": {"name": "m", "version": "1", "digest": "d"}, "decision": True, "compute_micros": 2.0,
                "event": {"weight": 1},
                "customer": {f"{what}_{window}": 1 for what in ("sent", "kilos", "most") for window in ("1m", "10m")},
            }  # fmt: skip  # one line for what belongs together
            yield (
                (named("predictions"), draw.randrange(self.count("predictions"))),
                self.record("predictions", "c", row),
            )

    # ---- what must come of it ------------------------------------------------------------------------------------

    def state(self, part: Part, snapshot: bytes) -> Any:
        return packing.json_of(packing.unpack(snapshot)["said"])

    def fold(self, part: Part, below: int) -> Any:
        return self.state(part, self._parts.snapshot(part[1], below))

    def done(self) -> bool:
        """Whether the clock was told after the newest card, besides, with all read up to about then."""
        if not super().done() or self.broker.transactions.unsettled:
            return False
        kinds = self._go_on()
        if self.lossy:
            return True
        others = [at for at, kind in enumerate(kinds) if kind in (CARD, DRIFT_ROW)]
        told = CLOCK in kinds[max(others, default=-1) + 1 :]
        return told and (self._ahead() or not any(map(self._waits, self._alone.states)))

    def _ahead(self) -> bool:
        """Whether somebody's clock was so far ahead that rules wait until all others have come as far."""
        return self._alone.now > self.broker.wall * 1000 + STALE / 2

    def _waits(self, rule: str) -> bool:
        return (self._alone.states[rule].reading.unknown or "").startswith(CAUGHT_UP)

    def _go_on(self) -> list[str]:
        """Fold what is new among the parts, as one process would; the kinds of all of them, in order."""
        (rows,) = self.rows(PARTS)
        told = [content_of(row) for row in rows]
        for kind, said in told[self._taken :]:
            self._decided += [event_of("p", each).event_id for each in self._alone.take(kind, said)]
        self._taken = len(told)
        return [kind for kind, _ in told]

    def judge(self) -> None:
        self.bad_refused_once()
        self._go_on()
        (rows,), (control,) = self.rows(PARTS), self.rows(CONTROL)
        told = [content_of(row) for row in rows]
        self.as_often(
            "taken up of cards",
            [said["predictions"] for kind, said in told if kind == CARD],
            [event.row["predictions"] for event in self.said("scorecards")],
        )
        self.as_often(
            "taken up of drift",
            [said["time"] for kind, said in told if kind == DRIFT_ROW],
            [event.row["time"] for event in self.said("drift")],
        )
        counted: Counter[str] = Counter()
        for kind, said in told:
            if kind == READ:
                counted[said["topic"]] += sum(span[0] for span in said["spans"].values())
        if not self.lossy and counted["predictions"] != len(self.said("predictions")):
            self.note(f"{counted['predictions']} predictions were counted of {len(self.said('predictions'))}")
        events = [event for row in control if (event := read_event(row)) is not None]
        names = [event.event_id.replace("/simulated/", "/p/", 1) for event in events]
        if not self.lossy and names != self._decided:
            self.note(f"told was {names}, and one process tells {self._decided}")
        self._by_turns([event.finding for event in events if isinstance(event.finding, KpiFinding)])

    def _by_turns(self, findings: Sequence[KpiFinding]) -> None:
        """Of each rule a breach and its end come by turns; and at the end it is as the cards say, without a fold."""
        for rule in self._alone.states:
            turns = [
                isinstance(each, KpiBreached)
                for each in findings
                if each.rule == rule
                and (isinstance(each, KpiBreached) or (isinstance(each, KpiRecovered) and each.was == "breached"))
            ]
            if turns != [at % 2 == 0 for at in range(len(turns))]:
                self.note(f"{rule}: breaches and their ends do not come by turns: {turns}")
            bad = self._bad(rule) if rule in ("low", "moved") and not self.lossy and not self._waits(rule) else None
            if bad is not None and bool(turns and turns[-1]) != bad:
                self.note(f"{rule}: {turns} was told, and it is {'beyond its bounds' if bad else 'within them'}")

    def _bad(self, rule: str) -> bool | None:
        """Whether a rule is beyond its bounds now, by what was published alone; None: nobody can say."""
        if rule == "moved":
            rows = [event.row for event in self.said("drift")]
            return bool(rows[-1]["evidence"] > 1) if rows else None
        newest: dict[int, float] = {}
        for event in self.said("scorecards"):
            if event.row["mature"]:
                newest[event.row["window_start"]] = event.row["figures"][0]["value"]
        return newest[max(newest)] < 0.5 if newest else None


class PartsFold(Fold):
    """What one process makes of the parts that there are."""

    def begin(self, partition: int) -> None:
        """Nothing is kept beside the service's own state."""

    def take(self, partition: int, batch: Batch) -> None:
        self._service.replay(self._service.admit(batch, 0.0).batch)
