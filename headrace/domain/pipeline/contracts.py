"""The Avro schemas of a pipeline's topics: files of `schemas/`, or made from the pipeline file, always the same."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import Any

from headrace.domain.pipeline.classes.names import field_names
from headrace.domain.pipeline.feed.spec import EVENTS_FEED, LABELS_FEED
from headrace.domain.pipeline.spec import ALL_EVENTS, EXCHANGE, VIEW, Column, Field, Pipeline, View
from headrace.domain.pipeline.workspace import Workspace
from headrace.streaming.contracts.topics import load_topics
from headrace.streaming.records.feed.column import AVRO

Schema = dict[str, Any]

VIEW_UPDATE = "view_update"
PREDICTIONS = "predictions"
"""A topic, and what the files of topics with such records name as their schema."""

REVISION = "pipeline_revision"
"""The field of features, predictions and outcomes that names the revision; there is none before the second one."""

MILLIS: Schema = {"type": "long", "logicalType": "timestamp-millis"}


def schemas(pipeline: Pipeline, workspace: Workspace) -> dict[str, Schema]:
    """The Avro schema of every subject of a pipeline: `<pipeline>.<logical topic>-value`.

    Topics whose records depend on the pipeline have schemas that are made from it; the others name a file of
    `schemas/`, those too that a project adds in its own `topics/`. One that names `predictions` has their records.

    Raises:
        ConfigurationError: a topic file is wrong, or a schema file is missing.
        ContractError: a schema file is not JSON.
    """
    found = {
        "events": workspace.schema(pipeline.events.schema) if pipeline.events.feed is None else events(pipeline),
        "features": features(pipeline),
        PREDICTIONS: predictions(pipeline),
        "shadow-predictions": predictions(pipeline),
        EXCHANGE: exchange(pipeline, workspace),
        "outcomes": outcomes(pipeline),
    }
    found |= {
        name: predictions(pipeline) if topic.value_schema == PREDICTIONS else workspace.schema(topic.value_schema)
        for name, topic in load_topics(workspace.topic_folders()).items()
        if name not in (*found, VIEW)
    }
    found |= {topic: workspace.schema(VIEW_UPDATE) for topic in pipeline.topics_of(VIEW)}
    found |= dict.fromkeys(pipeline.topics_of(EXCHANGE), found[EXCHANGE])
    return {f"{pipeline.name}.{topic}-value": schema for topic, schema in found.items()}


def events(pipeline: Pipeline) -> Schema:
    """The record that `intake` writes where a producer has events in a form of its own: the fields that are read."""
    fields = [_event_field(field, pipeline) for field in pipeline.events.fields.values()]
    doc = f"An event of {pipeline.name}, taken from {pipeline.topic(EVENTS_FEED)}."
    return _record("event", doc, fields, f"headrace.{pipeline.name}")


def feed_label(pipeline: Pipeline) -> Schema:
    """What is read of a label that somebody writes in a form of their own; without its time, where it has none."""
    feed = pipeline.feeds[LABELS_FEED]
    docs = {"event_id": "Identity of the event.", "value": "The truth.", "label_time": "When it became known."}
    fields = [_field(column.name, AVRO[column.kind], docs[column.name]) for column in feed.form.columns]
    return _record("feed_label", f"A label of {feed.topic}.", fields, f"headrace.{pipeline.name}")


def features(pipeline: Pipeline) -> Schema:
    """The record that `enrich` writes: one event with all its features."""
    doc = f"An event of {pipeline.name} with its features."
    return _record("features", doc, [*_identity(pipeline), *_carried(pipeline)], f"headrace.{pipeline.name}")


def predictions(pipeline: Pipeline) -> Schema:
    """The record that `score` and `shadow` write: a model's answer, with all that explains and repeats it."""
    doc = f"A model's answer to an event of {pipeline.name}."
    took = "Microseconds that the model took for it: its batch's, shared evenly."
    cost = {**_field("compute_micros", "float", took), "default": 0.0}
    told = [*_answer(pipeline), cost, *_interval(pipeline), *_carried(pipeline)]
    return _record("prediction", doc, told, f"headrace.{pipeline.name}")


def _interval(pipeline: Pipeline) -> list[Schema]:
    """Of quantities, between which the truth probably lies."""
    if pipeline.model.output != "value":
        return []
    why = "null where the model's package does not say how far it may be off, and of ensembles"
    return [
        {**_field(name, ["null", "double"], f"The {end} end of the interval that is to hold the truth; {why}.")}
        | {"default": None}
        for name, end in (("low", "lower"), ("high", "upper"))
    ]


