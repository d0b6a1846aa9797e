"""The features of a pipeline file, each with what it is, what it reads and what a null of it means."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import isnan

from headrace.domain.aggregations.registry import function_named
from headrace.domain.pipeline import units
from headrace.domain.pipeline.document import closest
from headrace.domain.pipeline.documentation.spec import NOTHING
from headrace.domain.pipeline.language.aggregation import Aggregation
from headrace.domain.pipeline.language.expressions import Expression
from headrace.domain.pipeline.spec import ALL_EVENTS, Column, Pipeline, Rule, View
from headrace.errors import ConfigurationError

SPREAD = ("var", "std")


@dataclass(frozen=True, slots=True)
class CatalogueFeature:
    """One feature column.

    Attributes:
        feature: `view.name`, as models and the features topic call it.
        view: its view; `version` of that, and `revision` of the pipeline.
        entity: the fields that name whose it is, `*` for all events together; empty for one of the moment or the event.
        type: `integer`, `number` or `boolean` (0 or 1).
        expression: as the file has it.
        window: as the file has it, empty without one; `delay`: how long before the event it ends.
        timezone: of `weekday`, `hour` and the like.
        nulls: when it is null, or what stands in place of nulls.
        owner, description: as the file says; empty where it does not.
        fields: of the event that its value follows from, those that name the entity and the time too.
        features: other columns that it is made of.
        labels: whether it reads what events turned out to be.
        field_rules: what the file demands of these fields, in words.
    """

    feature: str
    view: str
    version: int
    revision: int
    entity: str
    type: str
    expression: str
    window: str
    delay: str
    timezone: str
    nulls: str
    owner: str
    description: str
    fields: Sequence[str]
    features: Sequence[str]
    labels: bool
    field_rules: Sequence[str]

    @property
    def span(self) -> str:
        """Its window and where that ends, in few words; empty without one."""
        return f"{self.window}, ends {self.delay} before" if self.delay else self.window


def catalogue_features(pipeline: Pipeline) -> list[CatalogueFeature]:
    """All features, in the order of the features topic."""
    return [_described(pipeline, view, column) for view in pipeline.views.values() for column in view.columns]


def feature_named(pipeline: Pipeline, name: str) -> CatalogueFeature:
    """One of them. ConfigurationError where there is none of this name; says which is closest."""
    known = {each.feature: each for each in catalogue_features(pipeline)}
    if name not in known:
        hint = closest(name, known) if known else "its file has no section views"
        raise ConfigurationError(f"{pipeline.name} has no feature {name}: {hint}")
    return known[name]


def written(aggregation: Aggregation) -> str:
    """An aggregation as the file may have it.

    >>> written(Aggregation("mean", "amount")), written(Aggregation("count")), written(Aggregation("mean", None, True))
    ('mean(amount)', 'count', 'mean(label)')
    >>> written(Aggregation("quantile", "amount", parameter=0.95))
    'quantile(amount, 0.95)'
    """
    function = function_named(aggregation.function)
    if aggregation.subject is None:
        return function.name
    if function.parameter is None:
        return f"{function.name}({aggregation.subject})"
    value = aggregation.parameter
    parameter = units.duration(int(value)) if function.parameter == "duration" else repr(value)
    of = replace(aggregation.value, where=None).text if aggregation.value is not None else aggregation.subject
    where = None if aggregation.value is None else aggregation.value.where
    return f"{function.name}({of}, {parameter}{f' where {where.text}' if where is not None else ''})"


def _described(pipeline: Pipeline, view: View, column: Column) -> CatalogueFeature:
    expression = view.expressions.get(column.feature)
    aggregation = view.features.get(column.feature)
    note = view.notes.get(column.feature, NOTHING).within(view.note)
    if expression is not None:
        text, fields, zone, nulls = expression.text, expression.fields, expression.timezone, _nulls_of(expression)
        window = delay = ""
    else:
        assert aggregation is not None, "a column is of an expression or of an aggregation"
        value = aggregation.value
        parts = () if value is None else tuple(part for part in (value.of, value.where) if part is not None)
        text, fields, nulls = written(aggregation), () if value is None else value.fields, _nulls_in(view, aggregation)
        zone = next((part.timezone for part in parts), "UTC")
        window, delay = view.window_names[column.place], units.duration(view.delay) if view.delay else ""
    events = pipeline.events
    moments = [events.time] if aggregation is not None or _reads_the_clock(expression) else []
    read = list(dict.fromkeys((*view.keys, *moments, *fields)))
    return CatalogueFeature(
        feature=column.path,
        view=view.name,
        version=view.version,
        revision=pipeline.revision,
        entity=ALL_EVENTS if view.key == ALL_EVENTS else "+".join(view.keys),
        type=column.type,
        expression=text,
        window=window,
        delay=delay,
        timezone=zone,
        nulls=nulls,
        owner=note.owner,
        description=note.description or view.note.description,
        fields=read,
        features=() if expression is None else expression.columns,
        labels=aggregation is not None and aggregation.of_label,
        field_rules=[f"{rule.field}: {rule_words(rule)}" for rule in pipeline.rules if rule.field in read],
    )


def _reads_the_clock(expression: Expression | None) -> bool:
    return expression is not None and expression.reads_time


def _nulls_of(expression: Expression) -> str:
    if expression.type == "boolean":
        return "never null: 0 where it is not known"
    if expression.type == "integer":
        return "never null"
    return "null where what it reads is null, or no number comes of it"


def _nulls_in(view: View, aggregation: Aggregation) -> str:
    function = function_named(aggregation.function)
    if function.type == "integer":
        return "never null: 0 where the window has none"
    fewer = "fewer than two values" if function.name in SPREAD else "no value"
    if aggregation.of_label:
        fewer = "no event whose label is known or presumed"
    return (
        f"null where the window has {fewer}"
        if isnan(view.missing)
        else (f"{view.missing:g} where the window has {fewer}")
    )


def rule_words(rule: Rule) -> str:
    """What the file demands of a field.

    >>> rule_words(Rule("amount", "number", required=True, range=(0, 10)))
    'required, in [0, 10], else reject'
    """
    wanted = [] if not rule.required else ["required"]
    wanted += [] if rule.range is None else [f"in [{rule.range[0]:g}, {rule.range[1]:g}]"]
    wanted += [] if rule.one_of is None else [f"one of {', '.join(map(str, rule.one_of))}"]
    instead = f"impute {rule.value}" if rule.otherwise == "impute" else rule.otherwise
    return f"{', '.join(wanted)}, else {instead}"
