"""`headrace models`: the packages of the model store, what they say of themselves, and whether it is true."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from headrace.cli.options import Bootstrap, Json, Store, contracts_of
from headrace.cli.render.documents import print_json
from headrace.cli.render.package import listing, paper, sheet
from headrace.cli.render.progress import TerminalProgress
from headrace.domain.models.checks.verification import PackageCheck
from headrace.domain.plans.plan_log import PlanFact, newest
from headrace.operations.models.inventory import inventory, uses
from headrace.operations.models.store_access import store_at
from headrace.operations.models.verification import (
    AddedPackage,
    VerifiedPackage,
    add_package,
    checks_of,
    package_folder,
    passed,
)
from headrace.operations.plan_changes.lookup import choose
from headrace.operations.plan_changes.plan_topic import facts_of

app = typer.Typer(help="The packages of the model store.", no_args_is_help=True)

PipelineOption = Annotated[
    str | None, typer.Option("--pipeline", "-p", metavar="PIPELINE", help="Say also what they do in its plans.")
]
Named = Annotated[
    str, typer.Argument(metavar="MODEL", help="NAME (its newest version), NAME@VERSION, or the start of a digest.")
]
STYLES = {"passed": "green", "failed": "red", "skipped": "yellow"}


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
    """Show all that a package says of itself: inputs, parameters, lineage, libraries, metrics, reference profile."""
    store = store_at(models)
    stored = choose(store.packages(), model)
    manifest = store.manifest(stored)
    used = uses(_facts(pipeline, bootstrap), stored.digest)
    if json:
        own = {"digest": stored.digest, "uri": stored.uri, "stored": stored.stored}
        print_json({**own, **manifest.model_dump(mode="json"), "plans": used if pipeline else None})
        return
    for part in sheet(stored, manifest, used if pipeline else None):
        paper(soft_wrap=True).print(part)


@app.command("verify")
def check(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="As for `show`, or a package's directory.")],
    pipeline: Annotated[
        str | None, typer.Option("--pipeline", "-p", metavar="PIPELINE", help="Hold its inputs to these features too.")
    ] = None,
    models: Store = "models",
    json: Json = False,
) -> None:
    """Check a package: files, digest, manifest, operators, a trial under limits, its answer, parity, inputs.

    Exit code 1 when a check fails.
    """
    contracts = contracts_of(pipeline, None)[1] if pipeline else None
    checks = []
    with package_folder(model, models) as package:
        if not json:
            paper(soft_wrap=True).print(f"[bold]{escape(package.name)}[/]")
        for one in checks_of(package, contracts):
            checks.append(one)
            if not json:
                paper(soft_wrap=True).print(line(one))
    verified = VerifiedPackage(package.name, passed(checks), checks)
    if json:
        print_json(verified)
    raise typer.Exit(0 if verified.passed else 1)


@app.command()
def add(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="A package: model.onnx and model.yaml.")],
    pipeline: Annotated[
        str | None, typer.Option("--pipeline", "-p", metavar="PIPELINE", help="Hold it to this pipeline too.")
    ] = None,
    models: Store = "models",
    json: Json = False,
) -> None:
    """Check a package that was made elsewhere, as `verify` does, and put it into the model store as it is.

    It plays no part before `headrace plan set` gives it one. Exit code 1, and nothing is stored, when a check fails.
    """
    contracts = contracts_of(pipeline, None)[1] if pipeline else None
    package = add_package(directory, store_at(models), contracts)
    if json:
        print_json(package)
    else:
        console = paper(soft_wrap=True)
        for one in package.checks:
            console.print(line(one))
        if isinstance(package, AddedPackage):
            console.print(f"[green]{escape(package.model)}[/] stored at {escape(package.uri)}")
            console.print(
                f"headrace plan set {pipeline or 'PIPELINE'} --challenger {package.model} --reason WHY plays it",
                markup=False,
            )
        else:
            console.print("[red]nothing was stored[/]")
    raise typer.Exit(0 if package.added else 1)


def line(check: PackageCheck) -> str:
    """A check in a line of rich markup."""
    style = STYLES[check.state]
    return f"[{style}]{check.state:<8}[/] {check.name:<10} {escape(check.detail)}"


def _facts(pipeline: str | None, bootstrap: str | None) -> list[PlanFact]:
    return facts_of(*contracts_of(pipeline, bootstrap)) if pipeline else []
