"""`headrace repartition`: moves what services remember to where keys belong after topics have grown."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console

from headrace.cli.options import Bootstrap, PipelineName, contracts_of
from headrace.operations import repartition as operation
from headrace.operations.repartition import Growth


def repartition(pipeline: PipelineName, bootstrap: Bootstrap = None) -> None:
    """Move the state of a pipeline's services to where keys belong, after its topics got more partitions.

    Stop publishers and all services first. All of it is one transaction: it is done, or nothing is; killed in the
    middle, run it again. Services go on as if there had been as many partitions from the beginning: features, open
    predictions, early labels, sums. Does nothing where nothing grew.
    """
    settings, contracts = contracts_of(pipeline, bootstrap)
    name, console = contracts.pipeline.name, Console(soft_wrap=True, highlight=False)

    def tell(grown: Sequence[Growth]) -> None:
        for each in grown:
            console.print(f"{name}.{each.topic}: {each.then} -> {each.now} partitions")

    done = operation.repartition(settings, contracts.pipeline, tell)
    for group, snapshots in done.moved.items():
        console.print(f"[green]{group}: its state is in {snapshots} partitions now[/]")
    if done.written:
        console.print(f"{done.written:,} events that were not answered yet were written again where their keys belong")
    if done.told_anew:
        console.print(f"{done.told_anew:,} records tell {name}.exchange anew what nobody had joined yet")
    if done.refused:
        console.print(f"[yellow]{done.refused:,} records could not be processed and are dead letters now[/]")
    if not done.grown:
        console.print(f"[green]no topic of {name} has grown since its state was made: nothing to move[/]")
    if done.kept:
        console.print(f"[yellow]the online store keeps shelves that nobody reads any more: {done.kept}[/]")
    if done.grown:
        console.print(f"[green]start the services of {name} again[/]")
