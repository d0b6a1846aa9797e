"""Each class of a model of several on paper: its figures, and what was taken for what."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import RenderableType
from rich.markup import escape

from headrace.cli.render.models.figure_table import figure_table
from headrace.domain.pipeline.classes.names import field_names
from headrace.domain.pipeline.spec import Pipeline
from headrace.operations.scorecard_query.catalogue import short
from headrace.operations.scorecard_query.span import Summary

COLUMNS = (
    ("rows", "support", False), ("share", "class_rate", True), ("decided", "decided_rate", True),
    ("precision", "precision", False), ("recall", "recall", False), ("F1", "f1", False), ("AUC ROC", "auc_roc", False),
)  # fmt: skip  # heading, figure before the class's name, whether it is a share
MOST_SHOWN = 12
"""Classes whose confusion fits on a terminal."""


def class_tables(each: Summary, pipeline: Pipeline) -> Iterator[RenderableType]:
    """The classes of one model and arm: on mature windows, but for what was decided, which is of all."""
    names, figures = pipeline.model.classes, each.figures
    if not names:
        return
    yield f"[bold]{escape(each.who.text)}[/] by class"
    table = figure_table("", *(heading for heading, _, _ in COLUMNS))
    for name, field in zip(names, field_names(names), strict=True):
        told = []
        for _, figure, share in COLUMNS:
            found = figures.get(f"{figure}_{field}")
            told.append("-" if found is None or found.value is None else short(found.value, share))
        table.add_row(escape(name), *told)
    yield table
    known = each.known
    if known is None or not known.tally.classes.classes or len(names) > MOST_SHOWN:
        yield ""
        return
    counts = known.tally.classes.counts
    yield "[dim]what was true (rows), and what was decided (columns)[/]"
    confusion = figure_table("", *map(escape, names))
    for place, name in enumerate(names):
        cells = [f"[green]{n:,}[/]" if at == place else f"{n:,}" for at, n in enumerate(counts[place].tolist())]
        confusion.add_row(escape(name), *cells)
    yield confusion
    yield ""
