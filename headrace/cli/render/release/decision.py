"""Decisions on releases on paper."""

from __future__ import annotations

from collections.abc import Iterator

from rich.markup import escape

from headrace.domain.control.release import ReleaseRefused
from headrace.operations.release.requests import ReleaseAnswer


def answer_lines(answer: ReleaseAnswer) -> Iterator[str]:
    """What was decided on a request."""
    if not answer.answers:
        yield "taken up; nothing follows from it now"
    for each in answer.answers:
        if isinstance(each, ReleaseRefused):
            yield f"[red]refused[/]: {escape(each.why)}"
            continue
        plan = "" if each.plan is None else f" (plan {each.plan})"
        yield f"[green]{escape(each.type)}[/] {escape(each.model)}: {escape(each.why)}{plan}"
