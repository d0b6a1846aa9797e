"""What scorecards of a span say, as values. Times are milliseconds since the epoch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypedDict

from headrace.domain.pipeline.spec import Pipeline
from headrace.domain.scorecards.card import Card
from headrace.domain.scorecards.estimate_errors import EstimateError
from headrace.domain.scorecards.figure import Figure
from headrace.domain.scorecards.partial_aggregate import UNREAD
from headrace.operations.comparison.training_overlap import Origin, TrainingSpans
from headrace.operations.drift.report import IncidentNote
from headrace.operations.scorecard_query.span import Summary, matures_by, overdue, unmatched
from headrace.operations.time_spans import Bounds, TimeSpan


@dataclass(frozen=True, slots=True)
class GroupFigures:
    """A group of a segment: how many rows of which kind, and its figures."""

    group: str
    predictions: int
    outcomes: int
    labelled: int
    presumed: int
    repeats: int
    mature: bool
    figures: Sequence[Figure]


@dataclass(frozen=True, slots=True)
class WindowFigures:
    """A window; `fitted_on`: the model was fitted on some of its events."""

    window_start: int
    window_end: int
    fitted_on: bool
    predictions: int
    outcomes: int
    labelled: int
    presumed: int
    repeats: int
    mature: bool
    figures: Sequence[Figure]


@dataclass(frozen=True, slots=True)
class SegmentFigures:
    """Groups of a segment, and the gaps between them."""

    name: str
    groups: Sequence[GroupFigures]
    gaps: Sequence[Figure]


@dataclass(frozen=True, slots=True)
class ArmFigures:
    """A model and arm; see `span.Summary`.

    Attributes:
        windows: how many, `mature_windows` and `fitted_windows` of them.
        matures_by: label time up to which labels must be read for all to be mature that only wait for them.
        labels_read_to: label time; None where none were read.
        overdue: predictions that should have an outcome and have none.
        estimates: how estimates of a figure did, once outcomes came.
        estimates_together: the same of each estimator (`estimated`, `shifted`), of windows alone that all of them
            estimated: these can be compared.
    """

    model: str
    version: str
    digest: str
    arm: str
    windows: int
    mature_windows: int
    fitted_windows: int
    training: TrainingSpans
    immature_share: float
    matures_by: int | None
    labels_read_to: int | None
    predictions: int
    outcomes: int
    repeats: int
    overdue: int
    unmatched_windows: Sequence[int]
    ahead_windows: Sequence[int]
    figures: Sequence[Figure]
    estimates: Mapping[str, EstimateError]
    estimates_together: Mapping[str, Mapping[str, EstimateError]]
    by_window: Sequence[WindowFigures]
    segment: SegmentFigures | None


@dataclass(frozen=True, slots=True)
class ScorecardReport:
    """Scorecards of a span.

    Attributes:
        none_before: the start of the oldest window there is, where the span that is asked for begins before it.
        incidents: of drift that were going on in the span.
        noted: what members here refused or left out, and how often; None where none runs here.
    """

    pipeline: str
    window: Bounds
    window_ms: int
    arms: Sequence[ArmFigures]
    none_before: int | None
    incidents: Sequence[IncidentNote]
    noted: Mapping[str, int] | None


def arm_figures(
    each: Summary, pipeline: Pipeline, origin: Origin, segment: str | None, names: Sequence[str] | None
) -> ArmFigures:
    """One model and arm, with some figures; all of them where `names` is None."""
    seen = fitted_windows(each, pipeline, origin)
    length = pipeline.scorecards.window
    groups = [GroupFigures(name, **_card(made, names)) for name, made in each.groups.items()]
    return ArmFigures(
        model=each.who.name,
        version=each.who.version,
        digest=each.who.digest,
        arm=each.who.arm,
        windows=len(each.starts),
        mature_windows=len(each.complete),
        fitted_windows=len(seen),
        training=origin.training,
        immature_share=each.immature,
        matures_by=matures_by(each, pipeline),
        labels_read_to=each.as_of if each.as_of > UNREAD else None,
        predictions=each.whole.tally["predictions"],
        outcomes=each.whole.tally["outcomes"],
        repeats=each.whole.tally["repeats"],
        overdue=overdue(each, pipeline),
        unmatched_windows=unmatched(each),
        ahead_windows=each.ahead,
        figures=_figures(each.figures.values(), names),
        estimates=each.fared,
        estimates_together={name.rstrip("_"): found for name, found in each.compared.items()},
        by_window=[
            WindowFigures(start, start + length, start in seen, **_card(made, names))
            for start, made in each.windows.items()
        ],
        segment=None if segment is None else SegmentFigures(segment, groups, list(each.gaps.values())),
    )


def fitted_windows(each: Summary, pipeline: Pipeline, origin: Origin) -> set[int]:
    """The windows, of those of a span, in which lie events that the model was fitted on."""
    length = pipeline.scorecards.window
    return {start for start in each.starts if origin.overlaps(TimeSpan(start, start + length))}


class _CardFields(TypedDict):
    """What `GroupFigures` and `WindowFigures` have in common."""

    predictions: int
    outcomes: int
    labelled: int
    presumed: int
    repeats: int
    mature: bool
    figures: Sequence[Figure]


def _card(made: Card, names: Sequence[str] | None) -> _CardFields:
    tally = made.tally
    return _CardFields(
        predictions=tally["predictions"],
        outcomes=tally["outcomes"],
        labelled=tally["labelled"],
        presumed=tally["presumed"],
        repeats=tally["repeats"],
        mature=made.mature,
        figures=_figures(made.figures.values(), names),
    )


def _figures(figures: Iterable[Figure], names: Sequence[str] | None) -> list[Figure]:
    return [figure for figure in figures if names is None or figure.name in names]
