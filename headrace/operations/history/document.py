"""What was found of an event as one document: what happened, why, and what is not there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pyarrow as pa

from headrace.domain.models.package import Manifest
from headrace.domain.pipeline.spec import Pipeline
from headrace.domain.plans.canary_split import shares
from headrace.domain.plans.plan_log import PlanFact
from headrace.domain.plans.plans import CANARY, CHAMPION, Arm
from headrace.operations.history.gaps import because, gap, silent
from headrace.operations.history.search import Found
from headrace.operations.history.trace import Gathered
from headrace.operations.plan_changes.lookup import percent
from headrace.operations.time_spans import moment
from headrace.operations.topics.tail import plain

TRACEPARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")
"""https://www.w3.org/TR/trace-context/#traceparent-header"""

Document = dict[str, Any]


def recount(pipeline: Pipeline, gathered: Gathered) -> Document:
    """The story of an event, as JSON can write it.

    `notes` says in words what is not there and what is strange; every other part is a list of records, or None.
    """
    features = _features(pipeline, gathered)
    predictions = [_prediction(gathered, found) for found in gathered.of("predictions")]
    shadows = [_prediction(gathered, found) for found in gathered.of("shadow-predictions")]
    document = {
        "pipeline": pipeline.name,
        "event_id": gathered.event_id,
        "prediction_id": gathered.prediction_id,
        "events": [_event(found) for found in gathered.of("events")],
        "dead_letters": [_letter(found) for found in gathered.of("dead-letters")],
        "features": features,
        "predictions": predictions,
        "choice": _choice(pipeline, gathered),
        "shadow_predictions": shadows,
        "labels": [_place(found) | plain(found.row) for found in gathered.of("labels")],
        "outcomes": _outcomes(gathered),
    }
    document["notes"] = list(_notes(pipeline, gathered, document))
    return document


def _place(found: Found) -> Document:
    return {"place": found.place, "timestamp": moment(found.timestamp)}


def _event(found: Found) -> Document:
    carried = {name: (value or b"").decode(errors="replace") for name, value in found.headers or ()}
    trace = TRACEPARENT.fullmatch(carried.get("traceparent", ""))
    told = {"fields": plain(found.row), "headers": carried, "trace_id": trace[1] if trace else None}
    return {**_place(found), **told}


def _letter(found: Found) -> Document:
    row = found.row
    kept = ("reason", "detail", "service", "code_version", "time")
    refused = {"refused": f"{row['topic']}[{row['partition']}]@{row['offset']}"}
    return {**_place(found), **refused, **{name: plain(row[name]) for name in kept}}


def _features(pipeline: Pipeline, gathered: Gathered) -> Document | None:
    """The event's features by view with their ages; a prediction or an outcome keeps them too."""
    source = next((found for name in ("features", "predictions", "outcomes") for found in gathered.of(name)), None)
    if source is None:
        return None
    row = plain(source.row)
    ages = {view.name: row.get(f"{view.name}_age") for view in pipeline.foreign_views}
    views = {
        name: {"values": row[name], "age_ms": ages.get(name)} for name in ("event", *pipeline.views) if name in row
    }
    for view in pipeline.foreign_views:
        if view.name in views:
            views[view.name]["delayed_ms"] = view.delay
    own = {name: row[name] for name in ("entity", "event_time", "ingest_time")}
    return {**_place(source), **own, "views": views}


def _prediction(gathered: Gathered, found: Found) -> Document:
    row = found.row
    told = {
        name: plain(row[name])
        for name in ("prediction_id", "arm", "plan_version", "score", "decision", "predicted_time")
    }
    fact, arm = _planned(gathered, found)
    model = row["model"]
    return {
        **_place(found),
        **told,
        "asked": row["prediction_id"] == gathered.prediction_id,
        "model": _title(model),
        "digest": model["digest"],
        "threshold": _threshold(gathered, arm, model["digest"]),
        "latency_ms": _ms(row["predicted_time"]) - _ms(row["ingest_time"]),
        "compute_ms": row["compute_micros"] / 1000 if "compute_micros" in row else None,
        "plan": None if fact is None else {"time": moment(fact.time), "actor": fact.actor, "reason": fact.reason},
        "lineage": _lineage(gathered, model["digest"], arm),
    }


