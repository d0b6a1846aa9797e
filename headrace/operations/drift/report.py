"""How everything stands that is watched for drift, and the incidents there were, from what `drift` wrote."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from headrace.domain.control.drift import DriftClosed, DriftFinding, DriftOpened
from headrace.domain.control.events import read_event
from headrace.domain.pipeline.document import closest
from headrace.domain.pipeline.wiring import Contracts
from headrace.domain.records.drift_parts import SOURCES
from headrace.domain.records.watched_columns import PREDICTIONS, SHADOW
from headrace.errors import ConfigurationError
from headrace.operations.drift.harm import LossReport, loss_report, milliseconds_of
from headrace.operations.time_spans import TimeSpan
from headrace.streaming.kafka.bindings import Channel
from headrace.streaming.kafka.connection import Connection
from headrace.streaming.kafka.reader import ranges, read
from headrace.streaming.process.settings import Settings

Key = tuple[str, str, str, str, str]
"""Stream; name, version and digest of a model, or what stands there of refused records; column."""
ANSWERED = (PREDICTIONS, SHADOW)
"""Streams in which the same change of an event is seen by different models."""


@dataclass(frozen=True, slots=True)
class WatchedColumn:
    """A column as it stands.

    Attributes:
        column: its name.
        state: `watched`, `learning`, `changed` or `left_out`, see schemas/drift.avsc.
        evidence: its part of the model's, over the threshold.
        events: rows that said something of it.
        learnt: values that its reference has so far, while it is learning.
        divergence: of recent rows from the reference, in nats.
        edges: bounds of the bins of numbers.
        levels: of a category, those of the first bins.
        reference, recent: share of each bin; the last is of missing values.
        effect: by which share of the reference's loss these shares change it, all else the same; None: not known.
    """

    column: str
    state: str
    evidence: float
    events: int
    learnt: int | None
    divergence: float
    edges: Sequence[float]
    reference: Sequence[float]
    recent: Sequence[float]
    effect: float | None
    levels: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class WatchedModel:
    """A model as it stands in a stream.

    Attributes:
        stream: of `SOURCES`.
        model: `name@version`; of refused records, their topic and the reason.
        digest: of its package.
        reached: event time up to which it was watched, milliseconds.
        told: by the clock, when that was said, milliseconds.
        events: rows of it that were watched.
        evidence: for a change, over the threshold: 1 is an alarm.
        incident: the open one of the stream.
        course: the highest evidence within each hour of event time, by its first millisecond, the oldest first.
        columns: those that changed or have most evidence first.
        losses: within the last seven days of event time, see `headrace.operations.drift.harm`; None: not told.
    """

    stream: str
    model: str
    digest: str
    reached: int
    told: int
    events: int
    evidence: float
    incident: str | None
    course: Sequence[tuple[int, float]]
    columns: Sequence[WatchedColumn]
    losses: LossReport | None


@dataclass(frozen=True, slots=True)
class ChangedColumn:
    """A column's part in an incident.

    Attributes:
        column: its name.
        model: `name@version`; `digest`: of its package.
        reached: event time of the alarm that named it, milliseconds.
        began: event time at which its change began; None: not known.
        earlier: whether it may have begun before all events that were remembered.
        share: of the evidence of that alarm.
        bet: what fits the change best, in words.
        edges, reference, since: bounds of the bins of numbers, share of each bin in the reference and since the change.
        cyclic: whether bounds are in spreads from what is usual at the hour.
        effect: by which share of the reference's loss the change of this column changes it, all else the same; None:
            not known.
        levels: of a category, those of the first bins.
    """

    column: str
    model: str
    digest: str
    reached: int
    began: int | None
    earlier: bool
    share: float
    bet: str
    edges: Sequence[float]
    reference: Sequence[float]
    since: Sequence[float]
    cyclic: bool
    effect: float | None
    levels: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Incident:
    """What changed together.

    Attributes:
        incident: its identity.
        stream: whose rows told of it.
        opened: event time of its first alarm, milliseconds.
        began: event time at which the first change of it began; None: not known.
        closed: event time of its end; None while it is open.
        because: of its end.
        evidence: of the first alarm, over the threshold.
        columns: in the order in which they were found; one that came twice stands twice.
        beside: identities of those that are most likely of the same change, seen by other models: of champions where it
            is of dark ones, or the other way about, at the same time, with a column in common.
        harms: what it does to each model, as far as is known.
    """

    incident: str
    stream: str
    opened: int
    began: int | None
    closed: int | None
    because: str
    evidence: float
    columns: Sequence[ChangedColumn]
    beside: Sequence[str] = ()
    harms: Sequence[LossReport] = ()

    @property
    def kind(self) -> str:
        """`concept` where it is for one of its models, else `covariate` where it is for one, else `unknown`."""
        kinds = {each.kind for each in self.harms}
        return next((kind for kind in ("concept", "covariate") if kind in kinds), "unknown")

    @property
    def harmful(self) -> bool:
        """Whether one of its models is proved worse than is tolerated, by labels or by estimate."""
        return any(each.proved is not None or each.estimate_proved is not None for each in self.harms)

    @property
    def names(self) -> list[str]:
        """The columns that changed, each once."""
        return list(dict.fromkeys(column.column for column in self.columns))

    def within(self, span: TimeSpan) -> bool:
        """Whether it was going on within a span of event time."""
        return self.begin < span.stop and (self.closed is None or self.closed >= span.start)

    @property
    def begin(self) -> int:
        """Event time from which on it was going on, as far as is known, milliseconds."""
        return self.opened if self.began is None else min(self.began, self.opened)

    def like(self, other: Incident) -> bool:
        """Whether both are most likely of the same change, see `beside`."""
        if self.stream == other.stream or not {self.stream, other.stream} <= {*ANSWERED}:
            return False
        ends = [each.closed is None or each.closed >= of.begin for each, of in ((self, other), (other, self))]
        return all(ends) and not {*self.names}.isdisjoint(other.names)

    @property
    def note(self) -> IncidentNote:
        """It in short."""
        return IncidentNote(self.incident, self.stream, self.opened, self.began, self.closed, self.names)


@dataclass(frozen=True, slots=True)
class IncidentNote:
    """An incident in short: see `Incident`; `columns` are the names of those that changed."""

    incident: str
    stream: str
    opened: int
    began: int | None
    closed: int | None
    columns: Sequence[str]


@dataclass(frozen=True, slots=True)
class DriftReport:
    """All that is known of drift in a pipeline: models as they stand, and incidents, the newest first."""

    pipeline: str
    models: Sequence[WatchedModel]
    incidents: Sequence[Incident]

    def incident(self, name: str) -> Incident:
        """One of them. ConfigurationError where there is none of this name."""
        known = {each.incident: each for each in self.incidents}
        if name not in known:
            there = f"there were none yet: headrace drift {self.pipeline} says what is watched"
            raise ConfigurationError(
                f"{self.pipeline} has no incident {name}: {closest(name, list(known)) if known else there}"
            )
        return known[name]


def drift_report(settings: Settings, contracts: Contracts) -> DriftReport:
    """What the topics say of drift.

    Raises:
        ConfigurationError: nothing is watched yet.
        Transient: Kafka does not answer.
    """
    name = contracts.pipeline.name
    newest: dict[Key, dict[str, Any]] = {}
    courses: dict[tuple[str, ...], dict[int, float]] = defaultdict(dict)
    harms: dict[tuple[str, str], LossReport] = {}
    for row in _rows(settings.connection, contracts.channel("drift")):
        of = row["stream"], *row["model"].values()
        if row["state"] == "course":
            courses[of][milliseconds_of(row["reached"])] = row["evidence"]
        elif row["state"] == "harm":
            harms[row["incident"], row["model"]["digest"]] = loss_report(row["model"], row["harm"])
        else:
            newest[(*of, row["column"])] = row
    if not newest:
        raise ConfigurationError(
            f"nothing of {name} is watched for drift yet: `headrace run {name}` runs the service that does, and "
            f"`headrace lag {name}` says how far it is"
        )
    told = [
        replace(each, harms=[harm for (incident, _), harm in harms.items() if incident == each.incident])
        for each in incidents(settings.connection, contracts.channel("control"))
    ]
    return DriftReport(name, _models(newest, courses), told)


def incidents(connection: Connection, control: Channel) -> list[Incident]:
    """The incidents that a pipeline's control topic tells of, the newest first. Transient: Kafka does not answer."""
    found: dict[str, Incident] = {}
    seen: set[str] = set()
    for row in _rows(connection, control):
        event = read_event(row | {"evidence": dict(row["evidence"])})
        if event is not None and isinstance(event.finding, DriftFinding) and event.event_id not in seen:
            seen.add(event.event_id)
            _take(found, event.finding)
    told = [
        replace(each, beside=[other.incident for other in found.values() if each.like(other)])
        for each in found.values()
    ]
    return sorted(told, key=lambda each: (each.closed is None, each.opened), reverse=True)


