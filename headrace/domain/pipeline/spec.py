"""The pipeline file as frozen values. `check.load` makes them; everything in them has been checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import nan
from typing import Literal

from headrace.domain.aggregations.registry import function_named
from headrace.domain.pipeline.categories.spec import Category
from headrace.domain.pipeline.classes.decision import Costs
from headrace.domain.pipeline.documentation.spec import NOTHING, Note
from headrace.domain.pipeline.drift.spec import Drift
from headrace.domain.pipeline.feed.spec import EVENTS_FEED, LABELS_FEED, Feed
from headrace.domain.pipeline.files.spec import FileLayout
from headrace.domain.pipeline.kpi.spec import KpiRule
from headrace.domain.pipeline.language.aggregation import Aggregation, ValueColumn
from headrace.domain.pipeline.language.expressions import Expression
from headrace.domain.pipeline.notification.spec import Notify
from headrace.domain.pipeline.registry.spec import ModelRegistry
from headrace.domain.pipeline.release.spec import Release
from headrace.domain.pipeline.retrain.spec import Retrain
from headrace.domain.pipeline.scorecards.spec import ScorecardsSection, Worth

FieldType = Literal["integer", "number", "string", "boolean", "time", "other"]
Otherwise = Literal["reject", "impute", "warn"]
Late = Literal["reject", "score"]
Repeats = Literal["drop", "keep"]
HOUR = 3_600_000
VIEW, EXCHANGE = "view", "exchange"
"""Files of `topics/` that describe several topics each: one for every view, see `View.topic` and `View.exchange`."""
Value = float | int | str | bool


@dataclass(frozen=True, slots=True)
class Field:
    """A field of the event's Avro schema: `avro` is its type as written there, without the null of a nullable one."""

    name: str
    type: FieldType
    nullable: bool
    avro: object


@dataclass(frozen=True, slots=True)
class Event:
    """What an event looks like.

    Attributes:
        schema: name of its Avro schema, a file in `schemas/`.
        id, time, key: the fields that identify it, say when it happened and which entity it belongs to.
        allowed_lateness: milliseconds an event may be behind its partition's newest and still be folded exactly.
        late: what becomes of later ones: `reject` sends them to the dead letters, `score` predicts them with what is
            known and leaves windows alone.
        repeats: what becomes of an event whose id was there before: `drop` leaves it out, `keep` takes it for an event
            of its own.
        repeats_within: milliseconds of event time that an id is remembered for, at least; no less than
            `allowed_lateness`, so that what can be folded is folded once.
        fields: all fields of the schema, in its order.
        feed: where events come from, where a producer writes them in a form of its own; `intake` takes them up.
    """

    schema: str
    id: str
    time: str
    key: str
    allowed_lateness: int = 0
    late: Late = "reject"
    repeats: Repeats = "drop"
    repeats_within: int = HOUR
    fields: Mapping[str, Field] = field(default_factory=dict)
    feed: Feed | None = None


@dataclass(frozen=True, slots=True)
class Rule:
    """What must hold for a field of the event, and what becomes of an event for which it does not.

    Attributes:
        range: smallest and largest value allowed, both included; an open end is an infinity.
        one_of: the values allowed.
        required: null does not pass.
        otherwise: `reject` to the dead letters, `impute` `value`, or `warn` (count it, change nothing).
    """

    field: str
    type: FieldType
    required: bool = False
    range: tuple[float, float] | None = None
    one_of: tuple[Value, ...] | None = None
    otherwise: Otherwise = "reject"
    value: Value | None = None


ALL_EVENTS = "*"
"""The key of a view whose one entity is all events together."""


@dataclass(frozen=True, slots=True)
class Column:
    """One feature column of a view.

    Attributes:
        view, name: it is the field `name` of the struct `view`; `view.name` in the log and in model packages.
        type: `integer`, `number`, or `boolean` (written as 0 or 1).
        feature: the feature's name in the file, without the window.
        window: milliseconds; 0 for a calendar feature.
        place: of the window among the view's.
    """

    view: str
    name: str
    type: Literal["integer", "number", "boolean"]
    feature: str
    window: int = 0
    place: int = 0

    @property
    def path(self) -> str:
        """`customer.avg_amount_7d`."""
        return f"{self.view}.{self.name}"


