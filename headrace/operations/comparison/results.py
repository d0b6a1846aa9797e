"""What a duel of two models says, as values. `a` and `b` are the two sides; event times are milliseconds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from headrace.operations.comparison.training_overlap import TrainingSpans
from headrace.operations.time_spans import Bounds


@dataclass(frozen=True, slots=True)
class Median:
    """The middle of some values; None of nothing."""

    p50: float | None


@dataclass(frozen=True, slots=True)
class LatencyQuantiles(Median):
    """From an event's arrival to its score, milliseconds."""

    p99: float | None


@dataclass(frozen=True, slots=True)
class ModelTime:
    """What a model takes for a row, microseconds."""

    mean: float | None
    p50: float | None
    p99: float | None


@dataclass(frozen=True, slots=True)
class DuelSide:
    """What one model did by itself.

    Attributes:
        events: on which it is compared.
        repeats: predictions beyond the first of their event, which are left out.
        latency_note: which events the latency is not of, or is of alone; None where it is of all.
        backfilled: events that were published long after they happened, or before.
    """

    model: str
    version: str
    digest: str
    arm: str
    topic: str
    events: int
    repeats: int
    decision_rate: float | None
    mean_score: float | None
    latency_ms: LatencyQuantiles
    latency_note: str | None
    backfilled: int
    backfill_latency_ms: Median
    compute_micros: ModelTime

    @property
    def only_backfilled(self) -> bool:
        """Whether all its events were backfilled."""
        return 0 < self.backfilled == self.events


@dataclass(frozen=True, slots=True)
class SharedEvents:
    """Events that both scored, and that one of the two did alone."""

    both: int
    only_a: int
    only_b: int


@dataclass(frozen=True, slots=True)
class DecisionAgreement:
    """The same events by what either decided; of several classes agreement and kappa are of the classes."""

    both: int
    only_a: int
    only_b: int
    neither: int
    agreement: float | None
    kappa: float | None


@dataclass(frozen=True, slots=True)
class ScoreAgreement:
    """How scores of the same events differ, and how alike they rank."""

    mean_difference: float
    ks: float
    psi: float
    spearman: float | None
    kendall: float | None


@dataclass(frozen=True, slots=True)
class RateDifference:
    """Shares of yes of two models, with the 95% interval of b - a."""

    a: float | None
    b: float | None
    difference: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class SeparateDecisions:
    """How decisions on events of their own differ."""

    decision_rate: RateDifference


@dataclass(frozen=True, slots=True)
class FittedOn:
    """What either model was fitted on, and whether events of that count all the same."""

    a: TrainingSpans
    b: TrainingSpans
    counted: bool


