"""What services refused or left out, in a line below the figures that it changes."""

from __future__ import annotations

from rich.markup import escape

from headrace.operations.remarks import REMARKS, noted


def note(pipeline: str) -> str:
    """A line for a person: what the members here noted, or where others count it."""
    found = noted(pipeline)
    if found is None:
        return f"[dim]what services refused or left out, repeats too, they count themselves: {REMARKS} and others[/]"
    told = "; ".join(f"{count:,} {escape(words)}" for words, count in found.items())
    return f"[dim]since the services here started: {told or 'nothing was refused or left out'}[/]"