@dataclass(frozen=True, slots=True)
class View:
    """Features of an entity (`kind` entity) or of the moment and the event alone (`kind` calendar).

    An entity's windows are (t - delay - window, t - delay], t being the event's time, the event itself included.

    Attributes:
        key: the event's field that names the entity, several joined by `+`, or `ALL_EVENTS`; None for a calendar view.
        windows: lengths in milliseconds, ascending; `window_names` are the same as written, for column names.
        limits: the most events that each window holds, its newest; 0 for all. Empty when no window has one.
        delay: milliseconds that windows end before the event.
        features: name to aggregation, each computed over every window.
        expressions: name to expression, for a calendar view.
        missing: what an empty window gives (a count is 0 all the same); NaN unless the file says otherwise.
        max_age: for a view keyed by another entity, milliseconds that it may be behind what an event needs before the
            event waits for it.
        idle_after: milliseconds without events after which a source partition no longer holds the view back.
        version: raised when the meaning of a feature changes.
        revision: of the pipeline since which a view keyed by another entity is as it is: each has topics of its own.
        note, notes: what is said of it, and of its features by name, for people: it changes no value.
    """

    name: str
    kind: Literal["calendar", "entity"]
    key: str | None = None
    windows: tuple[int, ...] = ()
    window_names: tuple[str, ...] = ()
    delay: int = 0
    features: Mapping[str, Aggregation] = field(default_factory=dict)
    expressions: Mapping[str, Expression] = field(default_factory=dict)
    missing: float = nan
    max_age: int = 0
    idle_after: int = 10_000
    version: int = 1
    revision: int = 1
    limits: tuple[int, ...] = ()
    note: Note = field(default=NOTHING, compare=False)
    notes: Mapping[str, Note] = field(default_factory=dict, compare=False)

    @property
    def keys(self) -> tuple[str, ...]:
        """The event's fields that name its entity together; none where that is all events."""
        return () if self.key in (None, ALL_EVENTS) else tuple(str(self.key).split("+"))

    def own(self, pipeline: Pipeline) -> bool:
        """Whether the events' own key is part of its entity's name, so that its state lies where its events arrive."""
        return pipeline.events.key in self.keys

    def foreign(self, pipeline: Pipeline) -> bool:
        """Whether other fields than the events' key name its entity."""
        return self.kind == "entity" and not self.own(pipeline)

    @property
    def title(self) -> str:
        """Its name, with the revision since which it is as it is behind it, from the second on: `terminal.r2`."""
        return self.name if self.revision == 1 else f"{self.name}.r{self.revision}"

    @property
    def topic(self) -> str:
        """Logical name of the topic on which a view keyed by another entity is told its entries."""
        return f"view.{self.title}"

    @property
    def exchange(self) -> str:
        """Logical name of the topic on which events that it folds labels of meet their labels."""
        return EXCHANGE if self.revision == 1 else f"{EXCHANGE}.{self.title}"

    @property
    def span(self) -> int:
        """Milliseconds before an event that its oldest entry may lie: delay and longest window."""
        return self.delay + max(self.windows, default=0)

    @property
    def values(self) -> tuple[ValueColumn, ...]:
        """What its entries keep, each once, in the order they are met."""
        found = (a.value for a in self.features.values())
        return tuple({value.name: value for value in found if value is not None}.values())

    @property
    def fields(self) -> tuple[str, ...]:
        """Fields of the event that its aggregations read, each once, in the order they are met."""
        return tuple(dict.fromkeys(name for value in self.values for name in value.fields))

    @property
    def folds_labels(self) -> bool:
        """Whether an aggregation reads labels, as far as they were known when an event happened."""
        return any(a.of_label for a in self.features.values())

    @property
    def columns(self) -> tuple[Column, ...]:
        """Its feature columns: for each window, shortest first, each feature in the file's order."""
        if self.kind == "calendar":  # compile lets no string feature through
            return tuple(Column(self.name, n, e.type, n) for n, e in self.expressions.items() if e.type != "string")
        return tuple(
            Column(self.name, f"{name}_{text}", function_named(a.function).type, name, window, place)
            for place, (window, text) in enumerate(zip(self.windows, self.window_names, strict=True))
            for name, a in self.features.items()
        )


@dataclass(frozen=True, slots=True)
class Model:
    """What models take and give: `inputs` as written (`customer.*`), see `expand`; how `categories` become numbers;
    of `class` alone its `classes`, and `costs` of deciding for one (column) where another is true (row).
    """

    name: str
    inputs: tuple[str, ...]
    output: Literal["probability", "value", "class"] = "probability"
    threshold: float = 0.5
    categories: Mapping[str, Category] = field(default_factory=dict)
    interval: float = 0.9  # share of quantities that intervals are to hold
    classes: tuple[str, ...] = ()
    costs: Costs = ()


@dataclass(frozen=True, slots=True)
class Labels:
    """Where truth comes from; durations in milliseconds.

    Attributes:
        id, value: columns of a file of labels.
        matures_after: how old an event is when nobody waits for its label any longer.
        unlabelled_is: the label of an event that none came for by then; None keeps it unlabelled.
        expires_after: how long after its event a label may be known to count; at least `matures_after`.
        sources: who is believed first where labels of the same time differ; others come after them, by name.
        classes: whether the truth is a class, 0 or 1, or the place, from 0, of one of `names`: the model's classes.
        positive: the value of a label that means 1, any other meaning 0; None where labels are 0 and 1 themselves.
            `unlabelled_is` is the class then, whatever the file calls it.
        feed: where labels come from, where somebody writes them in a form of their own; `intake` takes them up.
    """

    id: str
    value: str
    matures_after: int = 0
    unlabelled_is: float | None = None
    expires_after: int = 90 * 86_400_000
    sources: tuple[str, ...] = ()
    classes: bool = False
    positive: float | None = None
    feed: Feed | None = None
    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Segment:
    """Groups of events: by bands of a number between `cuts` (ascending), or by each of the `values` of a field."""

    name: str
    of: str
    cuts: tuple[float, ...] = ()
    values: tuple[Value, ...] = ()


