"""Model packages on paper: a line for each in a list, and the whole sheet of one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from rich.console import Console, RenderableType
from rich.markup import escape
from rich.table import Table

from headrace.cli.render.models.card import card_lines
from headrace.domain.models.checks.verification import PackageCheck
from headrace.domain.models.package import SAMPLE, Manifest
from headrace.operations.models.description import PackageDescription
from headrace.operations.models.inventory import DescribedPackage, StoredPackage
from headrace.operations.plan_changes.lookup import short
from headrace.operations.time_spans import moment

WIDE = 160
"""Columns where no terminal says how many: names are not to be cut in a pipe."""
NARROW = 100
"""Columns below which a list leaves some out."""
LISTED = {"average_precision": "AP", "auc_roc": "AUC"}
"""Metrics of a list, and what its columns are called."""
COUNTS = ("rows", "positives")
"""Metrics that are whole numbers."""
STYLES = {"passed": "green", "failed": "red", "skipped": "yellow"}
"""Of a check by how it went."""


def listing(rows: Sequence[StoredPackage], with_parts: bool, width: int) -> Table:
    """The table of `models list`, fit for a terminal of so many columns; a narrow one is shown less."""
    names = ["model", "digest", "trained on", *LISTED.values()]
    if width >= NARROW:
        names[2:3] = ["stored", "trained on", "trainer"]
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in names + ["part"] * with_parts:
        table.add_column(
            name,
            no_wrap=name not in ("trained on", "part"),
            min_width=10 if name == "trained on" else None,
            justify="right" if name in LISTED.values() else "left",
        )
    for row in rows:
        told = {
            "model": escape(f"{row.name}@{row.version}"),
            "digest": short(row.digest),
            "stored": (row.stored or "-")[:10],
            "part": "\n".join(map(escape, row.parts)) or "-",
        }
        if row.problem or not isinstance(row, DescribedPackage):
            told["trained on"] = f"[red]{escape(row.problem or 'it cannot be read')}[/]"
        else:
            told |= {"trained on": _window(row), "trainer": escape(str(row.trainer or "-"))}
            told |= {LISTED[name]: f"{value:.3f}" for name, value in row.metrics.items() if name in LISTED}
        table.add_row(*(told.get(str(column.header), "-") for column in table.columns))
    return table


def sheet(package: PackageDescription) -> Iterator[RenderableType]:
    """All that a package says of itself, in parts."""
    training = package.training
    yield f"[bold]{escape(package.title)}[/]"
    own = {
        "digest": package.digest,
        "lies at": package.uri,
        "stored": moment(package.stored) if package.stored else "the store does not say",
        "files": ", ".join(package.files),
        "code": package.revision or "no revision was told",
        "output": f"{package.output}, yes from {package.threshold:g}",
    }
    if package.positive is not None:
        own["positive class"] = str(package.positive)
    if package.classes is not None:
        own["classes"] = ", ".join(map(str, package.classes))
    if training.rows:
        own["trained on"] = f"events of {moment(training.start)} to {moment(training.end)}"
        positive = f", {training.positives:,} positive ({training.positives / training.rows:.2%})"
        own["rows"] = f"{training.rows:,}" + (positive if training.positives else "")
    if SAMPLE not in package.files:
        own["files"] += f"; no {SAMPLE}, so scorecards give no estimates under shifted inputs"
    yield _pairs(own)
    for title, values in (
        ("held out", {name: _metric(name, value) for name, value in package.metrics.items()}),
        ("parameters", package.parameters),
        ("libraries", package.libraries),
        ("read from", {topic: _offsets(ranges) for topic, ranges in training.offsets.items()}),
    ):
        yield f"\n[bold]{title}[/]"
        yield _pairs(values) if values else "  nothing is told"
    yield "\n[bold]inputs[/], with their values in training"
    yield _inputs(package)
    if package.card is not None:
        yield from card_lines(package.card)
    if package.plans is not None:
        yield "\n[bold]plans[/]"
        yield from (escape(f"  {use.plan_version}: {use.part}, {use.time}, {use.actor}") for use in package.plans)
        if not package.plans:
            yield "  none that is still on the topic names it"


def check_line(check: PackageCheck) -> str:
    """A check in a line of rich markup."""
    style = STYLES[check.state]
    return f"[{style}]{check.state:<8}[/] {check.name:<10} {escape(check.detail)}"


def paper(soft_wrap: bool = False) -> Console:
    """Where tables are printed: as wide as the terminal, or wide enough where there is none."""
    terminal = Console(highlight=False, soft_wrap=soft_wrap)
    return terminal if terminal.is_terminal else Console(highlight=False, soft_wrap=soft_wrap, width=WIDE)


def _window(row: DescribedPackage) -> str:
    return f"{row.trained_from[:10]} to {row.trained_to[:10]}" if row.trained_from and row.trained_to else "-"


def _pairs(values: Mapping[str, object]) -> Table:
    table = Table(show_header=False, box=None, padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in values.items():
        table.add_row(escape(name), escape(str(value)))
    return table


def _inputs(manifest: Manifest) -> Table:
    table = Table(box=None, header_style="bold", padding=(0, 2))
    table.add_column("input", no_wrap=True)
    table.add_column("dtype")
    quantiles = {"least": 0.0, "lower quarter": 0.25, "middle": 0.5, "upper quarter": 0.75, "most": 1.0}
    for name in quantiles:
        table.add_column(name, justify="right")
    for given in manifest.inputs:
        profile = manifest.reference.get(given.name, ())
        numbers = [f"{profile[round(at * (len(profile) - 1))]:,.4g}" if profile else "-" for at in quantiles.values()]
        table.add_row(escape(given.name), given.dtype, *numbers)
    return table


def _metric(name: str, value: float) -> str:
    return f"{value:,.0f}" if name in COUNTS else f"{value:.4f}"


def _offsets(ranges: Mapping[int, tuple[int, int]]) -> str:
    return ", ".join(f"[{partition}] {start:,} to {stop:,}" for partition, (start, stop) in sorted(ranges.items()))
