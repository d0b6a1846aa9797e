"""Predictions in lines."""

from __future__ import annotations

from typing import Any

from rich.markup import escape

HEADER = f"{'event time':<20} {'event':<14} {'entity':<12} {'score':>7}  {'decision':<8} model"


def line(row: dict[str, Any]) -> str:
    """A prediction in a line of rich markup."""
    colour, word = ("red", "yes") if row["decision"] else ("green", "no")
    model = f"{row['model']['name']} {row['model']['version']} ({row['arm']})"
    when, event, entity = (escape(str(row[name])) for name in ("event_time", "event_id", "entity"))
    score = "-" if row["score"] is None else f"{row['score']:.4f}"
    return f"{when[:19]:<20} {event:<14} {entity:<12} {score:>7}  [{colour}]{word:<8}[/] {escape(model)}"
