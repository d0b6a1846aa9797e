"""What to try in the system that a demo left up, on a page."""

from __future__ import annotations

import shlex

from rich.console import Console

from headrace.domain.control.release import ReleaseAdvanced, ReleaseRolledBack
from headrace.domain.pipeline.workspace import resolve
from headrace.domain.plans.plans import CHALLENGER, CHAMPION
from headrace.errors import ConfigurationError
from headrace.operations.demo.loop import LoopStory
from headrace.operations.demo.tour import KeptSystem
from headrace.operations.local.home import DEMO_ENV, DEMO_MORE
from headrace.operations.time_spans import iso

A_MOMENT_MS = 1_000
"""After a decision, so that it holds."""


def say_what_next(console: Console, kept: KeptSystem, pipeline: str, story: LoopStory | None = None) -> None:
    """The page, for a pipeline by the name that it was asked for; of a loop, with what its story leads to.

    Where that name means this file only in the directory that the demo was started in, the file's own path is told.
    """
    pipeline = shlex.quote(pipeline if _means(pipeline, kept) else kept.pipeline)
    directory, rest = kept.directory, kept.rest.num_rows
    console.print(f"\nThe demo's system is up, in {directory}. What to try, in any shell:\n", style="bold")
    console.print(f"  source {shlex.quote(str(directory / DEMO_ENV))}\n", style="cyan", highlight=False, soft_wrap=True)
    more = shlex.quote(str(directory / DEMO_MORE))
    lines = [
        ("headrace status", "what runs, and where its metrics are"),
        (f"headrace lag {pipeline}", "how far each service is"),
    ]
    if rest:
        lines += [
            (f"headrace publish {pipeline} {more} --rate 100", f"{rest:,} events more; in another shell:"),
            (f"headrace predictions {pipeline} --follow", "answers as they come"),
            (f"headrace publish {pipeline} {more} --to labels", "what became of them"),
        ]
    if kept.event is not None:
        lines.append(
            (f"headrace why {shlex.quote(kept.event)} --pipeline {pipeline}", "all that is known of one event")
        )
    lines += [
        (f"headrace scorecard {pipeline}", "how good the models are"),
        (f"headrace drift {pipeline}", "what is no longer as it was when the models were trained"),
        (f"headrace plan show {pipeline}", "who scores what"),
    ]
    if story is not None:
        lines += _of_the_loop(pipeline, story)
    champion, challenger = kept.models.get(CHAMPION), kept.models.get(CHALLENGER)
    if champion and challenger:
        lines += [
            (f"headrace duel {pipeline} champion challenger", "which of the two is better"),
            (
                f"headrace plan set {pipeline} --champion {shlex.quote(challenger)} "
                f"--challenger {shlex.quote(champion)} --reason 'it is better'",
                "let them change places",
            ),
        ]
    lines.append(("headrace down --forget", "stop it all and delete its data"))
    for command, meaning in lines:
        console.print(f"  # {meaning}", style="dim", highlight=False)
        # Not wrapped: it is there to be pasted.
        console.print(f"  {command}", style="cyan", highlight=False, soft_wrap=True)


def _means(pipeline: str, kept: KeptSystem) -> bool:
    """Whether a name means the demo's file in any directory that has no such file of its own."""
    try:
        return resolve(pipeline, kept.directory).samefile(kept.pipeline)
    except (ConfigurationError, OSError):
        return False


def _of_the_loop(pipeline: str, story: LoopStory) -> list[tuple[str, str]]:
    """Commands on what was decided."""
    lines = [
        (f"headrace ledger show {pipeline}", "every decision, and who made it"),
        (f"headrace retrain {pipeline} --history", "what asked for a training, and what was answered"),
        (f"headrace models plan {pipeline}", "how many events a next release would take"),
    ]
    canary = [mark.event.time for mark in story.marks if isinstance(mark.event.finding, ReleaseAdvanced)]
    if canary:
        at = iso(canary[0] + A_MOMENT_MS)
        lines.append((f"headrace live {pipeline} --at {at}", "what was live while the new model was a canary"))
    back = [mark.event.finding for mark in story.marks if isinstance(mark.event.finding, ReleaseRolledBack)]
    if back:
        lines.append(
            (f"headrace ledger show {pipeline} --model {shlex.quote(back[-1].model)}", "the model that was put back")
        )
    return lines
