"""What a replay comes to, as figures: quality by week, what was decided and on what day, and what it cost."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from headrace.domain.control.drift import DriftClosed, DriftHarmed, DriftOpened
from headrace.domain.control.events import ControlEvent
from headrace.domain.control.release import ReleaseFinding
from headrace.domain.control.retrain import (
    ModelEvaluated,
    RetrainFailed,
    RetrainFinished,
    RetrainIgnored,
    RetrainStarted,
)
from headrace.domain.retrain.trigger import trigger_of
from headrace.domain.training.dataset import milliseconds
from loadtests.loop.play import FIRST, Replayed

WEEK = 7 * 86_400_000
DRAWS = 400
"""Times that a week's events are drawn anew for the interval of a difference."""
Floats = npt.NDArray[np.float64]
Figures = dict[str, Any]


def weighted_precision(order: npt.NDArray[np.int64], scores: Floats, labels: Floats, weights: Floats) -> float:
    """Average precision where each event counts so often; NaN without positives.

    Args:
        order: of events by falling score.
        scores, labels, weights: [n], in their own order.

    >>> scores, labels = np.array([0.1, 0.4, 0.35, 0.8]), np.array([0.0, 0.0, 1.0, 1.0])
    >>> round(weighted_precision(np.argsort(-scores), scores, labels, np.ones(4)), 6)
    0.833333
    """
    weight = weights[order]
    hits, flagged = np.cumsum(weight * labels[order]), np.cumsum(weight)
    last = np.flatnonzero(np.append(np.diff(scores[order]) != 0, True))
    last = last[flagged[last] > 0]
    if not len(last) or hits[-1] <= 0:
        return float("nan")
    gained = np.diff(hits[last], prepend=0.0)
    return float(np.sum(gained * hits[last] / flagged[last]) / hits[-1])


def precision_of(loop: Floats, alone: Floats, labels: Floats, seed: int) -> Figures:
    """Average precision of both on the same events, and the 95% interval of the difference (events drawn anew)."""
    orders = [np.argsort(-scores, kind="stable") for scores in (loop, alone)]
    ones = np.ones(len(labels))
    own, other = (
        weighted_precision(order, scores, labels, ones)
        for order, scores in zip(orders, (loop, alone), strict=True)
    )  # fmt: skip
    figures: Figures = {"events": len(labels), "positives": int(labels.sum()), "loop": own, "alone": other}
    if (loop == alone).all():
        return figures | {"difference": 0.0, "low": 0.0, "high": 0.0}
    draw = np.random.default_rng(seed)
    apart = []
    for _ in range(DRAWS):
        weights = draw.poisson(1.0, len(labels)).astype(float)
        apart.append(
            weighted_precision(orders[0], loop, labels, weights) - weighted_precision(orders[1], alone, labels, weights)
        )
    low, high = np.nanpercentile(apart, [2.5, 97.5])
    return figures | {"difference": own - other, "low": float(low), "high": float(high)}


def by_week(found: Replayed) -> list[Figures]:
    """Quality of each week of the span, the last one shorter where days are left; all of it as the last entry."""
    case = found.case
    times = milliseconds(found.answers["event_time"])
    scores = found.answers["score"].to_numpy().astype(float)
    labels = found.labels.astype(float)
    versions = found.answers["version"].to_numpy()
    rows = []
    for number, start in enumerate([*range(case.opens, case.ends, WEEK), None]):
        begin, end = (case.opens, case.ends) if start is None else (start, min(start + WEEK, case.ends))
        own = (times >= begin) & (times < end)
        if not own.any():
            continue
        figures = precision_of(scores[own], found.alone[own], labels[own], number)
        figures |= {"week": None if start is None else number + 1, "from": begin, "to": end}
        names, counts = np.unique(versions[own].astype(str), return_counts=True)
        figures["answered_by"] = {str(name): int(count) for name, count in zip(names, counts, strict=True)}
        rows.append(figures)
    return rows


