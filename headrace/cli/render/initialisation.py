"""What `headrace init` wrote, and what to look at in it."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from headrace.operations.proposal.initialisation import InitialisedPipeline, OpenLine


def init_sheet(made: InitialisedPipeline, source: str | None) -> RenderableType:
    """What was found and written, and the commands that come next; `source`: the file, None for a topic."""
    found = Table.grid(padding=(0, 2))
    for role, why in made.found.items():
        found.add_row(Text(role, style="bold"), Text(why))
    written = [Text(f"{'replaced' if path in made.replaced else 'wrote'} {path}", style="dim") for path in made.written]
    some = len(made.open)
    look = Text(f"{some} lines of {made.file} are guesses, each with its reason; --edit lists them", style="yellow")
    parts: list[RenderableType] = [found, *written, look]
    if made.undated:
        told = "rows have no time: first_time and time_step in the section files say it, before anything is published"
        parts.append(Text(told, style="yellow"))
    steps = [f"headrace check {made.pipeline}", f"headrace up {made.pipeline}"]
    if source is not None:
        steps.append(f"headrace publish {made.pipeline} {source}")
    if made.labels:
        labels = source if source is not None else "LABELS.csv"
        steps += [f"headrace publish {made.pipeline} {labels} --to labels", f"headrace train {made.pipeline}"]
    return Group(*parts, Text("next:"), *(Text(f"  {step}") for step in steps))


def open_sheet(guesses: Sequence[OpenLine]) -> RenderableType:
    """The lines to look at, as a terminal makes links of."""
    lines = [f"[bold]{escape(f'{one.file}:{one.line}')}[/] {escape(one.text)}" for one in guesses]
    return Group(*(Text.from_markup(line) for line in lines or ["nothing is left open"]))
