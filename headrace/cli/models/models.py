"""`headrace models`: the packages of the model store, what they say of themselves, and whether it is true."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.markup import escape

from headrace.cli.models.elsewhere.addition import add
from headrace.cli.models.elsewhere.follow import follow
from headrace.cli.models.release import add_requests
from headrace.cli.options import Bootstrap, Json, Store, contracts_of
from headrace.cli.render.documents import print_json
from headrace.cli.render.models.package import check_line, listing, paper, sheet
from headrace.cli.render.models.reproduction import reproduction_lines
from headrace.cli.render.progress import TerminalProgress
from headrace.domain.plans.plan_log import PlanFact, newest
from headrace.operations.models.description import describe
from headrace.operations.models.inventory import inventory
from headrace.operations.models.reproduction import reproduce
from headrace.operations.models.store_access import store_at
from headrace.operations.models.verification import verify_package
from headrace.operations.plan_changes.plan_topic import facts_of

app = typer.Typer(help="The packages of the model store, and what people decide on them.", no_args_is_help=True)

PipelineOption = Annotated[
    str | None, typer.Option("--pipeline", "-p", metavar="PIPELINE", help="Say also what they do in its plans.")
]
Held = Annotated[
    str | None,
    typer.Option("--pipeline", "-p", metavar="PIPELINE", help="Hold it to what this pipeline asks for, too."),
]
Named = Annotated[
    str, typer.Argument(metavar="MODEL", help="NAME (its newest version), NAME@VERSION, or the start of a digest.")
]

REPRODUCED = {"identical": 0, "different": 1, "gone": 3}
"""Exit codes."""


@app.command("list")
def list_(
    pipeline: PipelineOption = None, models: Store = "models", bootstrap: Bootstrap = None, json: Json = False
) -> None:
    """Show every package: when it was stored, what it was trained on, how it did, the part it plays now."""
    held = newest(_facts(pipeline, bootstrap))
    store = store_at(models)
    rows = inventory(store, held.plan if held else None, TerminalProgress(quiet=json))
    if json:
        print_json(rows)
    elif rows:
        console = paper(soft_wrap=True)
        console.print(listing(rows, pipeline is not None, console.width))
    else:
        paper(soft_wrap=True).print(
            f"the model store {models} is empty; headrace train PIPELINE fills it", markup=False
        )


@app.command()
def show(
    model: Named,
    pipeline: PipelineOption = None,
    models: Store = "models",
    bootstrap: Bootstrap = None,
    json: Json = False,
) -> None:
    """Show all that a package says of itself: inputs, parameters, lineage, libraries, metrics, and its model card."""
    facts = (lambda: _facts(pipeline, bootstrap)) if pipeline else None
    package = describe(store_at(models), model, facts)
    if json:
        print_json(package)
    else:
        paper(soft_wrap=True).print(*sheet(package), sep="\n")


@app.command("verify")
def check(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="As for `show`, or a package's directory.")],
    pipeline: Held = None,
    models: Store = "models",
    json: Json = False,
) -> None:
    """Check a package: files, digest, manifest, operators, a trial under limits, its answer, parity, inputs.

    Exit code 1 when a check fails.
    """
    contracts = contracts_of(pipeline, None)[1] if pipeline else None
    out = paper(soft_wrap=True)
    out.quiet = json
    verified = verify_package(
        model,
        models,
        contracts,
        lambda name: out.print(f"[bold]{escape(name)}[/]"),
        lambda one: out.print(check_line(one)),
    )
    if json:
        print_json(verified)
    raise typer.Exit(0 if verified.passed else 1)


@app.command("reproduce")
def again(
    model: Named,
    pipeline: Annotated[str, typer.Option("--pipeline", "-p", metavar="PIPELINE", help="Whose model it is.")],
    models: Store = "models",
    bootstrap: Bootstrap = None,
    json: Json = False,
) -> None:
    """Train a stored model again from its offsets, with its parameters, and say whether it is the same, to the bit.

    Exit code 0: identical; 1: different, it says in what; 3: not known, for records that it was made of are gone.
    """
    settings, contracts = contracts_of(pipeline, bootstrap)
    found = reproduce(settings, contracts, model, models, TerminalProgress(quiet=json))
    if json:
        print_json(found)
    else:
        paper(soft_wrap=True).print(*reproduction_lines(found), sep="\n")
    raise typer.Exit(REPRODUCED[found.state])


def _facts(pipeline: str | None, bootstrap: str | None) -> list[PlanFact]:
    return facts_of(*contracts_of(pipeline, bootstrap)) if pipeline else []


app.command()(add)
app.command()(follow)
add_requests(app)