def trainings(control: Sequence[tuple[int, ControlEvent]]) -> list[Figures]:
    """Each training that began: what asked for it, on which day, what it made, and what became of that."""
    found: dict[str, Figures] = {}
    by_model: dict[str, Figures] = {}
    for day, event in control:
        said = event.finding
        if isinstance(said, RetrainStarted):
            found[said.run] = {"run": said.run, "day": day, "source": said.source, "trigger": said.trigger,
                               "model": "", "problem": "", "cpu_s": 0.0, "verdict": "", "because": "",
                               "releases": []}  # fmt: skip
        elif isinstance(said, RetrainFinished) and said.run in found:
            found[said.run] |= {"model": said.model, "cpu_s": said.cpu_s}
            by_model[said.model] = found[said.run]
        elif isinstance(said, RetrainFailed) and said.run in found:
            found[said.run]["problem"] = said.problem
        elif isinstance(said, ModelEvaluated) and said.model in by_model:
            by_model[said.model] |= {"verdict": said.verdict, "because": said.because, "outcomes": said.outcomes}
        elif isinstance(said, ReleaseFinding) and said.model in by_model:
            by_model[said.model]["releases"].append(
                {
                    "day": day,
                    "type": said.type,
                    "stage": said.stage,
                    "rule": said.rule,
                    "why": said.why,
                    "at": said.at,
                    "events": said.events,
                }
            )
    return list(found.values())


def refusals(control: Sequence[tuple[int, ControlEvent]]) -> dict[str, int]:
    """Triggers that started nothing, by kind and rule."""
    counts: dict[str, int] = {}
    for _, event in control:
        if isinstance(event.finding, RetrainIgnored):
            name = f"{event.finding.source}: {event.finding.rule}"
            counts[name] = counts.get(name, 0) + 1
    return counts


def incidents(control: Sequence[tuple[int, ControlEvent]]) -> list[Figures]:
    """Each incident: since when, of what, whether it harmed, when it was over."""
    found: dict[str, Figures] = {}
    for day, event in control:
        said = event.finding
        if isinstance(said, DriftOpened):
            found[said.incident] = {"incident": said.incident, "day": day, "model": said.model, "stream": said.stream,
                                    "columns": said.columns, "began": said.began, "reached": said.reached,
                                    "harm": [], "closed": None}  # fmt: skip
        elif isinstance(said, DriftHarmed) and said.incident in found:
            found[said.incident]["harm"].append({"day": day, "basis": said.basis, "worse": said.worse})
        elif isinstance(said, DriftClosed) and said.incident in found:
            found[said.incident]["closed"] = day
    return list(found.values())


def figures_of(found: Replayed, where: Figures, sample: int) -> Figures:
    """All figures of a replay, as JSON takes them."""
    case, weeks = found.case, by_week(found)
    triggers = [trigger for _, event in found.control if (trigger := trigger_of(event)) is not None]
    return {
        "title": case.title,
        "machine": where,
        "sample": sample,
        "opens": case.opens,
        "ends": case.ends,
        "trained": case.trained,
        "step": case.step,
        "changed": case.changed(),
        "whole": found.whole,
        "outcomes": {"first": found.outcomes[0], "corrected": found.outcomes[1]},
        "events": {"before": found.before, "loop": len(found.answers)},
        "seconds": found.seconds,
        "cpu": {name: round(value, 2) for name, value in found.cpu.items()},
        "restarts": found.restarts,
        "weeks": weeks[:-1],
        "all": weeks[-1],
        "triggers": {
            source: sum(each.source == source for each in triggers) for source in {t.source for t in triggers}
        },
        "refusals": refusals(found.control),
        "trainings": [useful(each, weeks[:-1]) for each in trainings(found.control)],
        "incidents": incidents(found.control),
        "control": [[day, event.actor, event.finding.type] for day, event in found.control],
    }


def useful(training: Figures, weeks: Sequence[Figures]) -> Figures:
    """A training with how many events its model answered, and how it did in the weeks in which it answered most."""
    version = training["model"].rpartition("@")[2]
    answered = sum(each["answered_by"].get(version, 0) for each in weeks) if version else 0
    led = [
        each["difference"]
        for each in weeks
        if version and each["answered_by"].get(version, 0) > 0.5 * sum(each["answered_by"].values())
    ]
    return training | {"answered": answered, "difference": float(np.mean(led)) if led else None}


def models(figures: Figures) -> Iterator[str]:
    """Versions that answered anything, the first champion among them."""
    yield FIRST
    for each in figures["trainings"]:
        if each["answered"]:
            yield each["model"].rpartition("@")[2]
