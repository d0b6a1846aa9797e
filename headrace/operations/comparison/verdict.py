"""Who won a duel, in a sentence."""

from __future__ import annotations

import math
from dataclasses import replace

from headrace.domain.pipeline.spec import Pipeline
from headrace.operations.comparison.results import ComparedFigure, DuelVerdict, Quality
from headrace.operations.time_spans import minute

LOWER_IS_BETTER = ("mean_absolute_error", "mean_squared_error", "brier_score", "log_loss", "cost_per_event")
DECISIVE = ("value", "value_per_event", "average_precision", *LOWER_IS_BETTER)
"""What decides where the pipeline's gates name nothing that was compared, first to last."""
_OPPOSITES = {"better", "worse"}
ROUGH = 30
"""Fewer positives make every interval a rough one."""


def verdict(quality: Quality, pipeline: Pipeline, counted: bool = False) -> DuelVerdict:
    """Who is better by the figure that the pipeline's release gates name first, else by the first of `DECISIVE`.

    One figure decides, chosen before it is looked at: the best of several would be better by chance too often.

    Args:
        quality: what is known of the two.
        pipeline: its gates.
        counted: whether events that one of the two was fitted on are among those that count.
    """
    figures = quality.figures
    gates = list(pipeline.release.gates) if pipeline.release else []
    by = next((name for name in [*gates, *DECISIVE] if name in figures), None)
    if by is None:
        return DuelVerdict("unknown", None, why_unknown(quality, bool(pipeline.model.classes)), None)
    found = judged(by, figures[by], quality.labelled, quality.positives)
    against = [
        _span(name, figure) for name, figure in figures.items() if {sure(name, figure), found.answer} == _OPPOSITES
    ]
    sentence = found.sentence + knew(quality, counted)
    if against:
        sentence += f" But by {' and by '.join(against)} it is the other way round."
    return replace(found, sentence=sentence)


def knew(quality: Quality, counted: bool) -> str:
    """What is to be said where events that one of the two was fitted on are among those that count."""
    if not counted or not quality.fitted:
        return ""
    return f" A or B was fitted on {quality.fitted:,} of these events: whoever knew them looks better than it is."


def judged(by: str, figure: ComparedFigure, labelled: int, positives: int) -> DuelVerdict:
    """Better, worse, or not to be told yet; then roughly how many more outcomes it would take.

    An interval shrinks with the root of the outcomes, so one that is k times as wide as the difference takes k**2 times
    as many, if the difference stays as it is.
    """
    gap, low, high = figure.difference, figure.low, figure.high
    answer, span = sure(by, figure), _span(by, figure)
    few = (
        f" Only {positives} positives: intervals are rough."
        if 0 < positives < ROUGH and by not in LOWER_IS_BETTER
        else ""
    )
    if answer is not None:
        return DuelVerdict(answer, by, f"B is {answer}: {span}.{few}", 0)
    reach = (high - low) / 2
    factor = (reach / abs(gap)) ** 2 if gap else math.inf
    if factor > 1_000:
        told = f"As good as equal: no difference beyond {number(reach, by)} is left."
        return DuelVerdict("unclear", by, f"{told} {span}.{few}", None)
    more = rounded(labelled * max(factor - 1, 0.01))
    told = f"Nobody can tell yet: {span}. If it stays so, about {more:,} more outcomes would settle it."
    return DuelVerdict("unclear", by, told + few, more)


def sure(name: str, figure: ComparedFigure) -> str | None:
    """Whether b is `better` or `worse` by a figure; None while zero is in its interval."""
    low, high = (-figure.high, -figure.low) if name in LOWER_IS_BETTER else (figure.low, figure.high)
    return "better" if low > 0 else "worse" if high < 0 else None


def _span(name: str, figure: ComparedFigure) -> str:
    gap, low, high = (number(value, name, sign=True) for value in (figure.difference, figure.low, figure.high))
    return f"{name.replace('_', ' ')} {gap} ({low} to {high})"


def number(value: float, name: str, sign: bool = False) -> str:
    """A figure for people, of at most eight characters: shares have four decimals, large values are in thousands.

    >>> number(0.8712, "auc_roc"), number(-1902400.0, "value"), number(12680.0, "value", sign=True)
    ('0.8712', '-1,902k', '+12,680')
    """
    mark = "+" if sign else ""
    for least, unit, letter in ((1e8, 1e6, "M"), (1e5, 1e3, "k"), (100, 1, "")):
        if abs(value) >= least:
            return f"{value / unit:{mark},.0f}{letter}"
    return f"{value:{mark}.4f}"


def why_unknown(quality: Quality, classes: bool = False) -> str:
    """Why nothing can be said of quality yet, and until when; `classes`: of several, none of which is positive."""
    if not quality.mature and quality.fitted:
        return (
            f"Nobody can tell yet: A or B was fitted on all {quality.fitted:,} events with mature outcomes. Wait "
            "for younger events, or train on older ones; --include-training counts them all the same."
        )
    if not quality.mature:
        waits = quality.waits_for  # of a group nobody asked
        until = "" if waits is None else f" The first will be once labels up to {minute(waits)} are read."
        return f"Nobody can tell yet: there are no mature outcomes of these events.{until}"
    if not quality.labelled:
        return "Nobody can tell: no label came for any mature event, and the pipeline presumes none."
    if classes:
        return f"Nobody can tell yet: {quality.labelled:,} mature outcomes are too few."
    if not quality.positives:
        return f"Nobody can tell yet: none of {quality.labelled:,} mature outcomes is positive."
    return f"Nobody can tell yet: {quality.labelled:,} mature outcomes are too few, or all positive."


def rounded(count: float) -> int:
    """To two digits: it is a rough number."""
    step = int(10 ** max(math.floor(math.log10(max(count, 1))) - 1, 0))
    return max(round(count / step), 1) * step
