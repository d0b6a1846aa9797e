"""The story of an event from what was found of it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa

from headrace.domain.models.package import Manifest
from headrace.domain.pipeline.contracts import REVISION
from headrace.domain.pipeline.spec import Pipeline
from headrace.domain.pipeline.truth import told, truths
from headrace.domain.plans.canary_split import shares
from headrace.domain.plans.plan_log import PlanFact
from headrace.domain.plans.plans import CANARY, CHAMPION, Arm
from headrace.operations.history.notes import ms, notes
from headrace.operations.history.search import TracedRecord
from headrace.operations.history.story import (
    Answer,
    ArmChoice,
    EventFeatures,
    ForeignViewFeatures,
    ForgottenChoice,
    LostModel,
    ModelOrigin,
    PlanOrigin,
    PublishedEvent,
    Refusal,
    ReportedLabel,
    RevisedOutcome,
    Story,
    ViewFeatures,
)
from headrace.operations.history.trace import Trace
from headrace.operations.plan_changes.lookup import percent
from headrace.operations.time_spans import moment
from headrace.operations.topics.tail import plain

TRACEPARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")
"""https://www.w3.org/TR/trace-context/#traceparent-header"""


def build_story(pipeline: Pipeline, trace: Trace) -> Story:
    """The story of an event."""
    story = Story(
        pipeline=pipeline.name,
        event_id=trace.event_id,
        prediction_id=trace.prediction_id,
        events=[_event(found) for found in trace.of("events")],
        dead_letters=[_refusal(found) for found in trace.of("dead-letters")],
        features=_features(pipeline, trace),
        predictions=[_answer(trace, found) for found in trace.of("predictions")],
        choice=_choice(pipeline, trace),
        shadow_predictions=[_answer(trace, found) for found in trace.of("shadow-predictions")],
        labels=[_label(pipeline, found) for found in trace.of("labels")],
        outcomes=_outcomes(trace),
    )
    return replace(story, notes=list(notes(pipeline, trace, story)))


def _place(found: TracedRecord) -> tuple[str, str]:
    return found.place, moment(found.timestamp)


def _event(found: TracedRecord) -> PublishedEvent:
    carried = {name: (value or b"").decode(errors="replace") for name, value in found.headers or ()}
    traceparent = TRACEPARENT.fullmatch(carried.get("traceparent", ""))
    return PublishedEvent(*_place(found), plain(found.row), carried, traceparent[1] if traceparent else None)


def _refusal(found: TracedRecord) -> Refusal:
    row = found.row
    kept = ("reason", "detail", "service", "code_version", "time")
    refused = f"{row['topic']}[{row['partition']}]@{row['offset']}"
    return Refusal(*_place(found), refused, *(plain(row[name]) for name in kept))


def _label(pipeline: Pipeline, found: TracedRecord) -> ReportedLabel:
    row, rule = plain(found.row), pipeline.labels
    if rule is not None and rule.names and row["value"] is not None:
        places, strange = truths(np.array([row["value"]]), rule)
        row["value"] = row["value"] if strange[0] else told(places[0], rule)
    return ReportedLabel(*_place(found), **row)


def _features(pipeline: Pipeline, trace: Trace) -> EventFeatures | None:
    """The event's features by view with their ages; a prediction or an outcome keeps them too."""
    source = next((found for name in ("features", "predictions", "outcomes") for found in trace.of(name)), None)
    if source is None:
        return None
    row = plain(source.row)
    delays = {view.name: view.delay for view in pipeline.foreign_views}
    views: dict[str, ViewFeatures] = {}
    for name in (name for name in ("event", *pipeline.views) if name in row):
        if name in delays:
            views[name] = ForeignViewFeatures(row[name], row.get(f"{name}_age"), delays[name])
        else:
            views[name] = ViewFeatures(row[name], None)
    times = (row["event_time"], row["ingest_time"])
    return EventFeatures(*_place(source), row["entity"], *times, views, row.get(REVISION))


def _answer(trace: Trace, found: TracedRecord) -> Answer:
    row = found.row
    fact, arm = _planned(trace, found)
    model = row["model"]
    return Answer(
        *_place(found),
        prediction_id=row["prediction_id"],
        arm=row["arm"],
        plan_version=row["plan_version"],
        score=plain(row["score"]),
        decision=row["decision"],
        predicted_time=plain(row["predicted_time"]),
        asked=row["prediction_id"] == trace.prediction_id,
        model=_title(model),
        digest=model["digest"],
        threshold=_threshold(trace, arm, model["digest"]),
        latency_ms=ms(row["predicted_time"]) - ms(row["ingest_time"]),
        compute_ms=row["compute_micros"] / 1000 if "compute_micros" in row else None,
        plan=None if fact is None else PlanOrigin(moment(fact.time), fact.actor, fact.reason),
        lineage=_lineage(trace, model["digest"], arm),
        class_=row.get("class"),
        scores=row.get("scores") or {},
    )


