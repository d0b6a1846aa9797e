"""Scorecards: sums of predictions and of what became of them, told part by part, and the cards that they add up to."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from math import inf
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import numpy as np

from headrace.columnar.arrow_stream import streamed
from headrace.columnar.partitioner import murmur2
from headrace.domain.scorecards.grouped_tallies import CARDS, OUTCOMES, PARTS
from headrace.domain.scorecards.window_sums import span
from headrace.streaming.records.batch import Batch, slot
from headrace.streaming.watermarks.event_time import Clock
from services.scorecards.app import build
from services.scorecards.service import Scorecards
from services.scorecards.settings import ScorecardsSettings
from tests.simulated.broker import Broker
from tests.simulated.groups import Part
from tests.simulated.plan import Plan
from tests.simulated.product.card_sums import AGAIN, HOUR, CardPlace, sums
from tests.simulated.product.contracts import PIPELINE, contracts, rows_of
from tests.simulated.product.crew import Crew
from tests.simulated.product.models import STORE, cache_folder, judged
from tests.simulated.product.product_scene import MINUTE, Fold, ProductScene, Said
from tests.simulated.scene import Row, named

ENTITIES = 5
SOURCES = ("predictions", "shadow-predictions", OUTCOMES)
SEGMENTED = Path(__file__).parent / "segments.yaml"
PUBLISH_S = 3.0
TOGETHER, APART = 6, 13 * HOUR
"""So many events happen within a window, the next ones so much later: a schedule's last when its first are given up."""
MODELS = (("rival", "2", "canary"), ("simulated", "1", "champion"))
REFERRED = ("estimated_", "estimate_error_")
"""Figures that depend on how far other windows were when a card was made."""


class SourcePart(NamedTuple):
    """What a part is about, and who tells it."""

    model: str
    version: str
    arm: str
    start: int
    source: str
    partition: int
    generation: int


