"""`headrace lag`: how far each consumer group of a pipeline is behind."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from headrace.cli.options import Bootstrap, Json, PipelineName, contracts_of, seconds
from headrace.cli.render.documents import print_json
from headrace.cli.render.models.package import paper
from headrace.cli.render.remarks import note
from headrace.operations.services import inputs
from headrace.operations.topics.catching_up import await_caught_up, of_services
from headrace.operations.topics.topic_plan import absent_feeds, names_of
from headrace.streaming.kafka.admin import Admin
from headrace.streaming.kafka.lag import Lag, measure

LATE_S = 10.0
"""A group that is further behind stands out."""


def lag(
    pipeline: PipelineName,
    partitions: Annotated[bool, typer.Option("--partitions", help="A line for each partition of each topic.")] = False,
    limit: Annotated[
        float | None, typer.Option("--limit", metavar="SECONDS", min=0, help="Exit with 3 when one is further behind.")
    ] = None,
    of: Annotated[
        list[str] | None, typer.Option("--of", metavar="SERVICE", help="Only this service's groups; repeatable.")
    ] = None,
    wait: Annotated[
        str | None,
        typer.Option(metavar="DURATION", help="Wait until what is there now is processed; exit with 3 when it is not."),
    ] = None,
    bootstrap: Bootstrap = None,
    json: Json = False,
) -> None:
    """Show, for each group, the records not yet processed and the age of the oldest of them.

    A group is a line, with the partition that is furthest behind; --partitions and --json tell each partition. Below
    stands what the services here refused or left out: it is behind them, and on no topic that they write.
    """
    patience = None if wait is None else seconds(wait)
    settings, contracts = contracts_of(pipeline, bootstrap)
    groups = of_services(inputs(contracts.pipeline), contracts.pipeline.name, of or ())
    absent: dict[str, str] = {}
    if contracts.pipeline.feeds:
        absent = absent_feeds(contracts.pipeline, Admin(settings.connection).topics(names_of(contracts.pipeline)))
    groups = {group: [topic for topic in topics if topic not in absent] for group, topics in groups.items()}
    done = True
    if patience is None:
        found = measure(settings.connection, groups, time.time())
    else:
        found, done = await_caught_up(settings.connection, groups, patience, time.time, time.sleep)
    if json:
        print_json(found)
    else:
        console = paper()
        console.print(each(found) if partitions else together(found))
        for remark in absent.values():
            console.print(f"[yellow]! {escape(remark)}[/]")
        console.print(note(contracts.pipeline.name))
    worst = max((each.seconds for each in found), default=0.0)
    raise typer.Exit(3 if not done or (limit is not None and worst > limit) else 0)


def together(found: Sequence[Lag]) -> Table:
    """A line for each group."""
    table = _table(("group",), ("partitions", "records", "seconds"), ("furthest behind",))
    for name, lags, worst in _groups(found):
        records = sum(each.records for each in lags)
        about = "" if all(each.exact for each in lags) else "about "
        where = f"{worst.topic}[{worst.partition}]" if records else ""
        if all(each.committed is None for each in lags):
            where = "has never committed" + (f"; {where}" if where else "")
        numbers = (str(len(lags)), f"{about}{records:,}", f"{worst.seconds:,.1f}")
        table.add_row(name, *numbers, where, style=_style(worst))
    return table


def _groups(found: Sequence[Lag]) -> Iterator[tuple[str, list[Lag], Lag]]:
    """Each group with its lags and the one of the oldest record."""
    for name, lags in groupby(found, key=lambda each: each.group):
        held = list(lags)
        yield name, held, max(held, key=lambda each: (each.seconds, each.records))


def each(found: Sequence[Lag]) -> Table:
    """A line for each partition."""
    table = _table(("group", "topic"), ("partition", "committed", "end", "records", "seconds"))
    for lag in found:
        done = "never" if lag.committed is None else f"{lag.committed:,}"
        records = f"{'' if lag.exact else 'about '}{lag.records:,}"
        numbers = (str(lag.partition), done, f"{lag.end:,}", records, f"{lag.seconds:,.1f}")
        table.add_row(lag.group, lag.topic, *numbers, style=_style(lag))
    return table


def _table(*columns: Sequence[str]) -> Table:
    """A table with names to the left and numbers to the right, in turn."""
    table = Table(box=None, header_style="bold")
    for number, names in enumerate(columns):
        for name in names:
            table.add_column(name, justify="right" if number % 2 else "left", no_wrap=True)
    return table


def _style(worst: Lag) -> str | None:
    return "yellow" if worst.seconds > LATE_S else None