@dataclass(frozen=True, slots=True)
class Latency:
    """Milliseconds from an event's arrival to its prediction that batches are sized for."""

    target: int = 50


@dataclass(frozen=True, slots=True)
class Pipeline:
    """A use case, whole. `revision`: counts what it was turned into while it ran, see `domain.revisions`."""

    name: str
    events: Event
    model: Model
    rules: tuple[Rule, ...] = ()
    views: Mapping[str, View] = field(default_factory=dict)
    labels: Labels | None = None
    segments: Mapping[str, Segment] = field(default_factory=dict)
    scorecards: ScorecardsSection = field(default_factory=ScorecardsSection)
    value: Worth | None = None
    drift: Drift = field(default_factory=Drift)
    retrain: Retrain | None = None
    release: Release | None = None
    notify: Notify | None = None
    registry: ModelRegistry | None = None
    latency: Latency = field(default_factory=Latency)
    kpis: Mapping[str, KpiRule] = field(default_factory=dict)
    files: FileLayout = field(default_factory=FileLayout)
    revision: int = 1

    @property
    def calendar_views(self) -> tuple[View, ...]:
        """Views that need no state."""
        return tuple(v for v in self.views.values() if v.kind == "calendar")

    @property
    def clock_features(self) -> frozenset[str]:
        """Feature columns that say nothing of an event but when it was, as `view.name`."""
        named = ((view, name, each) for view in self.calendar_views for name, each in view.expressions.items())
        return frozenset(f"{view.name}.{name}" for view, name, each in named if not each.fields and not each.columns)

    @property
    def own_views(self) -> tuple[View, ...]:
        """Entity views keyed as the events are."""
        return tuple(v for v in self.views.values() if v.own(self))

    @property
    def foreign_views(self) -> tuple[View, ...]:
        """Entity views keyed by another entity; each has a topic of its own, `View.topic`."""
        return tuple(v for v in self.views.values() if v.foreign(self))

    @property
    def label_views(self) -> tuple[View, ...]:
        """Entity views keyed by another entity that fold labels; `labels` tells them on their topics."""
        return tuple(v for v in self.foreign_views if v.folds_labels)

    def topics_of(self, file: str) -> tuple[str, ...]:
        """Logical names of the topics that a file of `topics/` describes: one, or one for each of several views."""
        if file == VIEW:
            return tuple(view.topic for view in self.foreign_views)
        if file == EXCHANGE:
            return tuple(dict.fromkeys((EXCHANGE, *(view.exchange for view in self.label_views))))
        return (file,)

    @property
    def event_fields(self) -> tuple[Field, ...]:
        """Fields of the event that the model or a segment reads, in the schema's order: the `event` struct."""
        wanted = {*expand(self), *(segment.of for segment in self.segments.values())}
        return tuple(f for f in self.events.fields.values() if f.name in wanted)

    @property
    def feeds(self) -> Mapping[str, Feed]:
        """The topics that are written in a form of their producers' own, by logical name."""
        found = {EVENTS_FEED: self.events.feed, LABELS_FEED: self.labels.feed if self.labels else None}
        return {logical: feed for logical, feed in found.items() if feed is not None}

    def topic(self, logical: str) -> str:
        """A topic's name on the broker."""
        feed = self.feeds.get(logical)
        return f"{self.name}.{logical}" if feed is None else feed.topic

    def locate(self, column: str) -> tuple[str, str]:
        """(struct, field) where features and predictions records hold a column.

        `customer.nb_tx_7d` is (`customer`, `nb_tx_7d`); the event's own `amount` is (`event`, `amount`).
        """
        view, dot, name = column.partition(".")
        return (view, name) if dot else ("event", column)


def expand(pipeline: Pipeline) -> list[str]:
    """The model's inputs, in order: event fields by name, features as `view.name`, each once.

    A pattern `view.*` stands for all columns of that view, in the view's order.
    """
    return expanded(pipeline.model.inputs, pipeline.views)


def expanded(inputs: Sequence[str], views: Mapping[str, View]) -> list[str]:
    """`expand` for parts of a pipeline that is still being read; a pattern of an unknown view gives nothing."""
    found: dict[str, None] = {}
    for text in inputs:
        view, dot, name = text.partition(".")
        if dot and name == "*":
            found |= dict.fromkeys(column.path for column in (views[view].columns if view in views else ()))
        else:
            found[text] = None
    return list(found)