def _planned(gathered: Gathered, found: Found) -> tuple[PlanFact | None, Arm | None]:
    """The plan that a prediction was made by, and its arm there, where the plan is still on its topic."""
    row = found.row
    fact = next((fact for fact in gathered.facts if fact.version == row["plan_version"] and fact.plan), None)
    arms = fact.plan.arms if fact is not None and fact.plan is not None else ()
    return fact, next((a for a in arms if (a.arm, a.digest) == (row["arm"], row["model"]["digest"])), None)


def _threshold(gathered: Gathered, arm: Arm | None, digest: str) -> float | None:
    if arm is not None and arm.threshold is not None:
        return arm.threshold
    manifest = gathered.packages.get(digest)
    # Without its plan nobody knows whether the package's own threshold counted.
    return manifest.threshold if arm is not None and isinstance(manifest, Manifest) else None


def _lineage(gathered: Gathered, digest: str, arm: Arm | None) -> list[Document]:
    """Where the models of an answer come from: one, or the members of an ensemble."""
    digests = {digest: "", **({member.digest: member.title for member in arm.members} if arm else {})}
    if arm is not None and arm.members and not arm.uri:
        del digests[digest]
    told: list[Document] = []
    for each, title in digests.items():
        package = gathered.packages.get(each)
        if not isinstance(package, Manifest):
            told.append({"digest": each, "problem": package or f"{title or 'it'} is not in the model store"})
            continue
        training = package.training
        told.append(
            {
                "digest": each,
                "model": f"{package.name}@{package.version}",
                "trained_from": moment(training.start) if training.rows else None,
                "trained_to": moment(training.end) if training.rows else None,
                "rows": training.rows,
                "trainer": package.parameters.get("trainer"),
                "revision": package.revision,
                "offsets": {topic: dict(ranges) for topic, ranges in training.offsets.items()},
            }
        )
    return told


def _choice(pipeline: Pipeline, gathered: Gathered) -> Document | None:
    """Why this arm answered: the place of the entity under the plan's salt, against the canary's share."""
    answered = next(iter(gathered.of("predictions")), None)
    if answered is None:
        return None
    fact, _ = _planned(gathered, answered)
    version, arm, entity = (answered.row[name] for name in ("plan_version", "arm", "entity"))
    if fact is None or fact.plan is None:
        because = f"plan {version} is not on the plans topic any more, so nobody can tell how it dealt the entities"
        return {"arm": arm, "because": because}
    salt = fact.plan.salt or fact.plan.pipeline
    place = float(shares(pa.array([entity], pa.string()), salt)[0])
    canary = fact.plan.canary
    told = {"arm": arm, "entity": entity, "salt": salt, "place": place, "share": canary.share if canary else 0.0}
    if canary is None:
        return {**told, "because": f"plan {version} has no canary: the champion answers every {pipeline.events.key}"}
    expected = CANARY if place < canary.share else CHAMPION
    side = "below" if expected == CANARY else "not below"
    because = (
        f"{pipeline.events.key} {entity} lies at {place:.4f} under the salt {salt}, {side} the canary's share of "
        f"{percent(canary.share)} in plan {version}: the {expected} answers it"
    )
    return {**told, "because": because if arm == expected else f"{because}. Yet the {arm} did"}


def _outcomes(gathered: Gathered) -> list[Document]:
    """Outcomes by prediction and revision; `holds` marks the newest of each prediction."""
    names = (
        "prediction_id", "arm", "revision", "state", "label", "label_time", "label_source", "reports", "conflicting",
        "as_of",
    )  # fmt: skip
    told = [
        {**_place(found), "model": _title(found.row["model"]), **{name: plain(found.row[name]) for name in names}}
        for found in gathered.of("outcomes")
        if found.row["revision"] >= 0  # -1: no outcome, but the prediction again
    ]
    newest = {one["prediction_id"]: one["revision"] for one in sorted(told, key=lambda one: int(one["revision"]))}
    told.sort(key=lambda one: (one["prediction_id"], one["revision"]))
    return [{**one, "holds": one["revision"] == newest[one["prediction_id"]]} for one in told]


