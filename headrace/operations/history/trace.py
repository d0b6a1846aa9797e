"""Everything that a pipeline's topics and its model store say of one event."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from headrace.domain.control.dark_models import DARK_KINDS
from headrace.domain.models.package import Manifest
from headrace.domain.models.store import ModelStore
from headrace.domain.pipeline.wiring import Contracts
from headrace.domain.plans.plan_log import PlanFact
from headrace.errors import ConfigurationError, ContractError
from headrace.operations.history.gaps import silent
from headrace.operations.history.search import Seeker, TracedRecord, equal, number_pattern, text_pattern
from headrace.operations.plan_changes.plan_topic import facts_of
from headrace.streaming.process.settings import Settings

kernels: Any = pc  # its stubs know too few of the overloads

PREDICTION = re.compile(r"(?P<event>.+)/[a-z][a-z0-9_-]*@[A-Za-z0-9][A-Za-z0-9._-]*/[a-z]+")
ANSWERS = ("features", "predictions", "shadow-predictions", "outcomes")
"""Topics with an `event_id`, keyed by the entity, in the order in which their records are made."""


@dataclass(frozen=True, slots=True)
class Trace:
    """What was found of one event.

    Attributes:
        event_id: of the event.
        prediction_id: what was asked for, where it was one.
        records: by logical topic; None where a topic was never set up.
        facts: all plans that are still on their topic.
        packages: manifests by digest, of all models that had a part; a text says why one cannot be read.
    """

    event_id: str
    prediction_id: str | None
    records: dict[str, list[TracedRecord] | None]
    facts: list[PlanFact] = field(default_factory=list)
    packages: dict[str, Manifest | str] = field(default_factory=dict)

    def of(self, logical: str) -> list[TracedRecord]:
        """What was found in a topic."""
        return self.records.get(logical) or []

    @property
    def empty(self) -> bool:
        """Whether nothing was found at all."""
        return not any(self.records.values())


def gather(
    settings: Settings,
    contracts: Contracts,
    store: ModelStore,
    text: str,
    start: int | None,
    stop: int | None,
    progress: Callable[[str, int], None],
) -> Trace:
    """Look for an event, or a prediction's event, in all topics of a pipeline.

    The event says when it was written and which entity it is about, and so where in the other topics to look; only what
    is not found there is looked for everywhere.

    Args:
        text: an event id or a prediction id.
        start, stop: look only at events written from then until then, milliseconds since the epoch.
        progress: told the topic and how many records were looked at.

    Raises:
        Transient: Kafka or the model store does not answer.
    """
    asked = PREDICTION.fullmatch(text)
    search = _Search(contracts, Seeker(settings.connection, progress), asked["event"] if asked else text)
    records: dict[str, list[TracedRecord] | None] = {"events": search.events(start, stop)}
    for logical in ANSWERS:
        records[logical] = search.answers(logical)
    records["dead-letters"] = search.letters(records)
    if not any(records[logical] for logical in (*ANSWERS[:2], "dead-letters")) and records["events"]:
        # Neither answered nor refused: unless it waits, clocks are wrong or the topic has got more partitions since.
        search.entity = search.since = None
        for logical in ANSWERS[:2]:
            records[logical] = search.answers(logical)
    records["labels"] = search.labels(max((found.row["reports"] for found in records["outcomes"] or ()), default=0))
    trace = Trace(search.event_id, text if asked else None, records, facts_of(settings, contracts))
    answers = trace.of("features") and trace.of("predictions")
    if any(silent(trace.facts, answers, trace.of("shadow-predictions"))):
        records["control"] = search.news()
    trace.packages.update(_packages(store, trace))
    return trace


class _Search:
    """One event's search; what is found first says where to look for the rest."""

    def __init__(self, contracts: Contracts, seeker: Seeker, event_id: str) -> None:
        self.event_id = event_id
        self.entity: str | None = None
        self.since: int | None = None
        self._contracts = contracts
        self._seeker = seeker
        self._pipeline = contracts.pipeline
        self._pattern = _event_pattern(contracts, event_id)

    def events(self, start: int | None, stop: int | None) -> list[TracedRecord] | None:
        if self._pattern is None:
            return []
        event = self._pipeline.events
        wanted = equal(event.id, self.event_id)
        found = self._seeker.seek(self._contracts.channel("events"), [self._pattern], wanted, start=start, stop=stop)
        for record in found or ():
            self._remember(_text(record.row[event.key]), record.timestamp)
        return found

    def answers(self, logical: str) -> list[TracedRecord] | None:
        pattern, wanted = text_pattern(self.event_id), equal("event_id", self.event_id)
        channel = self._contracts.channel(logical)
        found = self._seeker.seek(channel, [pattern], wanted, key=self.entity, start=self.since)
        for record in found or ():
            self._remember(record.row["entity"], round(record.row["ingest_time"].timestamp() * 1000))
        return found

    def letters(self, records: dict[str, list[TracedRecord] | None]) -> list[TracedRecord] | None:
        places = [(found.topic, found.partition, found.offset) for part in records.values() for found in part or ()]
        patterns = [text_pattern(t) + number_pattern(p) + number_pattern(o) for t, p, o in places]
        patterns += [text_pattern(self.event_id)] + ([self._pattern] if self._pattern is not None else [])
        if self._pipeline.feeds:
            patterns.append(self.event_id.encode())

        def about(columns: pa.RecordBatch) -> pa.BooleanArray:
            rows = columns.select(["topic", "partition", "offset", "value"]).to_pylist()
            by_place = [(row["topic"], row["partition"], row["offset"]) in places for row in rows]
            return pa.array([known or self._inside(row) for known, row in zip(by_place, rows, strict=True)], pa.bool_())

        return self._seeker.seek(self._contracts.channel("dead-letters"), patterns, about, start=self.since)

    def labels(self, reports: int) -> list[TracedRecord] | None:
        channel = self._contracts.channel("labels")
        pattern, wanted = text_pattern(self.event_id), equal("event_id", self.event_id)
        found = self._seeker.seek(channel, [pattern], wanted, key=self.event_id)
        if found is not None and len(found) < reports:  # Somebody keys them by something else.
            found = self._seeker.seek(channel, [pattern], wanted)
        return found

    def news(self) -> list[TracedRecord] | None:
        """What dark models told of themselves, in the topic's order."""
        wanted = pa.array([kind.type for kind in DARK_KINDS])
        found = self._seeker.seek(
            self._contracts.channel("control"),
            [text_pattern(kind.type) for kind in DARK_KINDS],
            lambda columns: kernels.is_in(columns.column("type").cast(pa.string()), value_set=wanted),
        )
        return sorted(found or (), key=lambda record: (record.partition, record.offset))

    def _remember(self, entity: str, time: int) -> None:
        self.entity = entity
        self.since = min(time, self.since or time)

    def _inside(self, letter: dict[str, Any]) -> bool:
        """Whether the record that a dead letter holds is about the event."""
        if letter["value"] is None:
            return False
        if letter["topic"] in {feed.topic for feed in self._pipeline.feeds.values()}:
            return _names(letter["value"], self.event_id)
        logical = letter["topic"].removeprefix(f"{self._pipeline.name}.")
        if logical not in ("events", "labels", *ANSWERS):
            return False
        columns = self._contracts.channel(logical).codec.decode([letter["value"]]).columns
        name = self._pipeline.events.id if logical == "events" else "event_id"
        return bool(columns.num_rows) and _text(columns.column(name)[0].as_py()) == self.event_id


