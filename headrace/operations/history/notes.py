"""What is not there of an event's story and what is strange in it, in words."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from headrace.domain.pipeline.spec import Pipeline
from headrace.domain.pipeline.truth import told as told_as
from headrace.operations.history.gaps import because, gap, silent
from headrace.operations.history.story import Story
from headrace.operations.history.trace import Trace
from headrace.operations.time_spans import moment


def notes(pipeline: Pipeline, trace: Trace, story: Story) -> Iterator[str]:
    """The notes of a story, from its other parts."""
    name = pipeline.name
    for topic in ("shadow-predictions", "outcomes", "dead-letters"):
        if trace.records.get(topic, []) is None:
            yield f"there is no topic {name}.{topic}: headrace topics apply {name} makes it"
    events, predictions = story.events, story.predictions
    if not events:
        yield f"the event itself is not on {name}.events any more, or was not within --from and --to"
    if len(events) > 1:
        yield f"the event was published {len(events)} times; {_repeats(pipeline, trace)}"
    if len(events) + len(predictions) and len(predictions) > max(len(events), 1):
        yield f"{len(predictions)} predictions were published: repeats carry the same prediction_id and count once"
    if not story.dead_letters:
        if not trace.of("features"):
            answered = "is not on the features topic any more" if predictions else "has no features yet"
            yield f"it {answered}" + ("" if predictions else f": headrace lag {name} says how far enrich is behind")
        elif not predictions:
            yield f"no prediction yet: headrace lag {name} says how far score is behind, plan show {name} what plays"
    yield from _dark(trace)
    yield from _truth(pipeline, trace, story)
    if trace.prediction_id and not any(one.asked for one in (*predictions, *story.shadow_predictions)):
        yield f"{trace.prediction_id} itself is not there; what is told is of its event"


def _repeats(pipeline: Pipeline, trace: Trace) -> str:
    """What became of an event's repeats."""
    extra = len(trace.of("features")) - 1
    if pipeline.events.repeats == "keep":
        return "each is answered as an event of its own (repeats: keep)"
    if extra > 0:
        return f"{extra} of the repeats came when its id was not known any more, and were answered again"
    return "repeats are left out (repeats: drop)"


def _dark(trace: Trace) -> Iterator[str]:
    """What dark models of the answer's plan have not said, and why."""
    answers = trace.of("predictions")
    features = next(iter(trace.of("features")), None)
    for _, arm in silent(trace.facts, answers, trace.of("shadow-predictions")):
        news = trace.of("control")
        began = gap(news, arm, features.partition, features.offset) if features is not None else None
        yield f"nothing from {arm.place}: {because(began)}"
    for version in sorted({found.row["plan_version"] for found in answers}):
        if any(fact.version == version and fact.plan and not fact.plan.dark for fact in trace.facts):
            yield f"plan {version} has neither challengers nor shadows"


def _truth(pipeline: Pipeline, trace: Trace, story: Story) -> Iterator[str]:
    """What is not known of the truth, and when it will be."""
    if pipeline.labels is None:
        yield "the pipeline has no labels"
        return
    if story.features is None:
        return
    time = datetime.fromisoformat(story.features.event_time)
    matures = moment(ms(time) + pipeline.labels.matures_after)
    otherwise = pipeline.labels.unlabelled_is
    then = "it stays unlabelled" if otherwise is None else f"it counts as {told_as(otherwise, pipeline.labels)}"
    told = bool(story.outcomes)
    if not story.labels and any(one.state == "labelled" for one in story.outcomes):
        yield "its label is not on the labels topic any more, or was not within --from and --to"
    elif not story.labels and told:
        until = moment(ms(time) + pipeline.labels.expires_after)
        yield f"no label came by {matures}: {then}; one that is known by {until} would correct the outcome"
    elif not story.labels:
        yield (
            f"no label: it matures once `labels` has read all labels up to {matures}; if none has come by then, {then}"
        )
    if story.predictions and not told and trace.records.get("outcomes") is not None:
        if story.labels:
            until = moment(ms(time) + pipeline.labels.expires_after)
            yield (
                f"no outcome yet, though there is a label: headrace lag {pipeline.name} says how far labels is behind; "
                f"a label that became known after {until} counts no more, and the event matures without it"
            )
        else:
            yield "no outcome yet: one is written when a label comes, or when the event matures"


def ms(time: datetime) -> int:
    """Milliseconds since the epoch."""
    return round(time.timestamp() * 1000)