def _notes(pipeline: Pipeline, gathered: Gathered, document: Document) -> Iterator[str]:
    name = pipeline.name
    for topic in ("shadow-predictions", "outcomes", "dead-letters"):
        if gathered.records.get(topic, []) is None:
            yield f"there is no topic {name}.{topic}: headrace topics apply {name} makes it"
    events, predictions = document["events"], document["predictions"]
    if not events:
        yield f"the event itself is not on {name}.events any more, or was not within --from and --to"
    if len(events) > 1:
        yield f"the event was published {len(events)} times; {_repeats(pipeline, gathered)}"
    if len(events) + len(predictions) and len(predictions) > max(len(events), 1):
        yield f"{len(predictions)} predictions were published: repeats carry the same prediction_id and count once"
    if not document["dead_letters"]:
        if not gathered.of("features"):
            answered = "is not on the features topic any more" if predictions else "has no features yet"
            yield f"it {answered}" + ("" if predictions else f": headrace lag {name} says how far enrich is behind")
        elif not predictions:
            yield f"no prediction yet: headrace lag {name} says how far score is behind, plan show {name} what plays"
    yield from _dark(gathered)
    yield from _truth(pipeline, gathered, document)
    if gathered.prediction_id and not any(one["asked"] for one in (*predictions, *document["shadow_predictions"])):
        yield f"{gathered.prediction_id} itself is not there; what is told is of its event"


def _repeats(pipeline: Pipeline, gathered: Gathered) -> str:
    """What became of an event's repeats."""
    extra = len(gathered.of("features")) - 1
    if pipeline.events.repeats == "keep":
        return "each is answered as an event of its own (repeats: keep)"
    if extra > 0:
        return f"{extra} of the repeats came when its id was not known any more, and were answered again"
    return "repeats are left out (repeats: drop)"


def _dark(gathered: Gathered) -> Iterator[str]:
    """What dark models of the answer's plan have not said, and why."""
    answers = gathered.of("predictions")
    features = next(iter(gathered.of("features")), None)
    for _, arm in silent(gathered.facts, answers, gathered.of("shadow-predictions")):
        news = gathered.of("control")
        began = gap(news, arm, features.partition, features.offset) if features is not None else None
        yield f"nothing from {arm.place}: {because(began)}"
    for version in sorted({found.row["plan_version"] for found in answers}):
        if any(fact.version == version and fact.plan and not fact.plan.dark for fact in gathered.facts):
            yield f"plan {version} has neither challengers nor shadows"


def _truth(pipeline: Pipeline, gathered: Gathered, document: Document) -> Iterator[str]:
    """What is not known of the truth, and when it will be."""
    if pipeline.labels is None:
        yield "the pipeline has no labels"
        return
    if document["features"] is None:
        return
    time = datetime.fromisoformat(document["features"]["event_time"])
    matures = moment(_ms(time) + pipeline.labels.matures_after)
    otherwise = pipeline.labels.unlabelled_is
    then = "it stays unlabelled" if otherwise is None else f"it counts as {otherwise:g}"
    told = bool(document["outcomes"])
    if not document["labels"] and any(one["state"] == "labelled" for one in document["outcomes"]):
        yield "its label is not on the labels topic any more, or was not within --from and --to"
    elif not document["labels"] and told:
        until = moment(_ms(time) + pipeline.labels.expires_after)
        yield f"no label came by {matures}: {then}; one that is known by {until} would correct the outcome"
    elif not document["labels"]:
        yield (
            f"no label: it matures once `labels` has read all labels up to {matures}; if none has come by then, {then}"
        )
    if document["predictions"] and not told and gathered.records.get("outcomes") is not None:
        if document["labels"]:
            until = moment(_ms(time) + pipeline.labels.expires_after)
            yield (
                f"no outcome yet, though there is a label: headrace lag {pipeline.name} says how far labels is behind; "
                f"a label that became known after {until} counts no more, and the event matures without it"
            )
        else:
            yield "no outcome yet: one is written when a label comes, or when the event matures"


def _title(model: Document) -> str:
    return f"{model['name']}@{model['version']}"


def _ms(time: datetime) -> int:
    return round(time.timestamp() * 1000)
