"""`headrace models`: the packages of the model store, what they say of themselves, and whether it is true."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from headrace.cli.models.follow import Mlflow, follow, mlflow_address
from headrace.cli.models.release import add_requests
from headrace.cli.options import Bootstrap, Json, Store, contracts_of
from headrace.cli.render.documents import print_json
from headrace.cli.render.models.package import added_lines, check_line, listing, model_lines, paper, sheet
from headrace.cli.render.models.reproduction import reproduction_lines
from headrace.cli.render.progress import TerminalProgress
from headrace.domain.pipeline.registry.spec import ModelRegistry
from headrace.domain.plans.plan_log import PlanFact, newest
from headrace.errors import ConfigurationError, ContractError
from headrace.operations.models.description import describe
from headrace.operations.models.inventory import inventory
from headrace.operations.models.reproduction import reproduce
from headrace.operations.models.store_access import store_at
from headrace.operations.models.verification import add_package, verify_package
from headrace.operations.plan_changes.plan_topic import facts_of
from headrace.operations.registry.addition import add_model, mlflow_source
from headrace.operations.registry.mlflow_door import MlflowRegistry

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


@app.command()
def add(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            help="A package's directory (model.onnx and model.yaml), one with an MLmodel file, models:/NAME@ALIAS, "
            "models:/NAME/VERSION, or runs:/RUN/PATH.",
        ),
    ],
    pipeline: Held = None,
    mlflow: Mlflow = None,
    models: Store = "models",
    json: Json = False,
) -> None:
    """Check a model that was made elsewhere and put it into the model store: a package as it is, or one of MLflow's.

    A model of MLflow is held against the pipeline (--pipeline) by its signature, converted in a process that may harm
    nothing, and compared with its library. It plays no part before `headrace plan set` gives it one, or
    `headrace models register` brings it before the gates. Exit code 1, and nothing is stored, when a check of a package
    fails, 3 when a model of MLflow does not fit.
    """
    contracts = contracts_of(pipeline, None)[1] if pipeline else None
    out = paper(soft_wrap=True)
    if (found := mlflow_source(source)) is None:
        package = add_package(Path(source), store_at(models), contracts)
        if json:
            print_json(package)
        else:
            out.print(*added_lines(package, pipeline), sep="\n")
        raise typer.Exit(0 if package.added else 1)
    if contracts is None:
        raise ConfigurationError(
            f"{source} is a model of MLflow, and which features feed it follows from a pipeline: name it by --pipeline"
        )
    rules = contracts.pipeline.registry or ModelRegistry()
    try:
        added = add_model(
            found,
            contracts,
            store_at(models),
            lambda: MlflowRegistry(mlflow_address(mlflow, rules)),
            TerminalProgress(quiet=json),
        )
    except ContractError as refusal:
        if json:
            print_json({"source": source, "refused": str(refusal)})
        else:
            out.print(f"[red]{escape(source)} does not fit: {escape(str(refusal))}[/]")
            out.print("[red]nothing was stored[/]")
        raise typer.Exit(3) from None
    if json:
        print_json(added)
    else:
        out.print(*model_lines(added, str(pipeline)), sep="\n")


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


app.command()(follow)
add_requests(app)
