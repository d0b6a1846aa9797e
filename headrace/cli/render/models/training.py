"""A trained model on paper."""

from __future__ import annotations

from rich.table import Table

from headrace.cli.render.models.package import COUNTS
from headrace.operations.models.training import TrainedModel


def training_sheet(trained: TrainedModel) -> Table:
    """What it is, what it was fitted on, how it did on what was held out, and the part that it plays."""
    table = Table(show_header=False, box=None)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")  # A place or a digest that is cut leads nowhere.
    table.add_row("model", f"[bold]{trained.model}@{trained.version}[/]")
    table.add_row("trainer", trained.trainer)
    table.add_row("digest", trained.digest)
    table.add_row("stored at", trained.uri)
    fitted = trained.training
    of = f", {fitted.positives:,} positive" if fitted.positives else ""
    table.add_row("trained on", f"{fitted.rows:,} events{of}")
    for name, value in trained.metrics.items():
        table.add_row(f"held out: {name}", f"{value:,.0f}" if name in COUNTS else f"{value:.4f}")
    played = trained.plan_version
    table.add_row("plan", f"version {played}: champion" if played else "none; it is stored only")
    return table