def _rows(connection: Connection, channel: Channel) -> Iterator[dict[str, Any]]:
    for intake in read(connection, channel, ranges(connection, channel.name)):
        yield from intake.batch.columns.to_pylist()  # thousands at most: nobody writes more of them


def _take(found: dict[str, Incident], finding: DriftFinding) -> None:
    name = finding.incident
    columns = [_changed(each, finding) for each in json.loads(finding.columns)]
    if isinstance(finding, DriftOpened):
        opened = finding.reached, finding.began, None, "", finding.evidence
        found[name] = Incident(name, finding.stream, *opened, columns)
    elif name in found:  # else its beginning is no longer there
        before = found[name]
        if isinstance(finding, DriftClosed):
            found[name] = replace(before, closed=finding.reached, because=finding.because)
        else:
            found[name] = replace(before, columns=[*before.columns, *columns])


def _changed(said: Mapping[str, Any], finding: DriftFinding) -> ChangedColumn:
    return ChangedColumn(
        said["column"],
        finding.model,
        finding.digest,
        finding.reached,
        said["began"],
        said["earlier"],
        said["share"],
        said["bet"],
        said["edges"] or [],
        said["reference"],
        said["recent"],
        said.get("cyclic", False),
        said.get("effect"),
        said.get("levels", ()),
    )


