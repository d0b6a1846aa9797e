"""Evidence of a duel that may be looked at any time: e-processes on the losses of the same mature events."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headrace.domain.pipeline.spec import Pipeline
from headrace.domain.quality.classes.losses import are_chances
from headrace.domain.release.margin import Margin
from headrace.domain.release.paired_evidence import PairedEvidence, PairedMoments
from headrace.errors import ConfigurationError
from headrace.operations.comparison.pairing import Meeting
from headrace.operations.comparison.prediction_table import Floats, Ints, PredictionColumns
from headrace.operations.comparison.results import AnytimeEvidence, EvidenceStanding, Quality
from headrace.operations.comparison.verdict import knew, rounded, why_unknown
from headrace.operations.time_spans import minute

DAY = 86_400_000
FARTHEST = 1_000
"""Times the events that there are: what would take more is as good as at the margin."""


@dataclass(frozen=True, slots=True)
class EvidenceRequest:
    """What is asked.

    Attributes:
        margin: by how much b may lose more than a.
        alpha: how often each statement may be wrong, ever; above 0, below 1.
        bound: of values: the squared error beyond which all errors count alike.

    Raises ConfigurationError where alpha or bound is none.
    """

    margin: Margin = field(default_factory=Margin)
    alpha: float = 0.05
    bound: float | None = None

    def __post_init__(self) -> None:
        if not 0 < self.alpha < 1:
            raise ConfigurationError(f"--alpha {self.alpha:g} is no share: write one above 0 and below 1, such as 0.05")
        if self.bound is not None and not (math.isfinite(self.bound) and self.bound > 0):
            raise ConfigurationError(f"--bound {self.bound:g} bounds nothing: write a squared error above 0")


def tells_chances(pipeline: Pipeline) -> bool:
    """Whether scores are chances of a positive, or of each of several classes, and their loss Brier's."""
    return pipeline.model.output != "value"


def check_bound(request: EvidenceRequest, pipeline: Pipeline) -> None:
    """Raise ConfigurationError where a bound is given for a loss that has its own."""
    if tells_chances(pipeline) and request.bound is not None:
        raise ConfigurationError(
            f"--bound is for models of a quantity; the one of {pipeline.name} tells a {pipeline.model.output}"
        )


def anytime_evidence(
    a: PredictionColumns,
    b: PredictionColumns,
    meeting: Meeting,
    quality: Quality,
    pipeline: Pipeline,
    request: EvidenceRequest,
    counted: bool = False,
) -> AnytimeEvidence:
    """Whether b loses more than a by more than the margin; `counted` as in `verdict`.

    Outcomes enter in the order of event time, ties by event id. At each the scores are known of all events that had
    happened when it became mature, by days.
    """
    chances = tells_chances(pipeline)
    times, ids = a.times[meeting.rows_a], a.event_ids.take(pa.array(meeting.rows_a))
    classes = len(pipeline.model.classes)
    said = (b.chances, a.chances) if classes else (b.scores, a.scores)
    columns = [said[0][meeting.rows_b], said[1][meeting.rows_a], meeting.both.labels]
    why = _why_not(meeting, quality, chances, request, columns)
    if why is not None:
        return _unknown(why, request)
    order = pc.sort_indices(pa.table({"time": times, "id": ids}), [("time", "ascending"), ("id", "ascending")])
    rows: Ints = order.to_numpy().astype(np.int64)
    matures_after = pipeline.labels.matures_after if pipeline.labels else 0
    found = _folded([column[rows] for column in columns], times[rows], matures_after, request, classes)
    return replace(found, sentence=found.sentence + knew(quality, counted))


def _why_not(
    meeting: Meeting, quality: Quality, chances: bool, request: EvidenceRequest, columns: list[Floats]
) -> str | None:
    """Why there is no evidence; None where there is."""
    if not meeting.paired:
        both = f"only {len(meeting.rows_a):,} events were" if len(meeting.rows_a) else "no event was"
        return (
            f"Nobody can tell: {both} scored by both, and this needs the losses of both at the same events. Let "
            "the one model also be a challenger or a shadow, and compare that."
        )
    if not chances and request.bound is None:
        return (
            "Nobody can tell: a squared error has no bound. Name with --bound the one beyond which all errors count "
            "alike; choose it before you look."
        )
    if np.isnan(columns[2]).all():
        return why_unknown(quality, columns[0].ndim > 1)
    if columns[0].ndim > 1:
        if not all(are_chances(scores).all() for scores in columns[:2]):
            return "Nobody can tell: scores of A or B are no chances, from 0 to 1 each and 1 together."
    elif chances and any(np.any((scores < 0) | (scores > 1)) for scores in columns[:2]):
        return "Nobody can tell: a score of A or B is not in [0, 1], so it is no chance."
    return None


def _unknown(why: str, request: EvidenceRequest) -> AnytimeEvidence:
    return AnytimeEvidence("unknown", why, **_asked(request), **_NONE, clipped=0, events=0)


