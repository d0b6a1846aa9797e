"""Revisions as facts, and what follows from them for a group of `enrich`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from headrace.domain.pipeline.contracts import features
from headrace.domain.pipeline.spec import Pipeline
from headrace.errors import ContractError
from headrace.streaming.task.service import Succession

BUILDING, SWITCHING, ANSWERING, ABANDONED = "building", "switching", "answering", "abandoned"
EVENT_KEYS = ("schema", "id", "time", "key", "allowed_lateness", "late", "repeats", "repeats_within")
FIRST = 1
"""Of a pipeline that nobody revised yet; it needs no fact."""


@dataclass(frozen=True, slots=True)
class Revision:
    """A record of the topic of revisions.

    Attributes:
        number: as the pipeline file has it.
        state: `building`, `switching`, `answering` or `abandoned`.
        follows: the revision whose place it takes.
        digest: of what its features depend on, see `digest_of`.
        definition: the pipeline file.
        former: that of the revision whose place it takes; empty where nobody told.
        time: milliseconds since the epoch.
    """

    number: int
    state: str
    follows: int
    digest: str
    definition: str
    time: int
    actor: str
    reason: str
    former: str = ""

    def row(self, pipeline: str) -> dict[str, Any]:
        """As the topic's schema has it."""
        fields = asdict(self)
        return {"pipeline": pipeline, "revision": fields.pop("number"), **fields}


def read_revision(row: Mapping[str, Any]) -> Revision:
    """The inverse of `Revision.row`; its time in milliseconds, or as a time."""
    time = row["time"]
    millis = int(time.timestamp() * 1000) if isinstance(time, datetime) else int(time)
    return Revision(
        row["revision"], row["state"], row["follows"], row["digest"], row["definition"], millis, row["actor"],
        row["reason"], row["former"],
    )  # fmt: skip  # one record


class Revisions:
    """The newest record of each revision of a pipeline, in the topic's order."""

    def __init__(self, pipeline: str) -> None:
        self._pipeline = pipeline
        self.newest: dict[int, Revision] = {}

    def take(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Take up records of the topic; those of other pipelines are left out."""
        for row in rows:
            if row["pipeline"] == self._pipeline:
                found = read_revision(row)
                self.newest[found.number] = found

    @property
    def answering(self) -> int:
        """The revision that answers, or that is about to where the one before gives way to it."""
        taken = {each.follows: each.number for each in self.newest.values() if each.state in (SWITCHING, ANSWERING)}
        number = min((*self.newest, *(each.follows for each in self.newest.values())), default=FIRST)
        while number in taken:
            number = taken[number]
        return number

    def succession(self, number: int, digest: str) -> Succession:
        """Which groups answer before and after that of a revision.

        Raises:
            ContractError: there is no such revision, it was abandoned, or it is not the one that was announced.
        """
        mine = self.newest.get(number)
        name = f"revision {number} of {self._pipeline}"
        if mine is None and number != FIRST:
            raise ContractError(f"{name} was not announced: run `headrace revise {self._pipeline} --build`")
        if mine is not None and mine.state == ABANDONED:
            raise ContractError(
                f"{name} was abandoned ({mine.reason}): stop its members, or give the file another number"
            )
        if mine is not None and mine.digest != digest:
            raise ContractError(
                f"{name} is not what was announced: views, rules or events of the file were changed since. Change them "
                "back, or make it the next revision"
            )
        follows = group_of(self._pipeline, mine.follows) if mine and mine.state in (BUILDING, SWITCHING) else ""
        heirs = (each for each in self.newest.values() if each.state in (SWITCHING, ANSWERING))
        heir = next((each.number for each in heirs if each.follows == number), None)
        return Succession(follows, "" if heir is None else group_of(self._pipeline, heir))


def group_of(pipeline: str, revision: int) -> str:
    """The consumer group of `enrich` that answers by a revision.

    >>> group_of("card_fraud", 1), group_of("card_fraud", 2)
    ('card_fraud.enrich', 'card_fraud.enrich.r2')
    """
    return f"{pipeline}.enrich" + (f".r{revision}" if revision > FIRST else "")


def definition_of(pipeline: Pipeline) -> dict[str, str]:
    """What the features of a pipeline depend on, in words, by its place in the file: `customer.nb_tx_1d`.

    The same file says the same in every process and version that computes the same: checkpoints of `enrich` hold it,
    and are refused where it is another. Rules that warn change no feature, so they are left out.
    """
    said = {f"events.{name}": repr(getattr(pipeline.events, name)) for name in EVENT_KEYS}
    for rule in (rule for rule in pipeline.rules if rule.otherwise != "warn"):
        place = f"rules.{rule.field}"
        said[place] = "; ".join(filter(None, (said.get(place), repr(rule))))
    for carried in pipeline.event_fields:
        said[f"event.{carried.name}"] = f"{carried.avro}{', or null' if carried.nullable else ''}, as the event has it"
    for view in pipeline.foreign_views:
        if view.revision > FIRST:
            said[f"{view.name}.revision"] = str(view.revision)
    for field in features(pipeline)["fields"]:
        if field["name"] in pipeline.views:
            for column in field["type"]["fields"]:
                said[f"{field['name']}.{column['name']}"] = f"{field['doc']} {column['doc']}"
    return said


def digest_of(pipeline: Pipeline) -> str:
    """SHA-256, in hex, of what the features of a pipeline depend on, see `definition_of`."""
    return hashlib.sha256(json.dumps(definition_of(pipeline), sort_keys=True).encode()).hexdigest()


def differing(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    """The places at which two definitions differ, in the order of the file."""
    return [path for path in dict.fromkeys((*before, *after)) if before.get(path) != after.get(path)]
