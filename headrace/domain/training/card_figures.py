"""What a model card tells of a model: figures by group, what answers rest on, and what is not known."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import numpy as np
import numpy.typing as npt

from headrace.domain.models.card import CardGroup, Contributions, ModelCard, sorted_by_size
from headrace.domain.pipeline.spec import Pipeline
from headrace.domain.quality.classes.losses import half_brier
from headrace.domain.training.attribution_reference import HeldOutContributions
from headrace.domain.training.classes.class_metrics import class_metrics
from headrace.domain.training.dataset import Dataset
from headrace.domain.training.evaluation import evaluate

FEW_ROWS, FEW_POSITIVES = 100, 10
"""Of a group, below which its figures say little."""
WEEK = 7 * 86_400_000
OFTEN_MISSING = 0.05
MOST_NAMES = 10

Floats = npt.NDArray[np.floating]


def completed(
    card: ModelCard,
    fitted: Dataset,
    held_out: Dataset | None,
    scores: Floats | None,
    contributed: HeldOutContributions | str,
) -> ModelCard:
    """A card with all that the rows tell.

    Args:
        card: where the rows come from.
        fitted: the rows that the model was fitted on.
        held_out: others, None where there are none.
        scores: [held_out], the model's answers to them.
        contributed: of inputs on the latter, or why that is not known.
    """
    groups = () if held_out is None or scores is None else tuple(_groups(held_out, scores))
    found = card.model_copy(
        update={
            "judged": None if held_out is None else (int(held_out.times[0]), int(held_out.times[-1])),
            "groups": groups,
            "contributions": _contributions(fitted.inputs, contributed),
        }
    )
    return found.model_copy(update={"limits": tuple(_limits(found, fitted, held_out))})


def rule_of(pipeline: Pipeline) -> dict[str, Any]:
    """What the pipeline file says of labels, as a card keeps it."""
    found: dict[str, Any] = {} if pipeline.labels is None else json.loads(json.dumps(asdict(pipeline.labels)))
    # Cards of pipelines without classes say what they always did: they are part of a package's identity.
    return {name: value for name, value in found.items() if name != "names" or value}


def metrics_of(rows: Dataset, scores: Floats) -> dict[str, float]:
    """Metrics of answers, [n] or [n, classes]: `evaluate`, or `class_metrics`."""
    return class_metrics(rows.labels, scores) if rows.classes else evaluate(rows.labels, scores)


def losses_of(rows: Dataset, scores: Floats) -> npt.NDArray[np.float64]:
    """What each answer lost: the squared error, of several classes half of Brier's score."""
    if rows.classes:
        return half_brier(scores.astype(np.float64), rows.labels.astype(np.float64))
    return np.asarray((scores.astype(np.float64) - rows.labels) ** 2, np.float64)


def judged(rows: Dataset, scores: Floats) -> dict[str, float]:
    """Metrics of answers, without counts: `metrics_of` and the mean of `losses_of` (of chances Brier's score)."""
    found = {name: value for name, value in metrics_of(rows, scores).items() if name not in ("rows", "positives")}
    return {decisive(rows): float(np.mean(losses_of(rows, scores))), **found}


def decisive(rows: Dataset) -> str:
    """What the mean squared difference of answers and labels is called, which decides between models."""
    return "mean_squared_error" if rows.quantities else "brier"


def _groups(rows: Dataset, scores: Floats) -> Iterator[CardGroup]:
    for (segment, group), members in sorted(rows.groups.items()):
        labels, times = rows.labels[members], rows.times[members]
        inside = Dataset(rows.inputs, rows.matrix[:0], labels, times, classes=rows.classes)
        count, positives = int(members.sum()), inside.positives
        two = not rows.quantities and not rows.classes
        if not count or (two and not 0 < positives < count):
            why = "no rows were held out" if not count else "all rows held out are of one class"
            yield CardGroup(segment=segment, group=group, rows=count, positives=positives, why=why)
            continue
        metrics = judged(inside, scores[members])
        yield CardGroup(segment=segment, group=group, rows=count, positives=positives, metrics=metrics)


def _contributions(inputs: tuple[str, ...], found: HeldOutContributions | str) -> Contributions:
    if isinstance(found, str):
        return Contributions(why=found)
    means = dict(zip(inputs, found.sizes.mean(axis=0).tolist(), strict=True))
    return Contributions(
        of=found.sample.of, exact=found.sample.exact, rows=len(found.rows), inputs=sorted_by_size(means)
    )


def _limits(card: ModelCard, fitted: Dataset, held_out: Dataset | None) -> Iterator[str]:
    """What is not known of the model, in sentences."""
    first, last = int(fitted.times[0]), int(fitted.times[-1])
    yield f"It was fitted on events from {_date(first)} to {_date(last)} and knows of no others."
    if last - first < WEEK:
        yield "It has not seen each hour of a week: what changes with the day may be taken for something else."
    if card.window.as_of is not None:
        yield f"Labels that were known after {_date(card.window.as_of)} are not in it, corrections included."
    if card.window.unreadable:
        yield f"{card.window.unreadable:,} records of its window could not be read and are left out."
    if held_out is None:
        yield "No rows were held out: how well it does is not known."
    two = not fitted.quantities and not fitted.classes
    few = [
        f"{figures.segment} {figures.group} ({figures.rows:,} rows"
        + (f", {figures.positives:,} positive)" if two else ")")
        for figures in card.groups
        if figures.rows < FEW_ROWS or (two and min(figures.positives, figures.rows - figures.positives) < FEW_POSITIVES)
    ]
    if few:
        yield f"Few rows were held out in {_some(few)}: figures of these say little."
    tried = sum(1 for window in card.windows if window.why is None)
    if tried > 1:
        yield f"It was chosen among {tried} by the rows held out, so figures on these are a little too good."
    missing = np.isnan(fitted.matrix).mean(axis=0)
    often = [
        f"{name} ({share:.0%})" for name, share in zip(fitted.inputs, missing, strict=True) if share >= OFTEN_MISSING
    ]
    if often:
        yield f"Inputs were missing in training: {_some(often)}."
    never = [name for name, share in zip(fitted.inputs, missing, strict=True) if share == 0]
    if never:
        yield f"Inputs were never missing in training: {_some(never)}; an answer to an event without one is a guess."
    constant = [
        name
        for at, name in enumerate(fitted.inputs)
        if len(np.unique(fitted.matrix[:, at][~np.isnan(fitted.matrix[:, at])])) <= 1
    ]
    if constant:
        yield f"Inputs had one value in training, or none: {_some(constant)}."


def _some(names: list[str]) -> str:
    more = len(names) - MOST_NAMES
    return ", ".join(names[:MOST_NAMES]) + (f" and {more} more" if more > 0 else "")


def _date(time: int) -> str:
    return f"{datetime.fromtimestamp(time / 1000, UTC):%Y-%m-%d %H:%M} UTC"
