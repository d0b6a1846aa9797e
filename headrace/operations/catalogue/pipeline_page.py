"""One page of a pipeline: its events, features, labels, models, segments, rules and topics, as sections with tables."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from headrace.domain.pipeline import units
from headrace.domain.pipeline.segments import group_names
from headrace.domain.pipeline.spec import Field, Pipeline, expand
from headrace.domain.pipeline.wiring import Contracts
from headrace.operations.catalogue.features import catalogue_features, rule_words
from headrace.operations.catalogue.pipeline_topics import PipelineTopic, pipeline_topics
from headrace.operations.catalogue.usage import KnownModels, known_models, readers_of
from headrace.operations.plan_changes.lookup import parts, short
from headrace.streaming.process.settings import Settings


@dataclass(frozen=True, slots=True)
class PageTable:
    """A table: names of columns, and rows of texts."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True, slots=True)
class PageSection:
    """A heading, sentences, and a table where there are rows for one."""

    title: str
    sentences: Sequence[str]
    table: PageTable | None = None


@dataclass(frozen=True, slots=True)
class PipelinePage:
    """A pipeline, told; `unknown`: what could not be told, a sentence each."""

    pipeline: str
    revision: int
    sections: Sequence[PageSection]
    unknown: Sequence[str]


def pipeline_page(settings: Settings, contracts: Contracts) -> PipelinePage:
    """All that the file, the topics' files, the plan and the store say of a pipeline. The same, while these are."""
    models = known_models(settings, contracts)
    pipeline = contracts.pipeline
    sections = [
        _events(pipeline),
        _features(pipeline, models),
        _labels(pipeline),
        _models(pipeline, models),
        _segments(pipeline),
        _rules(pipeline),
        _topics(pipeline_topics(contracts)),
    ]
    return PipelinePage(pipeline.name, pipeline.revision, sections, models.unknown)


def _events(pipeline: Pipeline) -> PageSection:
    events = pipeline.events
    said = [
        f"An event is a {events.schema} on {pipeline.topic('events')}, known by {events.id}, which happened at "
        f"{events.time} to the entity {events.key}.",
        f"It may come {units.duration(events.allowed_lateness)} late; later ones are "
        + ("refused." if events.late == "reject" else "scored with what is known, and change no window."),
        f"One whose id came within {units.duration(events.repeats_within)} before is "
        + ("left out." if events.repeats == "drop" else "an event of its own."),
    ]
    rules: dict[str, list[str]] = {}
    for rule in pipeline.rules:
        rules.setdefault(rule.field, []).append(rule_words(rule))
    rows = [
        [name, _avro(field), "yes" if field.nullable else "", "; ".join(rules.get(name, ()))]
        for name, field in events.fields.items()
    ]
    return PageSection("Events", said, PageTable(("field", "type", "null", "rule"), rows))


def _avro(field: Field) -> str:
    return field.avro if isinstance(field.avro, str) else json.dumps(field.avro)


def _features(pipeline: Pipeline, models: KnownModels) -> PageSection:
    rows = [
        [
            each.feature, each.type, each.expression, each.span, each.entity.replace("+", " and "), each.nulls,
            each.owner, each.description, ", ".join(one.words for one in readers_of(pipeline, each.feature, models)),
        ]
        for each in catalogue_features(pipeline)
    ]  # fmt: skip  # one row
    names = ("feature", "type", "is", "window", "of", "nulls", "owner", "description", "read by")
    served = f"Served on {pipeline.topic('features')}, one record an event."
    return PageSection("Features", [served], PageTable(names, rows))


def _labels(pipeline: Pipeline) -> PageSection:
    rule = pipeline.labels
    if rule is None:
        return PageSection("Labels", ["The file says nothing of labels: there are no outcomes."])
    kind = "a class, 0 or 1" if rule.classes else "a quantity"
    silent = (
        "stays without one." if rule.unlabelled_is is None else f"is {rule.unlabelled_is:g} once that time has passed."
    )
    said = [
        f"A label is {kind}, by {rule.id}, on {pipeline.topic('labels')}.",
        f"An event matures after {units.duration(rule.matures_after)}; one that no label came for {silent}",
        f"Labels count until {units.duration(rule.expires_after)} after their event.",
    ]
    if rule.positive is not None:
        said.append(f"The positive class is called {rule.positive:g}.")
    if rule.sources:
        said.append(f"Where labels of one time differ, believed first is {', then '.join(rule.sources)}.")
    return PageSection("Labels", said)


def _models(pipeline: Pipeline, models: KnownModels) -> PageSection:
    model, played = pipeline.model, parts(models.plan)
    said = [
        f"Models give a {model.output} of {len(expand(pipeline))} inputs: {', '.join(model.inputs)}."
        + (f" A decision is made from {model.threshold:g} on." if model.output == "probability" else "")
    ]
    if model.categories:
        said.append(f"Of these are categories: {', '.join(model.categories)}.")
    rows = [
        [stored.title, short(stored.digest), ", ".join(played.get(stored.digest, ())), str(len(manifest.inputs))]
        for stored, manifest in sorted(models.packages, key=lambda each: (each[0].digest not in played, each[0].title))
    ]
    return PageSection(
        "Models", said, PageTable(("model", "digest", "part in the plan", "inputs"), rows) if rows else None
    )


def _segments(pipeline: Pipeline) -> PageSection:
    if not pipeline.segments:
        return PageSection("Segments", ["The file names none."])
    rows = [[each.name, each.of, ", ".join(group_names(each))] for each in pipeline.segments.values()]
    return PageSection("Segments", [], PageTable(("segment", "of", "groups"), rows))


def _rules(pipeline: Pipeline) -> PageSection:
    if not pipeline.kpis:
        return PageSection("Rules over figures", ["The file names none."])
    rows = [
        [each.name, each.subject, each.condition, each.held, each.severity, ", ".join(each.tell)]
        for each in pipeline.kpis.values()
    ]
    names = ("rule", "figure", "breached when", "for", "severity", "told")
    return PageSection("Rules over figures", [], PageTable(names, rows))


def _topics(topics: Sequence[PipelineTopic]) -> PageSection:
    rows = []
    for topic in topics:
        config = {} if topic.file is None else topic.file.config
        kept = int(config["retention.ms"]) if config else None
        rows.append(
            [
                topic.name,
                topic.key or ("" if topic.file is None else "none"),
                topic.file.value_schema if topic.file is not None else topic.form,
                str(topic.file.partitions) if topic.file is not None else "",
                "" if kept is None else "for ever" if kept < 0 else units.duration(kept),
                config.get("cleanup.policy", ""),
                ", ".join(topic.producers),
                ", ".join(topic.consumers),
                topic.description,
            ]
        )
    names = ("topic", "key", "value", "partitions", "kept", "cleanup", "written by", "read by", "what it is")
    said = ["Producers and consumers are yours; cli is the headrace command. Partitions are those to begin with."]
    return PageSection("Topics", said, PageTable(names, rows))
