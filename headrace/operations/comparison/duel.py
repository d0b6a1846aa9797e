"""A duel: two models on the same events, from what is on the topics."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from headrace.domain.pipeline.spec import Pipeline
from headrace.domain.pipeline.wiring import Contracts
from headrace.domain.scorecards.identity import Identity
from headrace.errors import ConfigurationError
from headrace.operations.comparison.anytime_evidence import EvidenceRequest, anytime_evidence, check_bound
from headrace.operations.comparison.class_comparison import ClassJudge
from headrace.operations.comparison.comparison import Judge
from headrace.operations.comparison.model_choice import Rival, chosen
from headrace.operations.comparison.pairing import Meeting, meet
from headrace.operations.comparison.prediction_table import (
    TOPICS,
    PredictionColumns,
    Read,
    Truths,
    extent,
    newest,
    read_answers,
    read_truths,
)
from headrace.operations.comparison.results import Duel, FittedOn, SharedEvents
from headrace.operations.comparison.training_overlap import TrainingOverlap, origins
from headrace.operations.comparison.verdict import verdict
from headrace.operations.models.store_access import store_at
from headrace.operations.plan_changes.plan_topic import facts_of
from headrace.operations.progress import ProgressView
from headrace.operations.remarks import noted
from headrace.operations.time_spans import SpanRequest, TimeSpan
from headrace.streaming.process.settings import Settings

OUTCOMES = "outcomes"


@dataclass(frozen=True, slots=True)
class DuelRequest:
    """What is to be compared.

    Attributes:
        sides: a and b.
        span: event times; None for all.
        segment: whose groups are told too.
        top: how many events that they disagree on most.
        replicates: of the bootstrap; see `Judge`.
        include_training: whether events count that one of the two was fitted on.
        evidence: what is asked of the evidence that may be looked at any time.
    """

    sides: tuple[Rival, Rival]
    span: SpanRequest | None = None
    segment: str | None = None
    top: int = 10
    replicates: int | None = None
    include_training: bool = False
    evidence: EvidenceRequest = field(default_factory=EvidenceRequest)


def compare(
    settings: Settings, contracts: Contracts, request: DuelRequest, progress: ProgressView
) -> tuple[Duel, TimeSpan]:
    """Compare two models; returns what is said of them, and the span of events that it is of.

    Raises:
        ConfigurationError: a side names nobody that answered in the span, or several; or both are the same one; or a
            bound is given for chances.
        Transient: Kafka does not answer.
    """
    spec, sides = contracts.pipeline, request.sides
    check_bound(request.evidence, spec)
    channels = [contracts.channel(topic) for topic in TOPICS]
    span = TimeSpan() if request.span is None else request.span.span
    if request.span is not None and request.span.length is not None:
        end = newest(settings.connection, channels)
        span = span if end is None else request.span.settled(end)
    extents = [(channel, extent(settings.connection, channel, span)) for channel in channels]
    total = sum(part.stop - part.start for _, parts in extents for part in parts)
    with progress.count("predictions", total) as advance:

        def keeps(who: Identity) -> bool:
            return sides[0].means(who) or sides[1].means(who)

        read = read_answers(settings.connection, extents, span, keeps, spec, request.segment, advance)
    first, second = (chosen(side, read.answered, spec.name, span.text) for side in sides)
    if first == second:
        raise ConfigurationError(f"both sides are {first.text}: name two")
    truths = _truths(settings, contracts, span, (first, second), progress)
    with progress.stage("looking up what they were fitted on"):
        known = origins(store_at(settings.models), lambda: facts_of(settings, contracts), (first, second))
    overlap = TrainingOverlap(known[first], known[second], request.include_training)
    with progress.stage("comparing"):
        found = compared(spec, span, read, truths, (first, second), request, overlap)
    return replace(found, noted=noted(spec.name)), span


def compared(
    pipeline: Pipeline,
    span: TimeSpan,
    read: Read,
    truths: Truths,
    who: tuple[Identity, Identity],
    request: DuelRequest,
    overlap: TrainingOverlap,
) -> Duel:
    """What was read, compared; `who`: the first and the second model."""
    a, b = read.of(who[0]), read.of(who[1])
    judge = ClassJudge(pipeline) if pipeline.model.classes else Judge(pipeline, request.replicates)
    matures_after = pipeline.labels.matures_after if pipeline.labels else 0
    meeting = meet(a, b, truths, matures_after, overlap.saw, overlap.counts)
    once = meeting.own_a, meeting.own_b
    rows = (meeting.rows_a, meeting.rows_b) if meeting.paired else once
    sides = [
        judge.side(each, read.topics[each], own, *places)
        for each, own, *places in zip(who, (a, b), once, rows, strict=True)
    ]
    quality = judge.quality(a, b, meeting) if meeting.paired else judge.unpaired(a, b, meeting)
    quality = replace(quality, waits_for=_waits_for(a, b, meeting, matures_after))
    alike = judge.alike(a, b, meeting)
    grouped = request.segment is not None and meeting.paired
    return Duel(
        pipeline=pipeline.name,
        window=span.bounds,
        unreadable=read.unreadable,
        same_events=meeting.paired,
        a=sides[0],
        b=sides[1],
        events=_events(meeting),
        decisions=None if alike is None else alike[0],
        scores=None if alike is None else alike[1],
        apart=None if meeting.paired else judge.apart(a, b, meeting),
        horizon=meeting.horizon,
        training=FittedOn(overlap.a.training, overlap.b.training, overlap.counts),
        quality=quality,
        verdict=verdict(quality, pipeline, overlap.counts),
        evidence=anytime_evidence(a, b, meeting, quality, pipeline, request.evidence, overlap.counts),
        segment=request.segment,
        groups=judge.groups(a, b, meeting) if grouped else [],
        disagreements=judge.disagreements(a, b, meeting, request.top),
    )


def _waits_for(a: PredictionColumns, b: PredictionColumns, meeting: Meeting, matures_after: int) -> int | None:
    """Up to which label time labels must be read for the first event to count that is too young; None for none."""
    sides = [(a, meeting.rows_a, meeting.both)]
    if not meeting.paired:
        sides = [(a, meeting.own_a, meeting.first), (b, meeting.own_b, meeting.second)]
    young = [own.times[rows][known.waiting] for own, rows, known in sides]
    return min((int(times.min()) + matures_after for times in young if len(times)), default=None)


def _events(meeting: Meeting) -> SharedEvents:
    both = len(meeting.rows_a)
    return SharedEvents(both, len(meeting.own_a) - both, len(meeting.own_b) - both)


def _truths(
    settings: Settings, contracts: Contracts, span: TimeSpan, who: tuple[Identity, Identity], progress: ProgressView
) -> Truths:
    channel = contracts.channel(OUTCOMES)
    wanted = extent(settings.connection, channel, span)
    with progress.count("outcomes", sum(part.stop - part.start for part in wanted)) as advance:
        return read_truths(settings.connection, channel, wanted, span, who, advance)
