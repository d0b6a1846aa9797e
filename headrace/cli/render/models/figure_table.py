"""A table of figures on paper: what they are of to the left, numbers to the right."""

from __future__ import annotations

from rich import box
from rich.console import OverflowMethod
from rich.table import Table


def figure_table(first: str, *others: str, overflow: OverflowMethod = "ellipsis", no_wrap: bool = True) -> Table:
    """With these headings; `overflow` and `no_wrap` are the first column's."""
    table = Table(box=box.SIMPLE_HEAD, header_style="bold", pad_edge=False, padding=(0, 1), show_edge=False)
    table.add_column(first, overflow=overflow, no_wrap=no_wrap)
    for name in others:
        table.add_column(name, justify="right", no_wrap=True)
    return table