class ScorecardsScene(ProductScene):
    """Predictions of three arms, some twice; outcomes, corrections of outcomes, and what is no number.

    With `segments` there are cards of groups too, and of each segment as a whole; with `samples` the champion's package
    has rows that it was judged by, so its predictions are sampled.
    """

    service = "scorecards"
    inputs = Scorecards.inputs
    outputs = (PARTS, CARDS)
    counts = {"shadow-predictions": 1}  # noqa: RUF012 - nobody changes it

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan)
        self._segments = "segments" in plan.variants
        self.pipeline = SEGMENTED if self._segments else PIPELINE
        self._digests = {"simulated": judged("simulated").digest} if "samples" in plan.variants else {}
        own = {"publish_s": PUBLISH_S, "models": STORE, "model_cache": cache_folder()}
        self.crew = Crew(build, ScorecardsSettings, self.pipeline, **own)
        self._span = {source: span(contracts(self.pipeline).pipeline, source) for source in SOURCES}
        self._seen: tuple[int, ...] = ()
        self._lacking: list[str] = []

    def open(self, broker: Broker) -> None:
        super().open(broker)
        self._began = int(broker.wall * 1000) // HOUR * HOUR
        service = self.undisturbed()
        assert isinstance(service, Scorecards)
        self._folds = {logical: InputFold(self, service, logical) for logical in self.inputs}

    # ---- what is published ---------------------------------------------------------------------------------------

    def publish(self, draw: Random, number: int) -> Sequence[tuple[Part, Said]]:
        told: list[tuple[Part, Said]] = []
        row = self._prediction(number, *MODELS[number % 4 > 0])
        if draw.random() < 0.9:
            good = draw.random() >= 0.05
            one = self.record("predictions", row["entity"], row if good else row | {"score": inf}, good)
            if draw.random() < 0.03:
                one = Said(one.key, row, b"nobody can read this", good=False)
            told.append(self._keyed("predictions", one))
            if one.good and draw.random() < 0.1:
                told.append(told[0])
                again = _outcome(row, AGAIN, None) | {"revision": -1, "reports": 0}
                told.append(self._keyed(OUTCOMES, self.record(OUTCOMES, row["entity"], again)))
        if draw.random() < 0.3:
            dark = self._prediction(number, "dark", "7", "challenger")
            told.append(self._keyed("shadow-predictions", self.record("shadow-predictions", dark["entity"], dark)))
        if draw.random() < 0.8:
            state, label = draw.choice((("labelled", 1.0), ("labelled", 0.0), ("presumed", 0.0)))
            first = _outcome(row, state, label)
            good = draw.random() >= 0.05
            one = self.record(OUTCOMES, row["entity"], first if good else first | {"label": inf}, good)
            told.append(self._keyed(OUTCOMES, one))
        earlier = [event.row for event in self.said(OUTCOMES) if event.row["state"] != AGAIN]
        if earlier and draw.random() < 0.3:
            told.append(self._keyed(OUTCOMES, self._correction(draw.choice(earlier), earlier)))
        draw.shuffle(told)
        return told

    def _prediction(self, number: int, model: str, version: str, arm: str) -> dict[str, Any]:
        name, chance = f"e{number}", Random(f"event {self.plan.seed} {number}")
        step = 0 if chance.random() < 0.15 else number // TOGETHER
        time = self._began + step * APART + chance.randrange(HOUR)
        ingested = time + chance.choice((20, 20, 20 * MINUTE))
        weight = chance.randint(0, 9)
        customer = {f"{what}_{window}": weight for what in ("sent", "kilos", "most") for window in ("1m", "10m")}
        if self._segments:
            customer["sent_1m"] = number % 4
        return {
            "prediction_id": f"{name}/{model}@{version}/{arm}", "event_id": name, "entity": f"c{number % ENTITIES}",
            "event_time": time, "ingest_time": ingested, "predicted_time": ingested + chance.randint(1, 99),
            "model": {"name": model, "version": version, "digest": self._digests.get(model, f"digest of {model}")},
            "arm": arm, "plan_version": 3, "score": chance.randint(0, 7) / 8, "decision": chance.random() < 0.5,
            "compute_micros": 2.0, "event": {"weight": weight}, "customer": customer,
        }  # fmt: skip  # one line for what belongs together

    def _keyed(self, logical: str, one: Said) -> tuple[Part, Said]:
        return (named(logical), (murmur2(one.key.encode()) & 0x7FFFFFFF) % self.count(logical)), one

    def _correction(self, row: Row, earlier: Sequence[Row]) -> Said:
        """The next revision of an outcome, which is labelled otherwise."""
        last = max(
            (each for each in earlier if each["prediction_id"] == row["prediction_id"]),
            key=lambda each: int(each["revision"]),
        )
        other = _outcome(last, "labelled", 1.0 - last["label"])
        former = {"former_state": last["state"], "former_label": last["label"]}
        return self.record(OUTCOMES, row["entity"], other | former | {"revision": last["revision"] + 1})

    def grow(self) -> None:
        if self.count("predictions") == self.plan.partitions:
            self.broker.grow(named("predictions"))

    # ---- what must come of it ------------------------------------------------------------------------------------

    def state(self, part: Part, snapshot: bytes) -> str:
        return hashlib.sha256(json.dumps(self._plain(part, snapshot)).encode()).hexdigest()[:12]

    def fold(self, part: Part, below: int) -> str:
        return self.state(part, self._folds[part[0].partition(".")[2]].snapshot(part[1], below))

    def _plain(self, part: Part, snapshot: bytes) -> list[str]:
        """What a snapshot says, in an order of its own, without sums that are given up: they are kept until told."""
        rows = streamed(snapshot).to_pylist()
        logical = part[0].partition(".")[2]
        if logical == PARTS:
            known = [{name: value for name, value in row.items() if name != "memo"} for row in rows]
            return sorted(str(list((row | {"payload": canonical(row["payload"])}).values())) for row in known)
        clock = next(row["clock"] for row in rows if row["clock"])
        firm = Clock(np.frombuffer(clock, np.int64)).firm
        kept = [
            row for row in rows
            if row["window"] is not None and not self._span[logical].given_up(firm, row["window"], row["generation"])
        ]  # fmt: skip  # reads as a sentence
        told = [
            str([row["window"], row["name"], row["version"], row["digest"], row["arm"], row["generation"],
                 canonical(row["tallies"]), _entities(row["entities"])])
            for row in kept
        ]  # fmt: skip  # one line's worth
        return [str(rows[0]["next_offset"]), clock.hex(), *sorted(told)]

    def done(self) -> bool:
        return super().done() and not self._lacks()

    def standing(self) -> str:
        return f"{super().standing()}; {self._lacking[:3]}"

    def judge(self) -> None:
        self.bad_refused_once()
        self._parts_of_sources()
        if self.lossy:
            return
        for lack in self._lacks():
            self.note(lack)
        self._as_published()

    def _lacks(self) -> list[str]:
        """What is not told yet, or otherwise than one process tells it."""
        ends = tuple(log.stable for logical in (*self.inputs, CARDS) for log in self.broker.topics[named(logical)])
        if ends != self._seen:
            self._seen, self._lacking = ends, [*self._untold_parts()] or [*self._untold_cards()]
        return self._lacking

    def _untold_parts(self) -> Iterator[str]:
        told = {_source(row): canonical(row["payload"]) for rows in self.rows(PARTS) for row in rows}
        wanted = {}
        for logical in SOURCES:
            for number in range(self.count(logical)):
                end = self.broker.log(named(logical), number).stable
                wanted |= self._sums_of(logical, number, end)
        for place in sorted({*told, *wanted}):
            if told.get(place) != wanted.get(place):
                yield f"{place} is told {_short(told.get(place))}, and the fold is {_short(wanted.get(place))}"

    def _sums_of(self, logical: str, number: int, below: int) -> dict[SourcePart, str]:
        """All parts that one process has of a source, below an offset."""
        rows = streamed(self._folds[logical].snapshot(number, below)).to_pylist()
        return {
            SourcePart(
                row["name"], row["version"], row["arm"], row["window"], logical, number, row["generation"]
            ): canonical(row["tallies"])
            for row in rows
            if row["window"] is not None
        }

    def _untold_cards(self) -> Iterator[str]:
        told = {_card(row): _figures(row) for rows in self.rows(CARDS) for row in rows}
        wanted = {_card(row): _figures(row) for row in self._folds[PARTS].cards()}
        for place in sorted({*told, *wanted}):
            if told.get(place) != wanted.get(place):
                yield f"the card of {place} is {_apart(told.get(place), wanted.get(place))}"

    def _parts_of_sources(self) -> None:
        """Each part is what one process says of the rows that it is about, and lies where its model's parts do."""
        home: dict[SourcePart, int] = {}
        parts: dict[tuple[str, int], list[Row]] = {}
        for number, rows in enumerate(self.rows(PARTS)):
            for row in rows:
                place = _source(row)
                if home.setdefault(place, number) != number:
                    self.note(f"{place} is told in partitions {home[place]} and {number}")
                parts.setdefault((place.source, place.partition), []).append(row)
        for (source, number), rows in parts.items():
            for row in sorted(rows, key=lambda each: int(each["next_offset"])):
                wanted = self._sums_of(source, number, row["next_offset"]).get(_source(row))
                if canonical(row["payload"]) != wanted:
                    self.note(f"{_source(row)} as of {row['next_offset']} is not what one process says")

    def _as_published(self) -> None:
        """The newest cards say what follows from all that was published, whatever came when."""
        predictions = [event.row for logical in SOURCES[:2] for event in self.said(logical)]
        groups = _groups if self._segments else _no_groups
        wanted = sums(predictions, [event.row for event in self.said(OUTCOMES)], groups)
        found = {_card(row): row for rows in self.rows(CARDS) for row in rows}
        if strange := sorted(set(found) ^ set(wanted)):
            self.note(f"cards that lack or should not be there: {strange}")
        for place in sorted(set(found) & set(wanted)):
            for difference in wanted[place].differs(found[place]):
                self.note(f"the card of {place} says {difference}")