def outcomes(pipeline: Pipeline) -> Schema:
    """The record that `labels` writes: a prediction with what turned out to be true of its event."""
    again = "-1: no outcome, but the same prediction again."
    states = "labelled: somebody said so. presumed: nobody did in time. unlabelled: not known."
    mature = (
        "All events that happened before this, of those whose ids belong to the same partition of the exchange, had "
        "matured, and their outcomes were told; null in records from before this was told."
    )
    truth = [
        _field("revision", "int", f"0 for a prediction's first outcome, each correction has the next number; {again}"),
        _field("state", "string", f"{states} repeated: see revision."),
        *_label(pipeline),
        {**_field("label_time", ["null", MILLIS], "When the truth became known to its source."), "default": None},
        {**_field("label_delay", ["null", "long"], "Milliseconds from event to label time."), "default": None},
        {**_field("label_source", ["null", "string"], "Who said so."), "default": None},
        {**_field("former_state", ["null", "string"], "The state that this revision corrects."), "default": None},
        {**_field("former_label", ["null", "double"], "The label that this revision corrects."), "default": None},
        _field("reports", "int", "How many different reports came for the event so far."),
        _field("conflicting", "boolean", "Whether the newest reports of different sources disagree."),
        _field("as_of", MILLIS, "Labels up to this label time had been read."),
        {**_field("mature_before", ["null", MILLIS], mature), "default": None},
    ]
    doc = f"What became of a prediction of {pipeline.name}; the newest revision of a prediction_id holds."
    fields = [*_answer(pipeline), *truth, *_carried(pipeline)]
    return _record("outcome", doc, fields, f"headrace.{pipeline.name}")


def _label(pipeline: Pipeline) -> list[Schema]:
    """What is true of an event, as a number; and by its name, where it is one of several classes."""
    names = pipeline.model.classes
    if not names:
        doc = "What is true: 0 or 1 for a class, or a quantity."
        return [{**_field("label", ["null", "double"], doc), "default": None}]
    order = ", ".join(f"{place} {name}" for place, name in enumerate(names))
    place = f"What is true: the place of a class among all, from 0: {order}."
    return [
        {**_field("label", ["null", "double"], place), "default": None},
        {**_field("label_class", ["null", "string"], "What is true: the class by its name."), "default": None},
    ]


def exchange(pipeline: Pipeline, workspace: Workspace) -> Schema:
    """The record that brings together by event id what other topics key otherwise; `labels` joins it."""
    keys = [
        _field("view", "string", "Name of a view that another entity keys."),
        _field("keys", {"type": "array", "items": ["null", "string"]}, "That entity, of each event."),
    ]
    entities = {"type": "array", "items": _record("event_entities", "The entity of a view.", keys)}
    events = [
        _field("event_ids", {"type": "array", "items": "string"}, "Identity of each event."),
        _field("times", {"type": "array", "items": "long"}, "Event time of each event, milliseconds since the epoch."),
        _field("entities", entities, "Whom each event belongs to, for each view that labels are folded into."),
    ]
    own = [
        _field("source", "string", "Logical topic that this was read from."),
        _field("source_partition", "int", "Its partition."),
        _field("next_offset", "long", "All records of the source partition below this offset are told."),
        _field("progress", MILLIS, "Largest event time, or label time, seen in the source partition."),
        _field("idle", "boolean", "Whether the source partition has stayed at its end for a while."),
        _field("time", MILLIS, "By the clock, when this was told; when the idle source was last seen at its end."),
        _field("events", _record("event_columns", "Events, as columns.", events), "Events of views that fold labels."),
        _field("predictions", {"type": "array", "items": predictions(pipeline)}, "Predictions, of any arm."),
        _field("labels", {"type": "array", "items": workspace.schema("label")}, "Labels."),
    ]
    doc = "Part of a batch of one source partition: what is about events whose ids belong to this partition."
    return _record("exchange", doc, own, f"headrace.{pipeline.name}")


def _answer(pipeline: Pipeline) -> list[Schema]:
    """What predictions and outcomes say of a model's answer."""
    model = [
        _field("name", "string", "Name of the model package."),
        _field("version", "string", "Version of the model package."),
        _field("digest", "string", "SHA-256 of the model package, in hex: its identity."),
    ]
    return [
        _field("prediction_id", "string", "Made of event id, model version and arm alone: a repeat carries the same."),
        *_identity(pipeline),
        _field("predicted_time", MILLIS, "When the score was computed."),
        _field("model", _record("model_identity", "Which model answered.", model), "Which model answered."),
        _field("arm", "string", "Part that the model played: champion, canary, challenger or shadow."),
        _field("plan_version", "long", "Version of the plan that named the model."),
        *_score(pipeline),
    ]


def _scores_name(names: Sequence[str]) -> str:
    """Another name for other classes, or the same in another order: no reader takes the places of one for another's."""
    return f"class_scores_{sha256(chr(10).join(names).encode()).hexdigest()[:8]}"


