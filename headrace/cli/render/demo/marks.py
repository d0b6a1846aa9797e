"""The control events of a story as marks on lanes: who said what when, placed so that none covers another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from headrace.domain.control.release import ReleaseAdvanced, ReleasePromoted, ReleaseRejected, ReleaseRolledBack
from headrace.domain.control.retrain import RetrainProgress
from headrace.operations.demo.control_log import MarkedEvent

LANES = ("drift", "retrain", "release")
PEOPLE, OTHERS = "people", "scoring"
SCORING = ("score", "shadow")
GOOD, BAD = (ReleaseAdvanced, ReleasePromoted), (ReleaseRejected, ReleaseRolledBack)


@dataclass(frozen=True, slots=True)
class StoryMark:
    """One control event, or several of one training's stages in a row.

    Attributes:
        label: the event's number in the story, or those of the first and the last, such as `5-9`.
        lane: who said it: a service, or people.
        stream: event time of the stream then, milliseconds; of several, of the first.
        elapsed: seconds since live events began.
        kinds: of the events, such as `drift_opened`.
        title, detail: in words.
        tone: `good`, `bad`, or neither: how it ends for a model.
        prominent: whether a line through the picture shows where it was.
    """

    label: str
    lane: str
    stream: int
    elapsed: float
    kinds: str
    title: str
    detail: str
    tone: str
    prominent: bool


def lane_of(actor: str) -> str:
    """The lane of whoever spoke.

    >>> lane_of("retrain"), lane_of("ana"), lane_of("shadow")
    ('retrain', 'people', 'scoring')
    """
    return actor if actor in LANES else OTHERS if actor in SCORING else PEOPLE


def marks_of(events: Sequence[MarkedEvent]) -> list[StoryMark]:
    """A mark for each event, in their order; the stages of a training share one as long as nothing comes between."""
    found: list[StoryMark] = []
    run: list[MarkedEvent] = []
    for event in events:
        if isinstance(event.event.finding, RetrainProgress):
            run.append(event)
            continue
        if run:
            found.append(_stages(run))
            run = []
        found.append(_mark(event))
    return [*found, _stages(run)] if run else found


def _mark(marked: MarkedEvent) -> StoryMark:
    finding, event = marked.event.finding, marked.event
    tone = "good" if isinstance(finding, GOOD) else "bad" if isinstance(finding, BAD) else ""
    prominent = bool(tone) or finding.type in ("drift_opened", "retrain_started")
    lane = lane_of(event.actor)
    return StoryMark(
        str(marked.number),
        lane,
        marked.stream,
        marked.elapsed,
        finding.type,
        marked.title,
        marked.detail,
        tone,
        prominent,
    )


def _stages(run: Sequence[MarkedEvent]) -> StoryMark:
    first, last = run[0], run[-1]
    label = str(first.number) if first is last else f"{first.number}\N{EN DASH}{last.number}"
    stages = [each.event.finding.stage for each in run if isinstance(each.event.finding, RetrainProgress)]
    kind = RetrainProgress.type + (f" ({len(run)})" if len(run) > 1 else "")
    title = f"the training goes through {', '.join(stages)}"
    return StoryMark(label, lane_of(first.event.actor), first.stream, first.elapsed, kind, title, "", "", False)


def spread(places: Sequence[float], widths: Sequence[float], low: float, high: float) -> list[float]:
    """Middles of things of some widths, in their order, none over another, as near to their places as that allows, in
    [low, high].

    Neighbours that are too near are pooled around their mean, as in isotonic regression of places less what must lie
    before them (least squared displacement). Where all of them do not fit, each is given its share of the room.

    >>> spread([1.0, 1.0, 1.0, 9.0], [2.0] * 4, 0.0, 10.0)
    [1.0, 3.0, 5.0, 9.0]
    >>> spread([5.0, 5.0], [2.0, 4.0], 0.0, 10.0)
    [3.5, 6.5]
    >>> spread([1.0, 1.0], [10.0, 10.0], 0.0, 10.0)
    [2.5, 7.5]
    """
    if not len(places):
        return []
    wide = np.asarray(widths, np.float64) * min(1.0, (high - low) / sum(widths))
    before = np.cumsum(wide) - wide / 2
    pools: list[tuple[float, int]] = []
    for place, taken in zip(places, before.tolist(), strict=True):
        total, size = place - taken, 1
        while pools and pools[-1][0] / pools[-1][1] >= total / size:
            last, sizes = pools.pop()
            total, size = total + last, size + sizes
        pools.append((total, size))
    flat: npt.NDArray[np.float64] = np.repeat([total / size for total, size in pools], [size for _, size in pools])
    found: list[float] = (np.clip(flat, low, high - wide.sum()) + before).tolist()
    return found
