"""The label join: predictions and labels by event id, and what became of each prediction."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import cached_property
from itertools import pairwise
from random import Random
from typing import Any

from headrace.columnar import packing
from headrace.errors import ContractError
from headrace.streaming.records.batch import Batch, Emit
from headrace.streaming.task.service import Service
from services.labels.app import build
from services.labels.service import Labelling
from services.labels.settings import LabelsSettings
from tests.simulated.broker import Broker
from tests.simulated.groups import Part
from tests.simulated.plan import Plan
from tests.simulated.product.contracts import rows_of
from tests.simulated.product.crew import Crew
from tests.simulated.product.product_scene import HOUR, MINUTE, SECOND, Fold, ProductScene, Said
from tests.simulated.scene import Row, named

MATURES, EXPIRES = 10 * MINUTE, 2 * HOUR
SOURCES = ("bank", "police", "neighbour")
"""Of labels, the first believed first; the pipeline file names the first two."""
GROWING = ("labels", "predictions")
IDLE_S = 10.0
SPARE = 99
"""A partition that is not there."""
DAY, EVENTS_OF_A_DAY, APART, LABELLED_AFTER = 30 * MINUTE, 4, 2 * MINUTE, 9 * MINUTE
"""Of bursts: so far apart are days; of events of a day; the first of them have matured by the time of the last labels,
and none by that of its own label or of a prediction of its day.
"""
LEAST_ROWS = 4
"""Of a batch: every source tells each partition of the exchange time and again that it is idle."""
DELAYS = (0, 5 * SECOND, MATURES - 1, MATURES, 2 * MATURES)
LAGS = (0, 0, 1, 4)
"""How many events later a label is published."""
MODELS = (("rival", "2", "canary"), ("simulated", "1", "champion"))
FINAL = (
    "event_id", "event_time", "entity", "score", "arm", "state", "label", "label_time", "label_source", "conflicting",
)  # fmt: skip  # of an outcome, what does not depend on the order in which predictions and labels came


LABEL, PREDICTION = ("event_id", "value", "label_time", "source"), ("prediction_id", "event_time", "entity", "score")


class LabelsScene(ProductScene):
    """Predictions of a champion or a canary and of a challenger, and labels: some early, late, twice, in conflict.

    With `bursts`, predictions of a day and labels of the day before come at once, in the order of time, and those of
    the next day when all was calm.
    """

    service = "labels"
    inputs = Labelling.inputs
    outputs = ("exchange", "outcomes")
    waits_by_the_clock = True
    counts = {"shadow-predictions": 1, "events": 1}  # noqa: RUF012 - nobody changes it

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan)
        self.crew = Crew(build, LabelsSettings, least_rows=LEAST_ROWS, idle_after_s=IDLE_S)

    def open(self, broker: Broker) -> None:
        super().open(broker)
        self._bursts_from = int(broker.wall * 1000) - 40 * HOUR if "bursts" in self.plan.variants else None
        self._fold = ExchangeFold(self)

    def undisturbed(self, added: int = 0) -> Service:
        """As of all scenes. `added`: partitions that topics got since they began."""
        return self.crew.undisturbed(self.partitions() | dict.fromkeys(GROWING, self.plan.partitions + added))

    # ---- what is published ---------------------------------------------------------------------------------------

    def _time(self, number: int) -> int:
        # The first is so old that a label of it may come too late, and yet not lie far from all others.
        age = Random(f"age {self.plan.seed} {number}").randint(0, 50 * MINUTE) if number else HOUR
        return int(self.broker.wall * 1000) - age

    def resting(self) -> bool:
        """With bursts, the next one comes when all was calm."""
        if self._bursts_from is None or not self.events:
            return False
        return not all(map(self._all_idle, self.rows("exchange")))

    def publish(self, draw: Random, number: int) -> Sequence[tuple[Part, Said]]:
        if self._bursts_from is not None:
            return self._burst(draw, number, self._bursts_from)
        told = self._predictions(draw, number)
        for _ in range(draw.choice((0, 1, 1, 2))):
            told += self._label(draw, max(number - draw.choice(LAGS), 0))
        if draw.random() < 0.05:
            told += self._label(draw, number, nobody=True)
        draw.shuffle(told)
        return told

    def _predictions(self, draw: Random, number: int) -> list[tuple[Part, Said]]:
        told: list[tuple[Part, Said]] = []
        if draw.random() < 0.9:
            row = self._prediction(number, *MODELS[number % 4 > 0])
            good = draw.random() >= 0.06
            one = self.record("predictions", row["entity"], row if good else row | {"prediction_id": "another"}, good)
            where = (named("predictions"), draw.randrange(self.count("predictions")))
            told += [(where, one)] * draw.choice((1, 1, 1, 1, 2))
        if draw.random() < 0.3:
            row = self._prediction(number, "dark", "7", "challenger")
            told.append(((named("shadow-predictions"), 0), self.record("shadow-predictions", row["entity"], row)))
        return told

    def _burst(self, draw: Random, number: int, start: int) -> list[tuple[Part, Said]]:
        """Predictions of a day, and labels of most events of the day before."""
        predictions, labels = (
            [(f"d{day}e{event}", start + day * DAY + event * APART) for event in range(EVENTS_OF_A_DAY)]
            for day in (number, number - 1)
        )
        told: list[tuple[Part, Said]] = []
        for name, time in predictions:
            row = self._prediction(number, *MODELS[number % 4 > 0], (name, time))
            told.append(self._anywhere(draw, "predictions", row["entity"], row))
        for name, time in labels:
            row = {"event_id": name, "value": 1.0, "label_time": time + LABELLED_AFTER, "source": SOURCES[0]}
            if draw.random() < 0.8:
                told.append(self._anywhere(draw, "labels", name, row))
        return told

    def _anywhere(self, draw: Random, logical: str, key: str, row: Row) -> tuple[Part, Said]:
        return (named(logical), draw.randrange(self.count(logical))), self.record(logical, key, row)

    def _prediction(
        self, number: int, model: str, version: str, arm: str, which: tuple[str, int] | None = None
    ) -> dict[str, Any]:
        name, time = which or (f"e{number}", self._time(number))
        return {
            "prediction_id": f"{name}/{model}@{version}/{arm}", "event_id": name, "entity": f"c{number % 3}",
            "event_time": time, "ingest_time": time + 20, "predicted_time": time + 30,
            "model": {"name": model, "version": version, "digest": f"digest of {model}"},
            "arm": arm, "plan_version": 3, "score": number % 8 / 8, "decision": number % 8 >= 4, "compute_micros": 2.0,
            "event": {"weight": number},
            "customer": {f"{what}_{window}": number for what in ("sent", "kilos", "most") for window in ("1m", "10m")},
        }  # fmt: skip  # one line for what belongs together

    def _label(self, draw: Random, number: int, nobody: bool = False) -> list[tuple[Part, Said]]:
        name = f"nobody{number}" if nobody else f"e{number}"
        late = number == 0 and draw.random() < 0.3
        row = {
            "event_id": name,
            "value": float(draw.randint(0, 1)),
            # Not before the oldest event's, so that none lies further behind another one than labels are waited for.
            "label_time": self._time(number) + (EXPIRES + draw.choice((0, 1)) if late else draw.choice(DELAYS)),
            "source": draw.choice(SOURCES),
        }
        good = draw.random() >= 0.06
        one = self.record("labels", name, row if good else row | {"value": 7.0}, good)
        where = (named("labels"), draw.randrange(self.count("labels")))
        return [(where, one)] * draw.choice((1, 1, 1, 2))

    def grow(self) -> None:
        for logical in GROWING:
            if self.count(logical) == self.plan.partitions:
                self.broker.grow(named(logical))

    def _grown(self) -> bool:
        """Whether topics have a partition that was not there at first."""
        return self.count("labels") > self.plan.partitions

    # ---- what must come of it ------------------------------------------------------------------------------------

    def state(self, part: Part, snapshot: bytes) -> str:
        self._fold.began(part[1], snapshot)
        return hashlib.sha256(self._fold.grown(snapshot) if self._grown() else snapshot).hexdigest()[:12]

    def fold(self, part: Part, below: int) -> str:
        return self.state(part, self._fold.snapshot(part[1], below))

    def done(self) -> bool:
        return super().done() and all(self._all_proven(rows) for rows in self.rows("exchange"))

    def _all_idle(self, rows: Sequence[Row]) -> bool:
        """Whether the last that an exchange partition was told is that every source is idle."""
        last = {(row["source"], row["source_partition"]): row["idle"] for row in rows}
        return all(last.get((topic, number), False) for topic in GROWING for number in range(self.count(topic)))

    def _all_proven(self, rows: Sequence[Row]) -> bool:
        """Whether all sources of an exchange partition were idle for long enough: then all has matured."""
        if not self._all_idle(rows):
            return False
        written: dict[tuple[str, int], int] = {}
        ends: dict[tuple[str, int], list[int]] = defaultdict(list)
        for row in rows:
            if row["source"] in GROWING:
                source = row["source"], row["source_partition"]
                ends[source] = [*ends[source], row["time"]] if row["idle"] else []
                # A clock may have been an hour ahead: that a source is at its end is told after its records.
                written[source] = min(written.get(source, 0), row["time"]) if row["idle"] else row["time"]
        newest = max(written.values())
        return all(any(2 * one - two >= newest for one, two in pairwise(seen) if two > one) for seen in ends.values())

    def judge(self) -> None:
        self.bad_refused_once()
        for topics, field, names in (
            (("labels",), "labels", LABEL),
            (("predictions", "shadow-predictions"), "predictions", PREDICTION),
        ):
            exchanged = [item for rows in self.rows("exchange") for row in rows for item in row[field]]
            published = [event.row for topic in topics for event in self.said(topic)]
            self.as_often(f"exchanged ({field})", _told(exchanged, names), _told(published, names))
        found = _by_prediction(row for rows in self.rows("outcomes") for row in rows)
        self._as_the_exchange_says(found)
        if not self.lossy:
            self._as_published(found)
        if self._bursts_from is not None and "clock" not in self.plan.rates and not self._grown():
            self._none_too_soon(found)

    def _as_the_exchange_says(self, found: Mapping[str, list[Row]]) -> None:
        """Outcomes are, revision by revision, what one process makes of the exchange."""
        wanted = _by_prediction(self._fold.outcomes())
        for name in sorted({*found, *wanted}):
            for again in (False, True):  # A repeat is told behind what else its batch has led to.
                mine, theirs = (
                    [row for row in rows.get(name, []) if (row["revision"] < 0) == again] for rows in (found, wanted)
                )
                if mine != theirs and not (self.lossy and mine == theirs[: len(mine)]):
                    self.note(f"outcomes of {name} are {_short(mine)}, and the exchange says {_short(theirs)}")

    def _none_too_soon(self, found: Mapping[str, list[Row]]) -> None:
        """What was labelled at once with what its label is judged by was never told to have no label."""
        labelled = {event.row["event_id"] for event in self.said("labels")}
        for name, rows in found.items():
            if rows[0]["event_id"] in labelled and any(row["state"] == "presumed" for row in rows):
                self.note(f"{name} was told to have no label, and its label had been written: {_short(rows)}")

    def _as_published(self, found: Mapping[str, list[Row]]) -> None:
        """What holds in the end follows from which predictions and labels there are, whatever came when."""
        labels, predictions = self.said("labels"), self.said("predictions")
        newest = max(
            [*(event.row["label_time"] for event in labels), *(event.row["event_time"] for event in predictions)],
            default=0,
        )
        reports: dict[str, list[Row]] = defaultdict(list)
        for event in labels:
            reports[event.row["event_id"]].append(event.row)
        times: dict[str, int] = defaultdict(int)
        for event in (*predictions, *self.said("shadow-predictions")):
            name = event.row["prediction_id"]
            times[name] += 1
            wanted = final_of(event.row, reports[event.row["event_id"]], newest)
            held = [row for row in found.get(name, []) if row["revision"] >= 0]
            last = {field: held[-1][field] for field in FINAL} if held else None
            if last != wanted:
                self.note(f"the outcome of {name} is {last}, and it deserves {wanted}")
            if [row["revision"] for row in held] != list(range(len(held))):
                self.note(f"revisions of {name} are {[row['revision'] for row in held]}")
        for name, count in times.items():
            again = sum(row["state"] == "repeated" for row in found.get(name, []))
            if again != count - 1:
                self.note(f"{name} was published {count} times, and told to be repeated {again} times")
        if strange := sorted(set(found) - set(times)):
            self.note(f"outcomes of what was never predicted: {strange}")


def final_of(prediction: Row, reports: Sequence[Row], newest: int) -> dict[str, Any] | None:
    """What becomes of a prediction; None: nothing yet.

    Args:
        prediction: what it says.
        reports: all labels of its event.
        newest: how far the sources are in the end, ms.
    """
    counting = [report for report in reports if report["label_time"] <= prediction["event_time"] + EXPIRES]
    if not counting and prediction["event_time"] + MATURES > newest:
        return None
    known = {name: prediction[name] for name in FINAL if name in prediction}
    if not counting:
        nothing = dict.fromkeys(("label_time", "label_source"))
        return known | nothing | {"state": "presumed", "label": 0.0, "conflicting": False}
    ranked = sorted(counting, key=lambda report: (-report["label_time"], SOURCES.index(report["source"])))
    held = max((report for report in ranked if _same(report, ranked[0])), key=lambda report: float(report["value"]))
    each: dict[str, float] = {}
    for report in sorted(counting, key=lambda report: (report["label_time"], report["value"])):
        each[report["source"]] = report["value"]
    return known | {
        "state": "labelled",
        "label": held["value"],
        "label_time": held["label_time"],
        "label_source": held["source"],
        "conflicting": len(set(each.values())) > 1,
    }


def _same(report: Row, other: Row) -> bool:
    return bool(report["label_time"] == other["label_time"] and report["source"] == other["source"])


def _told(rows: Sequence[Row], names: Sequence[str]) -> list[tuple[Any, ...]]:
    return [tuple(row[name] for name in names) for row in rows]


def _by_prediction(outcomes: Any) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = defaultdict(list)
    for row in outcomes:
        found[row["prediction_id"]].append(row)
    return found


def _short(rows: Sequence[Row]) -> list[str]:
    return [f"{row['revision']} {row['state']} {row['label']} as of {row['as_of']}" for row in rows]


class ExchangeFold(Fold):
    """The fold of the exchange.

    Sources that came later are waited for from when they are first heard of, but by a state that began when they were
    there. So one process knows of them from their first record on, and another begins such states.
    """

    def __init__(self, scene: LabelsScene) -> None:
        super().__init__(scene, scene.undisturbed(), "exchange")
        self._labels = scene
        self._first = scene.plan.partitions
        self._began: dict[int, int] = {}
        self._knows: set[int] = set()
        self._told: dict[int, list[Row]] = {}

    @cached_property
    def _after(self) -> Service:
        """A process that knows of all sources; made where it is needed, for that takes a while."""
        return self._labels.undisturbed(added=1)

    def outcomes(self) -> list[Row]:
        """All outcomes, those of a partition in their order."""
        self.run_all()
        return [row for _, rows in sorted(self._told.items()) for row in rows]

    def began(self, partition: int, snapshot: bytes) -> None:
        """A partition has a checkpoint: the first one says what sources there were when its state began."""
        if partition not in self._began:
            self._began[partition] = int(packing.unpack(snapshot)["partitions"][0])

    def grown(self, snapshot: bytes) -> bytes:
        """A snapshot as of a process that knows of all sources."""
        number = self._number(SPARE)
        self._after.restore(number, snapshot)
        found = self._after.snapshot(number)
        self._after.drop(number)
        return found

    def serving(self, partition: int) -> Service:
        return self._after if partition in self._knows else self._service

    def begin(self, partition: int) -> None:
        self._told[partition] = []
        self._knows.discard(partition)
        if self._began.get(partition, self._first) > self._first:
            self._knows.add(partition)

    def take(self, partition: int, batch: Batch) -> None:
        if partition not in self._knows and self._scene.count("labels") > self._first:
            told = batch.columns.select(["source", "source_partition"]).to_pylist()
            later = [row["source"] in GROWING and row["source_partition"] >= self._first for row in told]
            if any(later):
                self._take_grown(partition, batch, later.index(True))
                return
        self._answer(partition, batch)

    def _take_grown(self, partition: int, batch: Batch, first: int) -> None:
        """Go on as a process that knows of all sources, from the first record on that one tells that was added."""
        if first:
            self._answer(partition, batch.slice(slice(0, first)))
        number = self._number(partition)
        self._after.restore(number, self._service.snapshot(number))
        self._knows.add(partition)
        self._answer(partition, batch.slice(slice(first, len(batch))))

    def _answer(self, partition: int, batch: Batch) -> None:
        output = self.serving(partition).process(batch, 0.0)
        self._told[partition] += [row for emit in output.emits for row in _rows_of(emit)]


def _rows_of(emit: Emit) -> list[Row]:
    if emit.topic != "outcomes":
        raise ContractError(f"an exchange record led to a record of {emit.topic}")
    return rows_of(emit.columns)
