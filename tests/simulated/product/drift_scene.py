"""Drift: rows of predictions, dark ones too, and of outcomes in bins, and the incidents that they add up to."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cache, lru_cache
from itertools import pairwise
from random import Random
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from headrace.columnar import packing
from headrace.columnar.partitioner import murmur2
from headrace.domain.drift.harm.loss_reference import chance_losses
from headrace.domain.drift.reference_bins import Floats
from headrace.domain.drift.reference_profile import ReferenceProfile, answers_of, joint_of, profile_of
from headrace.domain.models.package import pack
from headrace.domain.models.store import ModelStore
from headrace.domain.records.drift_parts import PARTS, REFUSED, SOURCES, Acceptance, unpack
from headrace.domain.records.watched_columns import OUTCOMES, PREDICTIONS, SHADOW, STREAMS, ModelIdentity
from headrace.streaming.records.batch import Batch, Emit, slot
from headrace.streaming.task.service import Service
from services.drift.app import build
from services.drift.service import Watcher
from services.drift.settings import DriftSettings
from services.drift.source_merge import SourceMerge
from tests.models.graphs import logistic, manifest
from tests.simulated.broker import Broker
from tests.simulated.groups import Part
from tests.simulated.plan import Plan
from tests.simulated.product.contracts import rows_of
from tests.simulated.product.crew import Crew
from tests.simulated.product.models import INPUTS, MODEL, STORE, cache_folder
from tests.simulated.product.product_scene import MINUTE, SECOND, Fold, ProductScene, Said
from tests.simulated.scene import Row, named

ENTITIES = 7
LEAST_ROWS = 16
"""Of a batch: what is due is hundreds of rows."""
BURST, APART = 12, 20 * MINUTE
"""So many events happen within so long, and are published together."""
MOVED, BY = "weight", 8
"""The input that changes first, by four of its deviations."""
CLOSING = 12
"""Events of each partition behind all others, so that time goes on beyond these."""
FOR_EVER = 1_000
FORMERLY = 20_000
"""Events that passed before the first that was refused."""
LAST_DECISIONS = ("predictions/7", "predictions/1", "predictions/1", "outcomes/1")
ENOUGH = 48
"""Rows within which such a change is seen."""
IDLE_S, PUBLISH_S = 0.3, 3.0
RESTED_S = 2.0
"""Of members that must not take a partition for one that rests while another one reads it."""
THRESHOLD = 0.5


class Patient(DriftSettings):
    """Settings of members who wait for every partition, whatever their clocks do."""

    idle_after_s: float = 1e9


class PartRow(NamedTuple):
    """What a part says of a row: how far time had come before it, its bins, and its values."""

    progress: int
    places: bytes
    values: bytes


class DriftScene(ProductScene):
    """Predictions of a model with a reference and of one without, and their outcomes: an input changes for good, then
    another one, then labels turn.

    All partitions are waited for, and have events behind all others in the end: then everything follows from rows
    alone. With `idle` they are not, and one of them rests for a while: what it tells late is taken when it comes, so
    everything follows from parts. With `bursts` all of them rest now and then, and have hours at once after that: these
    are watched in their order. With `accepted` people take incidents for what is usual, at places among these.
    """

    service = "drift"
    inputs = Watcher.inputs
    outputs = ("drift", "control")
    counts = {SHADOW: 1, PARTS: 1, "drift": 1, "control": 1}  # noqa: RUF012 - nobody changes it

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan)
        self._bursts, self._accepted = "bursts" in plan.variants, "accepted" in plan.variants
        self._idle = "idle" in plan.variants or self._bursts
        self.waits_by_the_clock = self._bursts
        settings = {"models": STORE, "model_cache": cache_folder(), "publish_s": PUBLISH_S}
        self.crew = (
            Crew(
                build,
                DriftSettings,
                least_rows=LEAST_ROWS,
                idle_after_s=RESTED_S if self._bursts else IDLE_S,
                **settings,
            )
            if self._idle
            else Crew(build, Patient, least_rows=LEAST_ROWS, **settings)
        )
        chance = Random(f"change {plan.seed}")
        self._changes = sorted(chance.randint(1, max(plan.events - 2, 1)) for _ in range(3))
        self._rest = range(chance.randint(1, 3), chance.choice((max(plan.events - 2, 1), FOR_EVER)))
        if self._bursts:
            self._rest = range(0)
        self._rested, self._proven, self._stretches, self._asked_at = True, True, 0, -1
        self._later: list[tuple[int, Said]] = []
        self._closed = False
        self._refused = 0
        self._letter: dict[str, Any] | None = None
        self._seen: tuple[int, ...] = ()
        self._lacking: list[str] = []

    def open(self, broker: Broker) -> None:
        super().open(broker)
        self._began = int(broker.wall * 1000) // MINUTE * MINUTE
        self._sources = {logical: SourceFold(self, self.undisturbed(), logical) for logical in SOURCES}
        self._parts = PartsFold(self, self.undisturbed(), PARTS)

    # ---- what is published ---------------------------------------------------------------------------------------

    def resting(self) -> bool:
        """With bursts, the next one comes when all was calm."""
        if not self._bursts or not self.events:
            return False
        (log,) = self.broker.topics[named(PARTS)]
        if log.stable != self._asked_at:
            self._asked_at = log.stable
            self._proven = not any(self._merged(stream)[0].marks.behind for stream in STREAMS)
        self._rested = self._rested or (self._proven and super().done())
        return not self._rested

    def _begin_stretch(self) -> None:
        """What is written after a rest has its turn behind what was before."""
        self._stretches += self._rested
        self._rested = False

    def publish(self, draw: Random, number: int) -> Sequence[tuple[Part, Said]]:
        self._begin_stretch()
        for at in range(BURST):
            row = self._prediction(number, at)
            self._later.append((number, self._perhaps_bad(draw, PREDICTIONS, row)))
            if draw.random() < 0.2:
                dark = row | {"arm": "challenger", "model": unwatched()._asdict()}
                self._later.append((number, self._perhaps_bad(draw, SHADOW, dark)))
            if draw.random() < 0.8:
                outcome = self._perhaps_bad(draw, OUTCOMES, self._outcome(number, row))
                self._later.append((number + draw.choice((0, 0, 1, 2)), outcome))
        due = [due <= number and not self._rests(one, number) for due, one in self._later]
        told = [self._keyed(one) for (_, one), now in zip(self._later, due, strict=True) if now]
        self._later = [each for each, now in zip(self._later, due, strict=True) if not now]
        if self._accepted and draw.random() < 0.4:
            incident = f"{draw.choice(STREAMS)}/{draw.choice((1, 1, 2))}"
            told.append(self._decision(incident, draw.random() >= 0.1))
        refused = draw.choice((0, 2, 5)) if number >= self._changes[0] else 0
        return [*told, *self._letters(draw, self._began + number * APART, refused)]

    def _letters(self, draw: Random, at: int, count: int) -> Iterator[tuple[Part, Said]]:
        """Events that somebody else refused, for one of two reasons: the first after many that were not; some told
        again.
        """
        for _ in range(count):
            if draw.random() >= 0.1 or self._letter is None:
                self._refused += FORMERLY if self._letter is None else draw.choice((1, 3, 9))
                row = {"topic": named("events"), "partition": 0, "offset": self._refused, "key": None, "value": None}
                row |= {"timestamp": at, "headers": [], "reason": draw.choice(("malformed", "malformed", "too_late"))}
                row |= {"detail": "", "service": "enrich", "group": "g", "code_version": "1", "time": at + SECOND}
                self._letter = row
            yield (named(REFUSED), 0), self.record(REFUSED, "c", self._letter)

    def _rests(self, one: Said, number: int) -> bool:
        """Whether the first partition of both topics gets nothing for a while: what it would get comes later."""
        return self._idle and number in self._rest and self._keyed(one)[0][1] == 0

    def _prediction(self, number: int, at: int) -> dict[str, Any]:
        name = f"e{number}.{at}"
        chance = Random(f"event {self.plan.seed} {name}")
        first, second, _ = self._changes
        weight = round(chance.gauss(5, 2)) + (BY if number >= first else 0)
        short = chance.gauss(0, 1) + (4 if number >= second else 0)
        time = self._began + number * APART + at * APART // BURST - chance.choice((0, 0, 0, 70 * SECOND))
        model = watched() if chance.random() < 0.85 else unwatched()
        customer = {f"{what}_{window}": 1 for what in ("sent", "most") for window in ("1m", "10m")}
        score = _score(weight)
        return {
            "prediction_id": f"{name}/{model.title}/champion", "event_id": name,
            "entity": f"c{chance.randrange(ENTITIES)}", "event_time": time, "ingest_time": time + 20,
            "predicted_time": time + 30, "model": model._asdict(), "arm": "champion", "plan_version": 3,
            "score": score, "decision": score >= THRESHOLD, "compute_micros": 2.0, "event": {"weight": weight},
            "customer": customer | {"kilos_1m": short, "kilos_10m": short + chance.gauss(0, 0.5)},
        }  # fmt: skip  # one line for what belongs together

    def _outcome(self, number: int, row: Row) -> dict[str, Any]:
        true = (row["score"] >= THRESHOLD) != (number >= self._changes[2])
        known = {name: value for name, value in row.items() if name != "compute_micros"}
        corrected = row["event_time"] % 9 == 0
        return known | {
            "revision": int(corrected), "state": "labelled", "label": float(true),
            "label_time": row["event_time"] + MINUTE, "label_delay": MINUTE, "label_source": "bank",
            "former_state": None, "former_label": None, "reports": 1, "conflicting": False,
            "as_of": row["event_time"] + APART,
        }  # fmt: skip  # one line for what belongs together

    def _perhaps_bad(self, draw: Random, logical: str, row: Row) -> Said:
        if draw.random() < 0.01:
            return Said(row["entity"], row, b"nobody can read this", good=False)
        return self.record(logical, row["entity"], row)

    def _keyed(self, one: Said) -> tuple[Part, Said]:
        logical = OUTCOMES if "label" in one.row else PREDICTIONS if one.row["arm"] == "champion" else SHADOW
        return (named(logical), (murmur2(one.key.encode()) & 0x7FFFFFFF) % self.count(logical)), one

    def _decision(self, incident: str, good: bool = True) -> tuple[Part, Said]:
        """Somebody accepts an incident, which may not be open; or writes what nobody knows."""
        row = Acceptance(incident, "ada", f"told of {incident}").row()
        return (named(PARTS), 0), self.record(PARTS, "ada", row if good else row | {"source": "nobody"}, good)

    def _close(self) -> None:
        """Time goes on in every partition, once all was published; or those that rested tell at last what they have.

        Where people decide, they do so once more, of what is open by then.
        """
        if self._idle:
            idle = {
                (row["source"], row["source_partition"]) for rows in self.rows(PARTS) for row in rows if row["idle"]
            }
            self._closed = super().done() and {(logical, 0) for logical in STREAMS} <= idle and not self.resting()
            last = [self._keyed(one) for _, one in self._later] if self._closed else []
        else:
            self._closed = not self._accepted or super().done()
            last = [*self._after_all()] if self._closed else []
        self._stretches += bool(last)
        if self._closed:
            last += self._letters(Random(self.plan.seed), self._began + FOR_EVER * APART, 3)
        if self._closed and self._accepted:
            last += [self._decision(incident) for incident in LAST_DECISIONS]
        for part, one in last:
            self.events[(*part, self.broker.append(part, one.key.encode(), one.value))] = one

    def _after_all(self) -> Iterator[tuple[Part, Said]]:
        newest = max((event.row.get("event_time", 0) for event in self.events.values()), default=self._began)
        for logical in STREAMS:
            for number in range(self.count(logical)):
                for at in range(1, CLOSING + 1):
                    row = self._prediction(-1, at) | {"event_time": newest + at * 3 * MINUTE}
                    told = self._outcome(-1, row) if logical == OUTCOMES else row
                    yield (named(logical), number), self.record(logical, row["entity"], told)

    def grow(self) -> None:
        if self.count(PREDICTIONS) == self.plan.partitions:
            self.broker.grow(named(PREDICTIONS))

    # ---- what must come of it ------------------------------------------------------------------------------------

    def state(self, part: Part, snapshot: bytes) -> str:
        plain = canonical(snapshot) if part[0] == named(PARTS) else snapshot
        return hashlib.sha256(plain).hexdigest()[:12]

    def fold(self, part: Part, below: int) -> str:
        fold = self._parts if part[0] == named(PARTS) else self._sources[part[0].partition(".")[2]]
        return self.state(part, fold.snapshot(part[1], below))

    def done(self) -> bool:
        if not self._closed:
            self._close()
        return super().done() and self._closed and not self._lacks()

    def standing(self) -> str:
        return f"{super().standing()}; {self._lacking[:3]}"

    def bad_refused_once(self) -> None:
        rows = (row for rows in self.rows(REFUSED) for row in rows if row["topic"] != named("events"))
        letters = [(row["topic"], row["partition"], row["offset"]) for row in rows]
        self.as_often("refused", letters, [place for place, event in self.events.items() if self.refused(event)])

    def judge(self) -> None:
        self.bad_refused_once()
        self._rows_of_parts()
        self._parts.run_all()
        self._incidents("what parts add up to", self._parts.control)
        if self.lossy:
            return
        for lack in self._lacks():
            self.note(lack)
        if self._bursts and "clock" not in self.plan.rates and self.count(PREDICTIONS) == self.plan.partitions:
            self._in_order()
        # One process that knows of all partitions from the start waits for rows that nobody knew of then.
        if not self._idle and not self._accepted and self.count(PREDICTIONS) == self.plan.partitions:
            self._as_published()
        self._seen_changes()

    def _lacks(self) -> list[str]:
        """What is not told yet, or otherwise than one process tells it."""
        topics = (*self.inputs, "drift")
        ends = tuple(log.stable for logical in topics for log in self.broker.topics[named(logical)])
        if ends != self._seen:
            self._seen, self._lacking = ends, [*self._rows_not_watched()] or [*self._untold()]
        return self._lacking

    def _untold(self) -> Iterator[str]:
        """How columns stand, by the parts that there are."""
        told = {_key(row): _standing(row) for rows in self.rows("drift") for row in rows}
        wanted = {_key(row): _standing(row) for row in self._parts.columns()}
        for key in sorted({*told, *wanted}):
            if told.get(key) != wanted.get(key):
                yield f"{key} stands {_apart(told.get(key), wanted.get(key))}"

    def _rows_not_watched(self) -> Iterator[str]:
        """Every row that says something was watched, but for the last ones where all partitions are waited for."""
        found = Counter[tuple[str, str]]()
        for row in self._parts.columns():
            if row["stream"] in STREAMS and row["column"] == "" and row["state"] != "course":
                found[row["stream"], row["model"]["version"]] += row["events"]
        wanted, most = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
        for stream in STREAMS:
            for event in self.said(stream):
                if stream != OUTCOMES or event.row["revision"] == 0:
                    place = stream, event.row["model"]["version"]
                    most[place] += 1
                    wanted[place] += self._idle or _number(event.row) >= 0
        for place in sorted({*found, *most}):
            if not wanted[place] <= found[place] <= most[place]:
                yield f"{found[place]} rows of {place} watched, of {wanted[place]}"

    def _rows_of_parts(self) -> None:
        """Each row is told once, and means what one process says that it means."""
        told: dict[tuple[str, int], list[tuple[tuple[str, int], PartRow]]] = {}
        for rows in self.rows(PARTS):
            for row in rows:
                if row["source"] in SOURCES:
                    told.setdefault((row["source"], row["source_partition"]), []).extend(_rows_of(row))
        for logical in SOURCES:
            for number in range(self.count(logical)):
                mine = told.get((logical, number), [])
                wanted = self._sources[logical].rows(number)
                self.as_often(f"told of {logical}[{number}]", [place for place, _ in mine], [*wanted])
                for place, row in mine:
                    if place in wanted and row != wanted[place]:
                        self.note(f"row {place} of {logical}[{number}] is told otherwise than by one process")

    def _incidents(self, by: str, wanted: Sequence[Row], streams: Sequence[str] = SOURCES) -> None:
        """What is told of incidents of these streams, each once, is what follows."""
        told = [_event(row) for rows in self.rows("control") for row in rows if _stream(row) in streams]
        follows = [_event(row) for row in wanted if _stream(row) in streams]
        self.as_often(f"told of incidents, by {by},", told, follows)

    def _as_published(self) -> None:
        """All is as if one process had read each partition whole, one after the other; but for what is refused, which
        is over when rows of other streams say so that are told later.
        """
        alone = self.undisturbed()
        emits = [emit for fold in self._sources.values() for emit in fold.told(alone)]
        parts = pa.Table.from_batches([emit.columns for emit in emits if emit.topic == PARTS])
        places = np.full(len(parts), slot(self.place(PARTS), 0), np.int32)
        numbers = np.arange(len(parts))
        batch = Batch(
            PARTS, parts.combine_chunks().to_batches()[0], pa.nulls(len(parts), pa.binary()), places, numbers, numbers
        )
        alone.restore(int(places[0]), None)
        followed = alone.process(batch, 0.0).emits
        self._incidents("one process", [row for emit in followed for row in rows_of(emit.columns)], STREAMS)
        rows = (row for rows in self.rows("drift") for row in rows)
        told = {_key(row): _standing(row) for row in rows if row["stream"] in STREAMS}
        alone_told = _columns(alone.tick(1.0, {}).emits)
        wanted = {_key(row): _standing(row) for row in alone_told if row["stream"] in STREAMS}
        for key in sorted({*told, *wanted}):
            if told.get(key) != wanted.get(key):
                self.note(f"{key} stands {_apart(told.get(key), wanted.get(key))}, by one process")

    def _merged(self, stream: str) -> tuple[SourceMerge, list[tuple[int, int, int]]]:
        """What the parts of a stream are by now, and the rows that had their turn, in their order."""
        merge, found = SourceMerge(), list[tuple[int, int, int]]()
        merge.marks.grow(self.count(stream))
        for row in (row for rows in self.rows(PARTS) for row in rows if row["source"] == stream):
            told = unpack([ModelIdentity(**model) for model in row["models"]], row["payload"])
            place = row["source_partition"], row["next_offset"], row["progress"], row["idle"]
            merge.take(*place, told, row["seen"])
            due = [each.rows for each in merge.given()]
            found += sorted(
                place for rows in due for place in zip(rows.progress, rows.source, rows.offset, strict=True)
            )
        return merge, found

    def _in_order(self) -> None:
        """What came at once had its turn by how far time had come: that goes back where a burst begins.

        The first rows of a partition that rested stand for how far it had come before that, and have their turn as soon
        as they are told. Where two of a burst are told one after the other it goes back once more, which is rare.
        """
        for stream in STREAMS:
            _, found = self._merged(stream)
            back = sum(one > other for one, other in pairwise(found))
            if back >= max(self._stretches, 1) + self.count(stream):
                self.note(f"rows of {stream} went back {back} times, and came in {self._stretches} bursts")

    def _seen_changes(self) -> None:
        """A change as large as these is seen, and said to be of the column that it is of."""
        opened = [row for rows in self.rows("control") for row in rows if row["type"] == "drift_opened"]
        first, _, turned = self._changes
        for stream, column, since in ((PREDICTIONS, MOVED, first), (OUTCOMES, "model loss", turned)):
            version = watched().version
            rows = [event.row for event in self.said(stream) if event.row["model"]["version"] == version]
            changed = [row for row in rows if _number(row) >= since and not row.get("revision")]
            said = [json.loads(dict(row["evidence"])["columns"]) for row in opened if _stream(row) == stream]
            if len(changed) >= ENOUGH and not any(column in (each["column"] for each in columns) for columns in said):
                self.note(f"{len(changed)} rows of {stream} with another {column}, and no incident opened with it")


class SourceFold(Fold):
    """The fold of predictions or outcomes, and what each row means."""

    def begin(self, partition: int) -> None:
        """Nothing is kept but the state."""

    def take(self, partition: int, batch: Batch) -> None:
        self._service.replay(self._service.admit(batch, 0.0).batch)

    def told(self, service: Service) -> Iterator[Emit]:
        """What a process that reads each partition whole tells."""
        for log in self._scene.broker.topics[named(self._logical)]:
            service.restore(self._number(log.partition), None)
            batch = self._scene.batch(log, 0, log.stable)
            if batch is not None:
                yield from service.process(service.admit(batch, 0.0).batch, 0.0).emits

    def rows(self, partition: int) -> dict[tuple[str, int], PartRow]:
        """What each row of a partition means, by its model and offset."""
        told = [row for emit in self.told(self._scene.undisturbed()) for row in rows_of(emit.columns)]
        return dict(each for row in told if row["source_partition"] == partition for each in _rows_of(row))


class PartsFold(Fold):
    """The fold of what was told, with the incidents that it leads to, and how columns stand.

    Attributes:
        control: what is to be told of incidents.
    """

    _asked = 0.0

    def begin(self, partition: int) -> None:
        self.control: list[Row] = []
        self._standing: dict[str, Row] = {}

    def take(self, partition: int, batch: Batch) -> None:
        emits = self._service.process(self._service.admit(batch, 0.0).batch, 0.0).emits
        self.control += [row for emit in emits for row in rows_of(emit.columns)]

    def columns(self) -> list[Row]:
        """How columns stand after all that can be read."""
        self.run_all()
        self._asked += 1e6
        self._standing |= {_key(row): row for row in _columns(self._service.tick(self._asked, {}).emits)}
        return [*self._standing.values()]


@cache
def watched() -> ModelIdentity:
    """A model with a reference."""
    draw = np.random.default_rng(1)
    short = draw.normal(size=3_000)
    weight = np.round(draw.normal(5, 2, size=len(short)))
    matrix = np.column_stack([weight, short, short + draw.normal(0, 0.5, len(short))])
    scores = np.array([_score(each) for each in weight])
    inputs = profile_of(INPUTS, matrix)
    truth = (scores >= THRESHOLD).astype(np.float64)
    answers, lost = answers_of(scores, truth, THRESHOLD), chance_losses(scores, truth)
    return _stored("1", ReferenceProfile(inputs, answers, joint_of(inputs, matrix), loss=lost))


@cache
def unwatched() -> ModelIdentity:
    """One without: its reference is to be made of what comes."""
    return _stored("2", None)


def _stored(version: str, reference: ReferenceProfile | None) -> ModelIdentity:
    package = pack(manifest(INPUTS, name=MODEL, version=version), logistic((0.5, 0.0, 0.0)), reference)
    ModelStore(STORE, cache_folder()).put(package)
    return ModelIdentity(MODEL, version, package.digest)


def _score(weight: float) -> float:
    return float(1 / (1 + np.exp(-(weight - 5) / 2)))


@lru_cache(4_096)
def canonical(snapshot: bytes) -> bytes:
    """What a snapshot of all rows says, models in an order of their own, and without what is kept until it is told."""
    columns = packing.unpack(snapshot)
    said = packing.json_of(columns.pop("said"))
    found: dict[str, Any] = {}
    for name, column in columns.items():
        stream, _, rest = name.partition(".")
        kind, number, field = _PLACE.fullmatch(rest).groups() if _PLACE.fullmatch(rest) else ("", "", rest)
        models = said[stream]["waiting"] if kind == "merge.waiting" else [each for each, *_ in said[stream]["models"]]
        whose = str(models[int(number)]) if number else ""
        text = packing.json_of(column) if field == "said" else column.tolist()
        if field == "said":
            text.pop("course", text.pop("_course", None))
        found[f"{stream} {kind} {whose} {field}"] = text
    found |= {name: said.pop(name) for name in ("passed", "harm")}
    for stream, each in said.items():
        found[stream] = each | {"waiting": sorted(each["waiting"]), "models": sorted(each["models"])}
    return json.dumps(found, sort_keys=True).encode()


_PLACE = re.compile(r"([a-z.]+)\.(\d+)\.(.*)")


def _rows_of(part: Row) -> Iterator[tuple[tuple[str, int], PartRow]]:
    models = [ModelIdentity(**model) for model in part["models"]]
    for model, rows in unpack(models, part["payload"]).items():
        for at, offset in enumerate(rows.offset.tolist()):
            places, values = rows.places[at].tobytes(), _bytes(rows.values[at])
            yield (model.title, offset), PartRow(int(rows.progress[at]), places, values)


def _bytes(values: Floats) -> bytes:
    return np.ascontiguousarray(values).tobytes()


def _columns(emits: Sequence[Emit]) -> list[Row]:
    return [row for emit in emits if emit.topic == "drift" for row in rows_of(emit.columns)]


def _key(row: Row) -> str:
    hour = {"course": row["reached"], "harm": row["incident"]}.get(row["state"], "")
    return f"{row['stream']} {row['model']['version']} {row['column']} {hour}"


def _standing(row: Row) -> Row:
    """Without when it was said, and, of an hour's course, without what was open then."""
    without = ("time", "incident") if row["state"] == "course" else ("time",)
    return {name: value for name, value in row.items() if name not in without}


def _event(row: Row) -> str:
    """An event of the control topic, without when it was said."""
    return json.dumps({name: value for name, value in row.items() if name != "time"}, sort_keys=True)


def _stream(row: Row) -> str:
    return str(dict(row["evidence"])["stream"])


def _number(row: Row) -> int:
    """Of the burst that an event is of; below 0 for the last ones of all."""
    return int(row["event_id"].partition(".")[0][1:])


def _apart(found: Row | None, wanted: Row | None) -> str:
    """Where two rows differ."""
    if found is None or wanted is None:
        return "told, and follows from nothing" if wanted is None else "untold"
    names = [name for name in wanted if found.get(name) != wanted[name]]
    return f"{ {name: found.get(name) for name in names} } where { ({name: wanted[name] for name in names}) } follows"
