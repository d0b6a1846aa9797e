"""What to try in the system that a demo left up, on a page."""

from __future__ import annotations

import shlex

from rich.console import Console

from headrace.domain.plans.plans import CHALLENGER, CHAMPION
from headrace.operations.demo.tour import ENV, MORE, KeptSystem


def say_what_next(console: Console, kept: KeptSystem, pipeline: str) -> None:
    """The page, for a pipeline by the name that it was asked for."""
    directory, rest = kept.directory, kept.rest.num_rows
    console.print(f"\nThe demo's system is up, in {directory}. What to try, in any shell:\n", style="bold")
    console.print(f"  source {shlex.quote(str(directory / ENV))}\n", style="cyan", highlight=False, soft_wrap=True)
    more = shlex.quote(str(directory / MORE))
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
        lines.append((f"headrace why {kept.event} --pipeline {pipeline}", "all that is known of one event"))
    lines += [
        (f"headrace scorecard {pipeline}", "how good the models are"),
        (f"headrace drift {pipeline}", "what is no longer as it was when the models were trained"),
        (f"headrace plan show {pipeline}", "who scores what"),
    ]
    champion, challenger = kept.models.get(CHAMPION), kept.models.get(CHALLENGER)
    if champion and challenger:
        lines += [
            (f"headrace duel {pipeline} champion challenger", "which of the two is better"),
            (
                f"headrace plan set {pipeline} --champion {challenger} --challenger {champion} --reason 'it is better'",
                "let them change places",
            ),
        ]
    lines.append(("headrace down --forget", "stop it all and delete its data"))
    for command, meaning in lines:
        console.print(f"  # {meaning}", style="dim", highlight=False)
        # Not wrapped: it is there to be pasted.
        console.print(f"  {command}", style="cyan", highlight=False, soft_wrap=True)