def _score(pipeline: Pipeline) -> list[Schema]:
    """A model's answer: one number, or one for each class."""
    reaches = _field("decision", "boolean", "Whether the score reaches the threshold of the model package.")
    names = pipeline.model.classes
    if not names:
        return [_field("score", "double", f"The model's answer, a {pipeline.model.output}."), reaches]
    each = [
        _field(field, "double", f"Probability of the class {name}.")
        for field, name in zip(field_names(names), names, strict=True)
    ]
    return [
        _field("score", "double", "The probability of the class decided on."),
        reaches,
        _field("class", "string", "The class decided on: the one that costs least by these probabilities."),
        _field("scores", _record(_scores_name(names), "The model's answer: of each class.", each), "Of each class."),
    ]


def _identity(pipeline: Pipeline) -> list[Schema]:
    return [
        _field("event_id", "string", f"The event's {pipeline.events.id}; the same on every topic."),
        _field("entity", "string", f"The event's {pipeline.events.key}, whose features these are."),
        _field("event_time", MILLIS, f"The event's {pipeline.events.time}."),
        _field("ingest_time", MILLIS, "When the event was written to its topic, by the record's own time stamp."),
    ]


def _carried(pipeline: Pipeline) -> list[Schema]:
    """What features and predictions records share: fields of the event, features of each view, and their ages."""
    found: list[Schema] = []
    if pipeline.revision > 1:  # Records of the first revision lack it, and are read as its own.
        doc = "Revision of the pipeline that answered the event."
        found.append({**_field(REVISION, "int", doc), "default": 1})
    fields = pipeline.event_fields
    if fields:  # a record without fields takes no bytes, which no reader of strangers' bytes should accept
        record = _record("event_fields", "Fields of the event.", [_event_field(f, pipeline, True) for f in fields])
        event = _field("event", record, "Fields of the event that the model or a segment reads, after the rules.")
        if pipeline.revision > 1:
            event["default"] = {field.name: None for field in fields}
        found.append(event)
    for view in pipeline.views.values():
        record = _record(f"{view.name}_features", _view_doc(view), [_feature(view, c, pipeline) for c in view.columns])
        field = _field(view.name, record, _view_doc(view))
        if pipeline.revision > 1:  # Records of revisions before may lack the whole view.
            field["default"] = {column.name: None for column in view.columns}
        found.append(field)
    for view in pipeline.foreign_views:
        doc = f"Milliseconds that the view {view.name} was behind what the event needed; 0 is exact, null not known."
        found.append({**_field(f"{view.name}_age", ["null", "long"], doc), "default": None})
    return found


def _event_field(field: Field, pipeline: Pipeline, carried: bool = False) -> Schema:
    """`carried`: in features and what follows them, where records of revisions before may lack it."""
    doc = f"{field.name} of {pipeline.events.schema}."
    if field.nullable or (carried and pipeline.revision > 1):
        return {**_field(field.name, ["null", field.avro], doc), "default": None}
    return _field(field.name, field.avro, doc)


def _view_doc(view: View) -> str:
    named = "all events" if view.key == ALL_EVENTS else f"the event's {' and '.join(view.keys)}"
    derived = any(expression.columns for expression in view.expressions.values())
    moment = "of other features" if derived else "of the moment and the event alone"
    of = moment if view.kind == "calendar" else f"of {named}"
    return f"Features {of}, version {view.version} of the view {view.name}."


def _feature(view: View, column: Column, pipeline: Pipeline) -> Schema:
    avro = {"integer": "long", "number": "double", "boolean": "int"}[column.type]
    if pipeline.revision == 1:
        return _field(column.name, avro, _feature_doc(view, column))
    # Records of revisions before may lack it: then it is null to those who read them.
    return {**_field(column.name, ["null", avro], _feature_doc(view, column)), "default": None}


def _feature_doc(view: View, column: Column) -> str:
    if view.kind == "calendar":
        expression = view.expressions[column.feature]
        zone = "" if expression.timezone == "UTC" else f", {expression.timezone}"
        return f"{expression.text}{zone}" + (": 1 if so, else 0." if column.type == "boolean" else ".")
    aggregation = view.features[column.feature]
    by = f" {aggregation.parameter:g}" if aggregation.parameter else ""
    read = () if aggregation.value is None else (aggregation.value.of, aggregation.value.where)
    zones = {part.timezone for part in read if part is not None} - {"UTC"}
    zone = "".join(f", {name}" for name in sorted(zones))
    what = f"{aggregation.function}{by} of {aggregation.subject or 'events'}{zone}"
    window = view.window_names[column.place]
    late = f", ending {view.delay} ms before the event" if view.delay else ", the event included"
    empty = "" if column.type == "integer" else f"; {view.missing:g} where there are none"
    return f"{what[0].upper()}{what[1:]} over the last {window}{late}{empty}."


def _record(name: str, doc: str, fields: Sequence[Schema], namespace: str | None = None) -> Schema:
    space = {} if namespace is None else {"namespace": namespace}
    return {"type": "record", "name": name, **space, "doc": doc, "fields": list(fields)}


def _field(name: str, avro: object, doc: str) -> Schema:
    return {"name": name, "type": avro, "doc": doc}
