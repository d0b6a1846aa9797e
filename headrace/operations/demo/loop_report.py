"""What came of a loop, as a document: the account, and the story event by event."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from headrace.operations.demo.loop import LoopStory
from headrace.operations.demo.monitor import Account
from headrace.operations.demo.picture import AnswerLatency
from headrace.operations.demo.quality_course import Quality
from headrace.operations.demo.report import DemoFigures
from headrace.operations.time_spans import iso


@dataclass(frozen=True, slots=True)
class ToldEvent:
    """A control event, or with the type `remark` what the demo said.

    Attributes:
        stream: event time of the newest event that had gone in, ISO 8601.
        elapsed: seconds since live events began.
        actor: who said it.
    """

    stream: str
    elapsed: float
    type: str
    actor: str
    title: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class LoopReport(Account):
    """The account with the story.

    Attributes:
        difference: how often an event has not exactly one fate.
        history: how many of the events were published at once, before the live ones.
        missed: what did not come; empty when all did.
        seconds, held_s: see `LoopStory`.
        events_told: all that happened, in order.
        quality: of each model, in windows of stream time (milliseconds).
        files: where the story lies.
    """

    difference: int
    history: int
    latency: AnswerLatency | None
    missed: str
    seconds: float
    held_s: float
    events_told: Sequence[ToldEvent]
    quality: Mapping[str, Sequence[Quality]]
    files: Sequence[str]


def loop_report(figures: DemoFigures, story: LoopStory, files: Sequence[str]) -> LoopReport:
    """The document of a story."""
    told = [
        (each.elapsed, ToldEvent(iso(each.stream), each.elapsed, "remark", "demo", each.text)) for each in story.remarks
    ]
    for each in story.marks:
        kind, actor = each.event.finding.type, each.event.actor
        told.append(
            (each.elapsed, ToldEvent(iso(each.stream), each.elapsed, kind, actor, each.title, each.detail))
        )  # fmt: skip  # a pair
    return LoopReport(
        **asdict(figures.account),
        difference=figures.account.differences,
        history=figures.history,
        latency=figures.latency,
        missed=story.missed,
        seconds=story.seconds,
        held_s=story.held_s,
        events_told=[each for _, each in sorted(told, key=lambda one: one[0])],
        quality=story.course,
        files=files,
    )
