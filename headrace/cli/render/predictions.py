"""Predictions in lines."""

from __future__ import annotations

from rich.markup import escape

from headrace.operations.topics.prediction_lines import PredictionLine

HEADER = f"{'event time':<20} {'event':<14} {'entity':<12} {'score':>7}  {'decision':<8} model"


def line(row: PredictionLine) -> str:
    """A prediction in a line of rich markup."""
    colour, word = ("red", "yes") if row.decision else ("green", "no")
    word = word if row.class_ is None else f"{word} {escape(row.class_)}"
    model = f"{row.model} {row.version} ({row.arm})"
    score = "-" if row.score is None else f"{row.score:.4f}"
    return (
        f"{row.event_time[:19]:<20} {escape(row.event_id):<14} {escape(row.entity):<12} {score:>7}  "
        f"[{colour}]{word:<8}[/] {escape(model)}"
    )