@dataclass(frozen=True, slots=True)
class BootstrapInterval:
    """A 95% interval."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class ComparedFigure:
    """A figure of both models: the 95% interval of b - a, the p-value of no difference, and the method of both."""

    a: float
    b: float
    difference: float
    low: float
    high: float
    p: float
    method: str


@dataclass(frozen=True, slots=True)
class BootstrappedFigure(ComparedFigure):
    """One whose interval was also drawn by the bootstrap."""

    bootstrap: BootstrapInterval


@dataclass(frozen=True, slots=True)
class OutcomeCounts:
    """Events by what is known of them.

    Attributes:
        mature: they count.
        labelled: mature, with a label; `positives` of them.
        fitted: mature, and one of the two models was fitted on them.
        waiting: too young.
        missing: old enough, and without an outcome.
    """

    mature: int
    labelled: int
    positives: int
    fitted: int
    waiting: int
    missing: int


@dataclass(frozen=True, slots=True)
class PairedQuality(OutcomeCounts):
    """Who is better on the same events; `waits_for`: label time at which the first event counts that is too young."""

    paired: bool
    figures: Mapping[str, ComparedFigure]
    waits_for: int | None = None


@dataclass(frozen=True, slots=True)
class UnpairedQuality(OutcomeCounts):
    """Who is better, each on events of its own."""

    a: OutcomeCounts
    b: OutcomeCounts
    paired: bool
    figures: Mapping[str, ComparedFigure]
    waits_for: int | None = None


Quality = PairedQuality | UnpairedQuality


@dataclass(frozen=True, slots=True)
class DuelVerdict:
    """Who won.

    Attributes:
        answer: of b: better, worse, unclear or unknown.
        by: the figure that decides; None where there is none.
        sentence: the same for people.
        more_outcomes: roughly how many more would settle it; None where nobody can say.
    """

    answer: str
    by: str | None
    sentence: str
    more_outcomes: int | None


@dataclass(frozen=True, slots=True)
class EvidenceStanding:
    """An e-process: evidence that may be looked at after every event.

    Attributes:
        log: its natural logarithm after the last event; `highest`: the highest that it was.
        reached: event time of the event at which it first was 1 / alpha; None where it never was.
        reached_after: how many events that took.
    """

    log: float
    highest: float
    reached: int | None
    reached_after: int | None


@dataclass(frozen=True, slots=True)
class AnytimeEvidence:
    """Whether b loses more than a by more than a margin, on mature outcomes of the same events in event-time order.

    Attributes:
        answer: harm, safe, open or unknown: of two that were reached the first one; `sentence`: the same for people.
        alpha: how often each statement may be wrong, ever.
        margin, margin_share, margin_offset: see `Margin`.
        bound: of values: squared errors beyond count as the bound; `clipped`: at how many events that was so.
        events: how many it is made of.
        loss_a, loss_b: mean losses; `beyond`: the mean of what b loses beyond the margin, `deviation`: of an event.
        harm, safety: None where the answer is unknown.
        more_events, more_days: roughly how many more mature outcomes it would take, and how long at the traffic of
            the span; None where nobody can say.
    """

    answer: str
    sentence: str
    alpha: float
    margin: str
    margin_share: float
    margin_offset: float
    bound: float | None
    clipped: int
    events: int
    loss_a: float | None
    loss_b: float | None
    beyond: float | None
    deviation: float | None
    harm: EvidenceStanding | None
    safety: EvidenceStanding | None
    more_events: int | None
    more_days: float | None


@dataclass(frozen=True, slots=True)
class GroupDuel:
    """The same within a group of a segment; see `DecisionAgreement` and `PairedQuality`."""

    group: str
    events: int
    agreement: float | None
    kappa: float | None
    mature: int
    labelled: int
    positives: int
    fitted: int
    waiting: int
    missing: int
    paired: bool
    figures: Mapping[str, ComparedFigure]
    verdict: DuelVerdict


@dataclass(frozen=True, slots=True)
class RankDisagreement:
    """An event that the two rank differently.

    Attributes:
        a, b: scores; `decided`: what a and b decided; `rank_a`, `rank_b`: 0 to 1.
        label: None where none is known.
        event: the event's fields; None where the pipeline carries none.
    """

    event_id: str
    entity: str
    event_time: int
    a: float
    b: float
    decided: tuple[bool, bool]
    rank_a: float
    rank_b: float
    label: float | None
    event: Mapping[str, object] | None


@dataclass(frozen=True, slots=True)
class ClassDisagreement(RankDisagreement):
    """An event whose chances of several classes differ.

    Attributes:
        a, b: chances of the classes decided on, `class_a` and `class_b`.
        label_class: what was true; None where that is not known.
        apart: half the sum of the distances of all chances, 0 to 1.
    """

    class_a: str
    class_b: str
    label_class: str | None
    apart: float


@dataclass(frozen=True, slots=True)
class Duel:
    """All that is said of two models.

    Attributes:
        window: event times that were asked for.
        unreadable: records that were left out.
        same_events: whether both scored the same events; else they are compared as independent groups.
        decisions, scores: how alike they are on the same events; None where they scored none.
        apart: how decisions differ where events do; None on the same events.
        horizon: events up to this time are old enough to be judged; None without outcomes.
        noted: what members here refused or left out, and how often; None where none runs here.
    """

    pipeline: str
    window: Bounds
    unreadable: int
    same_events: bool
    a: DuelSide
    b: DuelSide
    events: SharedEvents
    decisions: DecisionAgreement | None
    scores: ScoreAgreement | None
    apart: SeparateDecisions | None
    horizon: int | None
    training: FittedOn
    quality: Quality
    verdict: DuelVerdict
    evidence: AnytimeEvidence
    segment: str | None
    groups: Sequence[GroupDuel]
    disagreements: Sequence[RankDisagreement]
    noted: Mapping[str, int] | None = None
