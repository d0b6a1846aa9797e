"""Scorecards as somebody asks for them: which models, which windows, which figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from headrace.domain.pipeline.document import closest
from headrace.domain.pipeline.spec import Pipeline
from headrace.domain.pipeline.wiring import Contracts
from headrace.domain.scorecards.grouped_tallies import PARTS
from headrace.domain.scorecards.identity import Identity
from headrace.domain.scorecards.shift_rows import PackagedRows
from headrace.errors import ConfigurationError
from headrace.operations.comparison.model_choice import ARMS
from headrace.operations.comparison.training_overlap import Origin, origins
from headrace.operations.drift.report import IncidentNote, incidents
from headrace.operations.models.store_access import store_at
from headrace.operations.plan_changes.plan_topic import facts_of
from headrace.operations.progress import ProgressView
from headrace.operations.remarks import noted
from headrace.operations.scorecard_query.catalogue import picked
from headrace.operations.scorecard_query.report import ScorecardReport, arm_figures
from headrace.operations.scorecard_query.span import Summary, Sums, read_sums
from headrace.operations.time_spans import SpanRequest, TimeSpan
from headrace.streaming.kafka.reader import ranges
from headrace.streaming.process.settings import Settings


@dataclass(frozen=True, slots=True)
class ScorecardRequest:
    """What is asked for.

    Attributes:
        span: of event times; None for the newest windows.
        segment: whose groups are told too.
        model: `name@version`, this one alone; `arm` alike.
        figures: names with commas between, or `all`; None leaves it to whoever shows them.
    """

    span: SpanRequest | None = None
    segment: str | None = None
    model: str | None = None
    arm: str | None = None
    figures: str | None = None


@dataclass(frozen=True, slots=True)
class ScorecardAnswer:
    """What was found.

    Attributes:
        found: each model and arm that predicted something in the span.
        span: what it is of, in whole windows.
        names: figures that were asked for; None for no wish.
        origins: what each was fitted on.
        none_before: the start of the oldest window there is, where what is asked for begins before it.
        incidents: of drift that were going on in the span, the newest first.
    """

    pipeline: Pipeline
    found: Sequence[Summary]
    span: TimeSpan
    segment: str | None
    names: Sequence[str] | None
    origins: Mapping[Identity, Origin]
    none_before: int | None
    incidents: Sequence[IncidentNote]

    def report(self) -> ScorecardReport:
        """The same as values to be told."""
        return ScorecardReport(
            self.pipeline.name,
            self.span.bounds,
            self.pipeline.scorecards.window,
            [arm_figures(s, self.pipeline, self.origins[s.who], self.segment, self.names) for s in self.found],
            self.none_before,
            self.incidents,
            noted(self.pipeline.name),
        )


def scorecards(
    settings: Settings, contracts: Contracts, request: ScorecardRequest, progress: ProgressView
) -> ScorecardAnswer:
    """Scorecards of each model and arm, summed up exactly over a span.

    Raises:
        ConfigurationError: there is no such segment, model, arm or figure, or nothing in the span.
        Transient: Kafka does not answer.
    """
    spec, segment = contracts.pipeline, request.segment
    if segment is not None and segment not in spec.segments:
        raise ConfigurationError(f"{spec.name} has no segment {segment}: {closest(segment, spec.segments)}")
    channel = contracts.channel(PARTS)
    parts = ranges(settings.connection, channel.name)
    with progress.count("parts", sum(part.stop - part.start for part in parts)) as advance:
        store = store_at(settings.models)
        told = read_sums(settings.connection, channel, parts, advance, spec)
        packages = PackagedRows(store)
        sums = Sums(spec, told, packages.rows, packages.interval)
    with progress.stage("summing up"):
        chosen = _chosen(sums.models, request.model, request.arm, spec.name)
        span, lacking = sums.span(chosen, request.span), sums.lacking(chosen, request.span)
        found = [each for who in chosen if (each := sums.summary(who, span, segment)) is not None]
        if not found:
            raise ConfigurationError(f"{spec.name} has no windows of {span.text}: name others with --window or --last")
        names = picked(request.figures, found)
        known = origins(store, lambda: facts_of(settings, contracts), [each.who for each in found])
    going_on = incidents(settings.connection, contracts.channel("control"))
    notes = [each.note for each in going_on if each.within(span)]
    return ScorecardAnswer(spec, found, span, segment, names, known, lacking, notes)


def _chosen(known: Sequence[Identity], model: str | None, arm: str | None, pipeline: str) -> list[Identity]:
    if not known:
        raise ConfigurationError(
            f"{pipeline} has no scorecards yet: `headrace run {pipeline}` runs the service that makes them, and "
            f"`headrace lag {pipeline}` says how far it is"
        )
    titles = sorted({f"{who.name}@{who.version}" for who in known})
    arms = sorted({who.arm for who in known})
    if model is not None and model not in titles:
        raise ConfigurationError(f"--model {model} has no scorecards: {closest(model, titles)}")
    if arm is not None and arm not in arms:
        raise ConfigurationError(f"--arm {arm} has no scorecards: {closest(arm, arms)}")
    found = [w for w in known if model in (None, f"{w.name}@{w.version}") and arm in (None, w.arm)]
    if not found:
        raise ConfigurationError(f"{model} was no {arm}: known are {', '.join(who.text for who in known)}")
    return sorted(found, key=lambda who: (ARMS.index(who.arm) if who.arm in ARMS else len(ARMS), who))
