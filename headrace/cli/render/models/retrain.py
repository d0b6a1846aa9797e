"""Trainings on paper: answers, stages, and everything that asked for one."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from rich.markup import escape

from headrace.domain.control.retrain import RetrainProgress
from headrace.operations.retrain.request import RetrainAnswer
from headrace.operations.retrain.trigger_history import TriggerStory
from headrace.operations.time_spans import moment

COLOURS = {"started": "green", "active": "cyan", "finished": "green", "ignored": "yellow", "failed": "red"}


def answer_line(pipeline: str, answer: RetrainAnswer) -> str:
    """What became of a request."""
    told = f"[{COLOURS[answer.outcome]}]{answer.outcome}[/]"
    if answer.outcome == "ignored":
        return f"{told}: {_why(answer.rule, answer.because, answer.until)}"
    if answer.outcome == "failed":
        return f"{told}: {escape(answer.run)}: {escape(answer.problem)}\nits log: {escape(answer.log)}"
    if answer.outcome == "finished":
        return f"{told}: {escape(answer.model)} after {_took(answer.seconds, answer.cpu_s)}; {escape(answer.digest)}"
    return f"{told}: training {escape(answer.run)}; headrace retrain {escape(pipeline)} --history says how it ends"


def stage_line(progress: RetrainProgress) -> str:
    """A stage that a training has come to."""
    said = json.loads(progress.said)
    return f"[dim]{escape(progress.stage)}[/] {escape(str(said.get('detail', '')))}".rstrip()


def story_lines(pipeline: str, stories: Sequence[TriggerStory]) -> Iterator[str]:
    """A trigger in two lines, the oldest first."""
    if not stories:
        yield f"nothing has asked for a training of {escape(pipeline)}"
    for story in stories:
        yield f"[bold]{moment(story.time)}[/]  {escape(story.source)}, {escape(story.actor)}: {escape(story.about)}"
        yield f"  {_became(story)}"


def _became(story: TriggerStory) -> str:
    if story.outcome == "waiting":
        return "[yellow]no answer yet[/]: the service retrain does not run, or is behind"
    told = f"[{COLOURS[story.outcome]}]{story.outcome}[/]"
    if story.outcome == "ignored":
        return f"{told}: {_why(story.rule, story.because, story.until)}"
    if story.outcome == "failed":
        return f"{told}: {escape(story.run)}: {escape(story.problem)}"
    if story.outcome == "finished":
        return f"{told}: {escape(story.run)} made {escape(story.model)} in {_took(story.seconds, story.cpu_s)}"
    return f"{told}: {escape(story.run)}"


def _why(rule: str, because: str, until: int | None) -> str:
    ends = "" if until is None else f"; until {moment(until)}"
    return f"[bold]{escape(rule)}[/], {escape(because)}{ends}"


def _took(seconds: float | None, cpu_s: float | None) -> str:
    return f"{seconds or 0:.0f} s ({cpu_s or 0:.0f} s of processors)"
