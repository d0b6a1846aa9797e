"""The story of an event for a person to read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from rich.console import RenderableType
from rich.markup import escape
from rich.table import Table

from headrace.operations.history.story import (
    Answer,
    ForeignViewFeatures,
    LostModel,
    ModelOrigin,
    PublishedEvent,
    ReportedLabel,
    RevisedOutcome,
    Story,
    ViewFeatures,
)
from headrace.operations.plan_changes.lookup import short


def narrate(story: Story) -> Iterator[RenderableType]:
    """The parts of a story, in the order in which they happened."""
    for event in story.events:
        yield from _event(story, event)
    for letter in story.dead_letters:
        yield f"\n[bold red]refused[/] by {letter.service} at {_time(letter.time)}: {escape(letter.reason)}"
        yield f"  {escape(letter.detail)}"
        yield f"  {letter.place}, holds {letter.refused}, code {escape(letter.code_version)}"
    if story.features:
        revision = story.features.pipeline_revision
        by = "" if revision is None else f", by revision {revision} of the pipeline"
        yield f"\n[bold]features[/] of {escape(story.features.entity)}, {story.features.place}{by}"
        yield _features(story.features.views)
    for title, answers in (("answer", story.predictions), ("in the dark", story.shadow_predictions)):
        for answer in answers:
            yield from _answer(title, answer)
        if title == "answer" and story.choice:
            yield f"  why this arm   {escape(story.choice.because)}"
    if story.decisions:
        yield "\n[bold]decisions[/] on the models that answered, from the ledger"
    for each in story.decisions:
        yield f"  #{each.entry} {each.time} {escape(each.actor)}: {each.type} {escape(each.model)} {escape(each.why)}"
    if story.labels:
        yield "\n[bold]labels[/]"
        yield _labels(story.labels)
    if story.outcomes:
        yield "\n[bold]outcomes[/]"
        yield _outcomes(story.outcomes)
    if story.notes:
        yield ""
    for note in story.notes:
        yield f"[yellow]- {escape(note)}[/]"


def _event(story: Story, event: PublishedEvent) -> Iterator[RenderableType]:
    yield f"[bold]event {escape(story.event_id)}[/], {event.place}, written {event.timestamp}"
    yield _pairs({name: _value(value) for name, value in event.fields.items()})
    others = {name: value for name, value in event.headers.items() if name != "traceparent"}
    trace = event.trace_id or "none: the event's record has no traceparent header"
    yield _pairs({"trace id": trace, **{f"header {name}": value for name, value in others.items()}})


def _features(views: Mapping[str, ViewFeatures]) -> Table:
    table = Table(show_header=False, box=None, padding=(0, 1), pad_edge=False)
    table.add_column(no_wrap=True)
    table.add_column()
    table.add_column(style="dim")
    for name, view in views.items():
        values = ", ".join(f"{key} {_value(value)}" for key, value in view.values.items())
        table.add_row(f"  {name}", escape(values), _age(view))
    return table


def _age(view: ViewFeatures) -> str:
    """How old the features of a view are; nothing for those that are made of the event's own stream."""
    if not isinstance(view, ForeignViewFeatures):
        return ""
    if view.age_ms is None:
        return "age not known"
    return "exact" if view.age_ms == 0 else f"{view.age_ms:,} ms behind"


def _answer(title: str, answer: Answer) -> Iterator[RenderableType]:
    colour, word = ("red", "yes") if answer.decision else ("green", "no")
    asked = " [dim](asked for)[/]" if answer.asked else ""
    yield f"\n[bold]{title}[/]: {escape(answer.model)} as {answer.arm}, {answer.place}{asked}"
    threshold = "its threshold is not known" if answer.threshold is None else f"threshold {answer.threshold:g}"
    score = "-" if answer.score is None else f"{answer.score:.4f}"
    plan = answer.plan
    made = f"of {plan.time} by {plan.actor}: {plan.reason}" if plan else "not on the plans topic any more"
    cost = f", {answer.compute_ms:.3g} ms of it the model's" if answer.compute_ms else ""
    decided = "" if answer.class_ is None else f" for {escape(answer.class_)}"
    yield f"  score          {score}{decided}, {threshold}: [{colour}]{word}[/]"
    if answer.scores:
        yield f"  scores         {escape(', '.join(f'{name} {one:.4f}' for name, one in answer.scores.items()))}"
    yield f"  answered       {_time(answer.predicted_time)}, {answer.latency_ms:,} ms after it came in{cost}"
    yield f"  plan           {answer.plan_version}, {escape(made)}"
    for origin in answer.lineage:
        yield f"  model          {escape(_origin(origin))}"


def _origin(origin: ModelOrigin | LostModel) -> str:
    if isinstance(origin, LostModel):
        return f"{short(origin.digest)}: {origin.problem}"
    if origin.trained_from is None or origin.trained_to is None:
        return f"{origin.model} {short(origin.digest)}, not told what it was trained on"
    trainer = f" by {origin.trainer}" if origin.trainer else ""
    window = f"{origin.trained_from[:16]} to {origin.trained_to[:16]}"
    return f"{origin.model} {short(origin.digest)}, trained{trainer} on {origin.rows:,} events of {window}"


def _outcomes(outcomes: Sequence[RevisedOutcome]) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in ("  model", "arm", "revision", "state", "label", "known at", "source", "reports"):
        table.add_column(name)
    for one in outcomes:
        reports = f"{one.reports}, conflicting" if one.conflicting else str(one.reports)
        table.add_row(
            f"  {escape(one.model)}",
            one.arm,
            str(one.revision),
            one.state,
            _value(one.label),
            _time(one.label_time) if one.label_time else "-",
            escape(one.label_source or "-"),
            reports,
            style=None if one.holds else "dim",
        )
    return table


def _labels(labels: Sequence[ReportedLabel]) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in ("  known at", "value", "source", "place"):
        table.add_column(name)
    for one in labels:
        table.add_row(f"  {_time(one.label_time)}", _value(one.value), escape(one.source), escape(one.place))
    return table


def _pairs(values: Mapping[str, str]) -> Table:
    table = Table(show_header=False, box=None, padding=(0, 1), pad_edge=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in values.items():
        table.add_row(f"  {escape(name)}", escape(value))
    return table


def _value(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _time(text: str) -> str:
    """ISO 8601 without what a person does not need.

    >>> _time("2018-04-01T12:00:00.250Z")
    '2018-04-01 12:00:00'
    """
    return text[:19].replace("T", " ")