def _planned(trace: Trace, found: TracedRecord) -> tuple[PlanFact | None, Arm | None]:
    """The plan that a prediction was made by, and its arm there, where the plan is still on its topic."""
    row = found.row
    fact = next((fact for fact in trace.facts if fact.version == row["plan_version"] and fact.plan), None)
    arms = fact.plan.arms if fact is not None and fact.plan is not None else ()
    return fact, next((a for a in arms if (a.arm, a.digest) == (row["arm"], row["model"]["digest"])), None)


def _threshold(trace: Trace, arm: Arm | None, digest: str) -> float | None:
    if arm is not None and arm.threshold is not None:
        return arm.threshold
    manifest = trace.packages.get(digest)
    # Without its plan nobody knows whether the package's own threshold counted.
    return manifest.threshold if arm is not None and isinstance(manifest, Manifest) else None


def _lineage(trace: Trace, digest: str, arm: Arm | None) -> list[ModelOrigin | LostModel]:
    """Where the models of an answer come from: one, or the members of an ensemble."""
    digests = {digest: "", **({member.digest: member.title for member in arm.members} if arm else {})}
    if arm is not None and arm.members and not arm.uri:
        del digests[digest]
    origins: list[ModelOrigin | LostModel] = []
    for each, title in digests.items():
        package = trace.packages.get(each)
        if isinstance(package, Manifest):
            origins.append(_origin(each, package))
        else:
            origins.append(LostModel(each, package or f"{title or 'it'} is not in the model store"))
    return origins


def _origin(digest: str, package: Manifest) -> ModelOrigin:
    training = package.training
    return ModelOrigin(
        digest=digest,
        model=f"{package.name}@{package.version}",
        trained_from=moment(training.start) if training.rows else None,
        trained_to=moment(training.end) if training.rows else None,
        rows=training.rows,
        trainer=package.parameters.get("trainer"),
        revision=package.revision,
        offsets={topic: dict(ranges) for topic, ranges in training.offsets.items()},
    )


def _choice(pipeline: Pipeline, trace: Trace) -> ArmChoice | ForgottenChoice | None:
    """Why this arm answered: the place of the entity under the plan's salt, against the canary's share."""
    answered = next(iter(trace.of("predictions")), None)
    if answered is None:
        return None
    fact, _ = _planned(trace, answered)
    version, arm, entity = (answered.row[name] for name in ("plan_version", "arm", "entity"))
    if fact is None or fact.plan is None:
        because = f"plan {version} is not on the plans topic any more, so nobody can tell how it dealt the entities"
        return ForgottenChoice(arm, because)
    salt = fact.plan.salt or fact.plan.pipeline
    place = float(shares(pa.array([entity], pa.string()), salt)[0])
    canary = fact.plan.canary
    if canary is None:
        because = f"plan {version} has no canary: the champion answers every {pipeline.events.key}"
        return ArmChoice(arm, entity, salt, place, 0.0, because)
    expected = CANARY if place < canary.share else CHAMPION
    side = "below" if expected == CANARY else "not below"
    because = (
        f"{pipeline.events.key} {entity} lies at {place:.4f} under the salt {salt}, {side} the canary's share of "
        f"{percent(canary.share)} in plan {version}: the {expected} answers it"
    )
    if arm != expected:
        because += f". Yet the {arm} did"
    return ArmChoice(arm, entity, salt, place, canary.share, because)


def _outcomes(trace: Trace) -> list[RevisedOutcome]:
    """Outcomes by prediction and revision."""
    # A revision of -1 is no outcome, but the prediction again.
    records = [found for found in trace.of("outcomes") if found.row["revision"] >= 0]
    newest: dict[str, int] = {}
    for row in (found.row for found in records):
        newest[row["prediction_id"]] = max(row["revision"], newest.get(row["prediction_id"], 0))
    records.sort(key=lambda found: (found.row["prediction_id"], found.row["revision"]))
    return [_outcome(found, found.row["revision"] == newest[found.row["prediction_id"]]) for found in records]


def _outcome(found: TracedRecord, holds: bool) -> RevisedOutcome:
    row = found.row
    return RevisedOutcome(
        *_place(found),
        model=_title(row["model"]),
        prediction_id=row["prediction_id"],
        arm=row["arm"],
        revision=row["revision"],
        state=row["state"],
        label=row.get("label_class") or plain(row["label"]),
        label_time=plain(row["label_time"]),
        label_source=row["label_source"],
        reports=row["reports"],
        conflicting=row["conflicting"],
        as_of=plain(row["as_of"]),
        holds=holds,
    )


def _title(model: Mapping[str, Any]) -> str:
    return f"{model['name']}@{model['version']}"
