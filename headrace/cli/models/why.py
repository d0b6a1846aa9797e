"""`headrace why`: the whole story of one event or prediction."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console

from headrace.cli.options import Bootstrap, FromTime, Json, Store, ToTime, contracts_of, milliseconds
from headrace.cli.render.documents import print_json
from headrace.cli.render.event import narrate
from headrace.cli.render.models.package import paper
from headrace.operations.history.event_history import event_history
from headrace.operations.history.story import NothingFound
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
    with Console(stderr=True, quiet=json).status("looking") as status:

        def progress(topic: str, records: int) -> None:
            status.update(f"looking at {topic}: {records:,}")

        start, stop = milliseconds(from_), milliseconds(to)
        story = event_history(settings, contracts, store_at(models), id_, start, stop, progress)
    if json:
        print_json(story)
    elif isinstance(story, NothingFound):
        Console(stderr=True, soft_wrap=True).print(story.hint, markup=False, highlight=False)
    else:
        console = paper()
        for part in narrate(story):
            console.print(part, soft_wrap=isinstance(part, str))
    raise typer.Exit(0 if story.found else 1)
