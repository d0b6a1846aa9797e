"""Checks a pipeline file: every mistake at once, each with its line and the remedy; and loads one that has none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from headrace.domain.pipeline import events, sections
from headrace.domain.pipeline.aggregations import Readable
from headrace.domain.pipeline.classes.section import names_in
from headrace.domain.pipeline.document import MOST, Node, Problem, Problems, TooMany, closest, read
from headrace.domain.pipeline.feed.origins import events_feed, labels_feed
from headrace.domain.pipeline.feed.section import is_feed
from headrace.domain.pipeline.feed.spec import Feed
from headrace.domain.pipeline.files.section import read_files
from headrace.domain.pipeline.form import Form
from headrace.domain.pipeline.spec import Field, Pipeline, Rule, View
from headrace.domain.pipeline.views import read_views
from headrace.domain.pipeline.workspace import Workspace
from headrace.errors import ConfigurationError, ContractError
from headrace.streaming.contracts.schemas import load_schema

__all__ = ["Problem", "check", "load"]

KNOWN = ("pipeline", "revision", "events", "files", "rules", "views", "segments", *sections.SECTIONS, "kpis")


def check(path: Path, workspace: Workspace | None = None) -> list[Problem]:
    """Everything that is wrong with a pipeline file, in the order of its lines; empty when it is good.

    Schemas are looked for in the file's own workspace (`Workspace.of`) unless told otherwise.
    """
    return _read(path, workspace or Workspace.of(path))[1]


def load(path: Path, workspace: Workspace | None = None) -> Pipeline:
    """The pipeline of a file.

    Raises:
        ConfigurationError: something is wrong with it; the message lists all mistakes as `check` finds them.
    """
    pipeline, problems = _read(path, workspace or Workspace.of(path))
    if problems or pipeline is None:
        raise ConfigurationError("\n".join(f"{path}:{problem}" for problem in problems))
    return pipeline


def _read(path: Path, workspace: Workspace) -> tuple[Pipeline | None, list[Problem]]:
    problems = Problems()
    pipeline = None
    with suppress(TooMany):
        root = read(path, problems)
        pipeline = _pipeline(root, workspace, problems) if root is not None else None
    found = [*sorted(set(problems.found[:MOST])), *problems.found[MOST:]]  # last, that there may be more
    return (None if found else pipeline), found


def _pipeline(root: Node, workspace: Workspace, problems: Problems) -> Pipeline | None:
    form = Form(root, problems, KNOWN, "pipeline: NAME, then its sections")
    form.require("pipeline", "say what it is called: pipeline: card_fraud")
    form.require("events", f"say what an event looks like: events: {events.EXAMPLE}")
    form.require("model", f"say what the model reads: model: {sections.MODEL_EXAMPLE}")
    name = form.name("pipeline")
    revision = form.whole("revision", 1, 1_000_000) if "revision" in form else 1
    event_form = Form(form.entries.get("events"), problems, events.EVENTS, events.EXAMPLE)
    feed: Feed | None = None
    fields: Mapping[str, Field] = {}
    if is_feed(event_form):
        feed, fields = events_feed(event_form, workspace, problems)
    elif "events" in form:
        fields = _schema(event_form, workspace, problems)
    event = events.read_events(event_form, fields, problems, feed) if "events" in form else None
    rules = events.read_rules(form.entries.get("rules"), fields, problems)
    # Read here for what views make of it; what is wrong with it is said with the other sections below.
    truth = form.entries.get("labels")
    labels = (
        None
        if truth is None
        else sections.read_labels(Form(truth, Problems(), None, ""), sections.classes(form), names_in(form))
    )
    readable = Readable(_after(rules, fields), event.key if event is not None else None, labels, _listed(rules))
    views = read_views(form.entries.get("views"), readable, problems)
    _check_revisions(form, views, event.key if event is not None else None, revision or 1, problems)
    rest = sections.read_rest(form, fields, views, problems)
    if "files" in form:
        rest["files"] = read_files(form.entries["files"], event, labels, problems)
    if truth is not None and "labels" in rest:
        rest["labels"] = replace(rest["labels"], feed=labels_feed(truth, workspace, problems, rest["labels"].names))
    feeds = {"events": feed, "labels": rest["labels"].feed if "labels" in rest else None}
    for section, each in feeds.items():
        if each is not None and name is not None and each.topic.startswith(f"{name}."):
            node = (form.entries[section].entries or {})["topic"]
            why = f"topics that begin with {name}. are headrace's own, and would be read as their own source"
            problems.add(node, why, "call the pipeline something else, or the topic")
    if name is None or event is None or revision is None or "model" not in rest:
        return None
    return Pipeline(name=name, events=event, rules=rules, views=views, revision=revision, **rest)


def _check_revisions(form: Form, views: Mapping[str, View], key: str | None, revision: int, problems: Problems) -> None:
    """Of a view that another entity keys, since which revision it is as it is: no later one than this."""
    for name, view in views.items():
        if view.revision == 1:
            continue
        node = (form.entries["views"].entries or {})[name]
        node = (node.entries or {}).get("revision", node)
        if view.revision > revision:
            why = f"the view {name} is of revision {view.revision}, and the file is revision {revision}"
            problems.add(node, why, f"write revision: {revision}, or the one in which it was changed last")
        if key in view.keys:
            why = f"the view {name} is kept where the events are, and is built anew with each revision of the file"
            problems.add(node, why, "leave its revision out: it is for views that another entity keys")


def _after(rules: Sequence[Rule], fields: Mapping[str, Field]) -> dict[str, Field]:
    """The fields as views see them: one whose nulls a rule keeps out or replaces is never null."""
    solid = {rule.field for rule in rules if rule.required and rule.otherwise != "warn"}
    return {name: replace(f, nullable=f.nullable and name not in solid) for name, f in fields.items()}


def _listed(rules: Sequence[Rule]) -> dict[str, tuple[str, ...]]:
    """Of fields whose values a rule lists, these."""
    return {rule.field: tuple(map(str, rule.one_of)) for rule in rules if rule.one_of is not None}


def _schema(form: Form, workspace: Workspace, problems: Problems) -> Mapping[str, Field]:
    """The fields of the event's schema; none, with a problem, where it cannot be used."""
    form.require("schema", "name a file of schemas/ without .avsc, such as schema: card_transaction")
    name = form.text("schema")
    if name is None:
        return {}
    node = form.node_of("schema")
    path = workspace.find("schemas", f"{name}.avsc") if Path(name).name == name else None
    if path is None:
        problems.add(node, f"no schema {name} in schemas/", closest(name, workspace.names("schemas", ".avsc")))
        return {}
    try:
        load_schema(path)
        return events.fields_of(workspace.schema(name))
    except (ConfigurationError, ContractError) as error:
        problems.add(node, f"the schema cannot be used: {error}", "mend the schema")
        return {}