def _models(
    newest: Mapping[Key, Mapping[str, Any]], courses: Mapping[tuple[str, ...], Mapping[int, float]]
) -> list[WatchedModel]:
    found = []
    for (*of, column), row in sorted(newest.items(), key=lambda item: (SOURCES.index(item[0][0]), item[0])):
        if column == "":
            columns = [each for (*its, name), each in newest.items() if its == of and name]
            course = sorted(courses.get(tuple(of), {}).items())
            found.append(_model(row, course, _columns(columns)))
    return found


def _model(
    row: Mapping[str, Any], course: Sequence[tuple[int, float]], columns: Sequence[WatchedColumn]
) -> WatchedModel:
    model = row["model"]
    return WatchedModel(
        row["stream"],
        f"{model['name']}@{model['version']}",
        model["digest"],
        milliseconds_of(row["reached"]),
        milliseconds_of(row["time"]),
        row["events"],
        row["evidence"],
        row["incident"],
        course,
        columns,
        None if row["harm"] is None else loss_report(model, row["harm"]),
    )


def _columns(rows: Iterable[Mapping[str, Any]]) -> list[WatchedColumn]:
    names = ("column", "state", "evidence", "events", "learnt", "divergence", "edges", "reference", "recent", "effect")
    columns = [WatchedColumn(**{name: row[name] for name in names}, levels=row.get("levels", ())) for row in rows]
    order = ("changed", "watched", "learning", "left_out")
    return sorted(columns, key=lambda each: (order.index(each.state), -each.evidence, -each.divergence, each.column))