class InputFold(Fold):
    """The fold of one input; of the parts also the cards."""

    def __init__(self, scene: ScorecardsScene, service: Scorecards, logical: str) -> None:
        super().__init__(scene, service, logical)
        self._scorecards = service
        self._known: dict[tuple[int, int], bytes] = {}
        self._cards: tuple[tuple[int, ...], list[Row]] = ((), [])

    def begin(self, partition: int) -> None:
        """Nothing comes of a partition but its state."""

    def take(self, partition: int, batch: Batch) -> None:
        self._service.replay(self._service.admit(batch, 0.0).batch)

    def snapshot(self, partition: int, below: int) -> bytes:
        if (partition, below) not in self._known:
            self._known[partition, below] = super().snapshot(partition, below)
        return self._known[partition, below]

    def cards(self) -> list[Row]:
        """All cards that follow from the parts."""
        ends = tuple(log.stable for log in self._scene.broker.topics[named(PARTS)])
        if ends == self._cards[0]:
            return self._cards[1]
        for number, end in enumerate(ends):  # All of it counts as changed.
            self._scorecards.restore(slot(self._scene.inputs.index(PARTS), number), self.snapshot(number, end))
            self._read[number] = end
        found: list[Row] = []
        while (emit := self._scorecards.followed(0.0)) is not None:
            found += rows_of(emit.columns)
        self._cards = (ends, found)
        return found


