"""`headrace why`: the whole story of one event or prediction."""

from __future__ import annotations

import json as codec
from collections import Counter
from typing import Annotated

import typer
from rich.console import Console

from headrace.cli.models.models import Store
from headrace.cli.options import Bootstrap, FromTime, Json, ToTime, contracts_of, milliseconds
from headrace.cli.render.event import narrate
from headrace.cli.render.package import paper
from headrace.operations.history.document import recount
from headrace.operations.history.trace import gather
from headrace.operations.models.store_access import store_at


def why(
    id_: Annotated[str, typer.Argument(metavar="ID", help="An event's id, or a prediction's.")],
    pipeline: Annotated[
        str, typer.Option("--pipeline", "-p", metavar="PIPELINE", help="A pipeline file, or one's name.")
    ],
    from_: FromTime = None,
    to: ToTime = None,
    models: Store = "models",
    bootstrap: Bootstrap = None,
    json: Json = False,
) -> None:
    """Tell all that is known of an event: what it was, its features, who answered what and why, and what was true.

    --from and --to are times of arrival; they narrow the search for the event, which else reads its whole topic. Exit
    code 1 when nothing is found.
    """
    settings, contracts = contracts_of(pipeline, bootstrap)
    looked: Counter[str] = Counter()
    with Console(stderr=True, quiet=json).status("looking") as status:

        def progress(topic: str, records: int) -> None:
            looked[topic] += records
            status.update(f"looking at {topic}: {looked[topic]:,}")

        gathered = gather(settings, contracts, store_at(models), id_, milliseconds(from_), milliseconds(to), progress)
    name = contracts.pipeline.name
    if gathered.empty:
        searched = ", ".join(f"{count:,} {topic}" for topic, count in looked.items()) or "no records at all"
        event = contracts.pipeline.events
        hints = (
            f"nothing about {id_} in {name} (looked at {searched}). The id is the event's {event.id}, to the letter; "
            "records go when their topic's retention ends; or is it another pipeline's?"
        )
        if json:
            typer.echo(codec.dumps({"pipeline": name, "event_id": gathered.event_id, "found": False, "hint": hints}))
        else:
            Console(stderr=True, soft_wrap=True).print(hints, markup=False, highlight=False)
        raise typer.Exit(1)
    story = recount(contracts.pipeline, gathered)
    if json:
        typer.echo(codec.dumps({"found": True, **story}))
        return
    console = paper()
    for part in narrate(story):
        console.print(part, soft_wrap=isinstance(part, str))