_NONE: dict[str, Any] = dict.fromkeys(
    ("loss_a", "loss_b", "beyond", "deviation", "harm", "safety", "more_events", "more_days")
)


def _asked(request: EvidenceRequest) -> dict[str, Any]:
    margin = request.margin
    return {
        "alpha": request.alpha,
        "margin": margin.text,
        "margin_share": margin.share,
        "margin_offset": margin.offset,
        "bound": request.bound,
    }


def _folded(
    columns: list[Floats], times: Ints, matures_after: int, request: EvidenceRequest, classes: int = 0
) -> AnytimeEvidence:
    """The evidence of rows in the order of event time; those without a label tell their scores alone."""
    evidence = PairedEvidence(request.margin, request.bound, classes)
    candidate, champion, labels = columns
    known = ~np.isnan(labels)
    traces: list[tuple[Floats, Floats]] = []
    foreseen = 0
    begins = np.flatnonzero(np.diff(times // DAY, prepend=times[0] // DAY - 1))
    for low, high in zip(begins, [*begins[1:], len(times)], strict=True):
        ahead = int(np.searchsorted(times, times[low] // DAY * DAY + matures_after, "right"))
        if ahead > foreseen:
            evidence.foresee(candidate[foreseen:ahead], champion[foreseen:ahead])
            foreseen = ahead
        some = np.flatnonzero(known[low:high]) + low
        traces.append(evidence.take(candidate[some], champion[some], labels[some]))
    at = times[known]
    harm, safety = (_standing(np.concatenate(each), at, request.alpha) for each in zip(*traces, strict=True))
    moments = evidence.moments
    answer = _answer(harm, safety)
    more = _more(moments, harm, safety, request.alpha) if answer == "open" else None
    days = float(at[-1] - at[0]) / DAY
    more_days = None if more is None or days <= 0 else more * days / moments.events
    return AnytimeEvidence(
        answer,
        _sentence(answer, harm, safety, moments, request, more, more_days),
        **_asked(request),
        clipped=moments.clipped,
        events=moments.events,
        loss_a=moments.champion,
        loss_b=moments.candidate,
        beyond=moments.mean,
        deviation=moments.deviation,
        harm=harm,
        safety=safety,
        more_events=more,
        more_days=more_days,
    )


def _standing(trace: Floats, times: Ints, alpha: float) -> EvidenceStanding:
    there = trace >= -math.log(alpha)
    last, highest = float(trace[-1]), float(trace.max())
    if not there.any():
        return EvidenceStanding(last, highest, None, None)
    first = int(np.argmax(there))
    return EvidenceStanding(last, highest, int(times[first]), first + 1)


def _answer(harm: EvidenceStanding, safety: EvidenceStanding) -> str:
    if harm.reached_after is None and safety.reached_after is None:
        return "open"
    if safety.reached_after is None or (harm.reached_after or math.inf) < safety.reached_after:
        return "harm"
    return "safe"


def _more(moments: PairedMoments, harm: EvidenceStanding, safety: EvidenceStanding, alpha: float) -> int | None:
    """How many more events it would take at what each of them said so far."""
    growth = moments.growth
    missing = -math.log(alpha) - (harm if moments.mean > 0 else safety).log
    if growth <= 0 or missing / growth > FARTHEST * moments.events:
        return None
    return rounded(missing / growth)


def _sentence(
    answer: str,
    harm: EvidenceStanding,
    safety: EvidenceStanding,
    moments: PairedMoments,
    request: EvidenceRequest,
    more: int | None,
    more_days: float | None,
) -> str:
    by = request.margin.beyond
    if answer != "open":
        first, other = (harm, safety) if answer == "harm" else (safety, harm)
        word = "worse" if answer == "harm" else "not worse"
        told = f"B is {word} {by}: settled at {_when(first)}."
        if other.reached is not None:
            told += f" Later events say the opposite, at {_when(other)}: what is true has changed meanwhile."
        return told
    leaning = "worse" if moments.mean > 0 else "not worse"
    told = f"Not settled after {moments.events:,} events; so far B is {leaning} {by}."
    if more is None:
        return f"{told} It is as good as at that margin, so nobody can say how many more it would take."
    days = "" if more_days is None else f", about {_days(more_days)} at the traffic of these"
    return f"{told} If it stays so, about {more:,} more mature outcomes would settle it{days}."


def _when(standing: EvidenceStanding) -> str:
    return f"{minute(standing.reached or 0)} (event time, {standing.reached_after:,} events)"


def _days(days: float) -> str:
    """A time for people.

    >>> _days(0.04), _days(2.35), _days(83.2)
    ('an hour', '2.4 days', '83 days')
    """
    if days < 1:
        hours = max(round(days * 24), 1)
        return "an hour" if hours == 1 else f"{hours} hours"
    return f"{days:.2g} days" if days < 100 else f"{days:,.0f} days"