def _names(value: bytes, event_id: str) -> bool:
    """Whether a producer's record that could not be read has an id in it, as a text or number of JSON has it.

    >>> _names(b'{"id": "e1", "price": "4"}', "e1"), _names(b'{"id": 17}', "7")
    (True, False)
    """
    told = re.escape(event_id.encode())
    return re.search(rb"\"" + told + rb"\"|[:\s\[]" + told + rb"[\s,}\]]", value) is not None


def _event_pattern(contracts: Contracts, event_id: str) -> bytes | None:
    """What stands in every event of this id; None when no event can have it."""
    match contracts.pipeline.events.fields[contracts.pipeline.events.id].type:
        case "string":
            return text_pattern(event_id)
        case "integer":
            whole = re.fullmatch(r"0|-?[1-9][0-9]{0,18}", event_id)
            return number_pattern(int(event_id)) if whole else None
    return b""


def _text(value: Any) -> str:
    """A value as Arrow casts it to a string, as ids and entities are on our topics."""
    return str(pa.array([value]).cast(pa.string())[0].as_py())


def _packages(store: ModelStore, trace: Trace) -> dict[str, Manifest | str]:
    """What the store has of every model that had a part in the event's predictions."""
    answers = [found.row for logical in ANSWERS[1:3] for found in trace.of(logical)]
    digests = {row["model"]["digest"] for row in answers}
    versions = {row["plan_version"] for row in answers}
    for fact in trace.facts:
        for arm in fact.plan.arms if fact.plan is not None and fact.version in versions else ():
            if arm.digest in digests:
                digests |= {member.digest for member in arm.members}
    if not digests:
        return {}
    try:
        stored = {package.digest: package for package in store.packages()}
    except ConfigurationError as error:
        return dict.fromkeys(digests, str(error))
    found: dict[str, Manifest | str] = {}
    for digest in digests & stored.keys():
        try:
            found[digest] = store.manifest(stored[digest])
        except ContractError as error:
            found[digest] = str(error)
    return found