@lru_cache(4_096)
def canonical(payload: bytes) -> str:
    """Sums, packed, in an order that depends on nothing but the sums."""
    return str(sorted(streamed(payload).to_pylist(), key=lambda row: (row["segment"], row["group"])))


@lru_cache(4_096)
def _entities(table: bytes) -> str:
    return str(sorted(streamed(table).to_pylist(), key=lambda row: (row["day"], row["entity"]))) if table else ""


def _outcome(row: Row, state: str, label: float | None) -> dict[str, Any]:
    """The first outcome of a prediction."""
    labelled = state == "labelled"
    known = {name: value for name, value in row.items() if name != "compute_micros"}
    return known | {
        "revision": 0, "state": state, "label": label, "label_time": row["event_time"] + MINUTE if labelled else None,
        "label_delay": MINUTE if labelled else None, "label_source": "bank" if labelled else None,
        "former_state": None, "former_label": None, "reports": int(labelled), "conflicting": False,
        "as_of": row["event_time"] + HOUR,
    }  # fmt: skip  # one line for what belongs together


def _no_groups(row: Row) -> Mapping[str, str]:
    return {}


def _groups(row: Row) -> Mapping[str, str]:
    """The groups that a row is of, by segment, as the pipeline file has them."""
    weight, sent = row["event"]["weight"], row["customer"]["sent_1m"]
    load = "<3" if weight < 3 else "3-7" if weight < 7 else ">=7"
    return {"load": load, "busy": str(sent) if sent < 3 else "other"}


def _source(row: Row) -> SourcePart:
    model = row["model"]
    return SourcePart(
        model["name"], model["version"], row["arm"], row["window_start"],
        row["source"], row["source_partition"], row["generation"],
    )  # fmt: skip  # one line's worth


def _card(row: Row) -> CardPlace:
    model = row["model"]
    return CardPlace(model["name"], model["version"], row["arm"], row["window_start"], row["segment"], row["group"])


def _figures(row: Row) -> Mapping[str, Any]:
    """What a card says, but for what depends on other windows and for when it was made."""
    figures = {
        figure["name"]: figure | ({"low": None, "high": None} if figure["name"] == "positive_rate" else {})
        for figure in row["figures"]
        if not figure["name"].startswith(REFERRED)
    }
    return {name: value for name, value in row.items() if name not in ("time", "figures")} | figures


def _apart(found: Row | None, wanted: Row | None) -> str:
    """Where two cards differ."""
    if found is None or wanted is None:
        return "there, and follows from no part" if wanted is None else "not there"
    names = [name for name in {**found, **wanted} if found.get(name) != wanted.get(name)]
    mine, theirs = ({name: row.get(name) for name in names} for row in (found, wanted))
    return f"{mine}, and the parts say {theirs}"


def _short(told: str | None) -> str:
    return "nothing" if told is None else hashlib.sha256(told.encode()).hexdigest()[:12]
