"""A model that was trained again, on paper."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import RenderableType
from rich.markup import escape
from rich.table import Table

from headrace.operations.models.reproduction import PackageDifference, Reproduction
from headrace.operations.plan_changes.lookup import short

VERDICTS = {
    "identical": "[green]identical[/]: trained again from its records it is the same, to the bit",
    "different": "[red]different[/]: trained again from its records it is another one",
    "gone": "[yellow]not known[/]: records that it was made of are gone",
}


def reproduction_lines(found: Reproduction) -> Iterator[RenderableType]:
    """The verdict, and what differs."""
    yield f"[bold]{escape(found.model)}[/] {short(found.digest)}: {VERDICTS[found.state]}"
    if found.gone:
        yield escape(found.gone)
    if found.again is not None and found.state == "different":
        yield f"the other one has digest {short(found.again)}"
    if found.made_by != found.repeated_by:
        yield escape(f"made by code {found.made_by or 'that nobody noted'}, trained again by {found.repeated_by}")
    for title, told in (("what is otherwise now", found.circumstances), ("what differs", found.differences)):
        if told:
            yield f"\n[bold]{title}[/]"
            yield _table(told)


def _table(told: tuple[PackageDifference, ...]) -> Table:
    table = Table(box=None, header_style="bold", padding=(0, 2))
    for name in ("what", "when it was made", "now"):
        table.add_column(name, overflow="fold")
    for one in told:
        table.add_row(*(escape("-" if text is None else text[:200]) for text in (one.what, one.was, one.now)))
    return table
