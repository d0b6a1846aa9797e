"""`headrace models`: the packages of the model store, what they say of themselves, and whether it is true."""

from __future__ import annotations

import json as codec
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from headrace.cli.options import Bootstrap, Json, contracts_of
from headrace.cli.render.package import listing, paper, sheet, summary, uses
from headrace.cli.render.progress import counted
from headrace.domain.models.package import FILES, load
from headrace.domain.models.verification import PackageCheck, verify
from headrace.domain.plans.plan_log import PlanFact, newest
from headrace.errors import ConfigurationError
from headrace.operations.models.store_access import copied, store_at
from headrace.operations.plan_changes.lookup import choose, is_digest
from headrace.operations.plan_changes.plan_topic import facts_of

app = typer.Typer(help="The packages of the model store.", no_args_is_help=True)

Store = Annotated[
    str, typer.Option(envvar="HEADRACE_MODELS", help="The model store: a directory, or an fsspec url (s3://, gs://).")
]
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
    store = store_at(models)
    held = newest(_facts(pipeline, bootstrap))
    packages = store.packages()
    with counted("packages", len(packages), quiet=json or len(packages) < 50) as told:
        rows = []
        for stored in packages:
            rows.append(summary(store, stored, held.plan if held else None))
            told(1)
    if json:
        typer.echo(codec.dumps(rows))
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
        typer.echo(codec.dumps({**own, **manifest.model_dump(mode="json"), "plans": used if pipeline else None}))
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
    features = None if contracts is None else contracts.channel("features").codec.reader.arrow
    output = None if contracts is None else contracts.pipeline.model.output
    checks = []
    with _subject(model, models) as subject:
        if not json:
            paper(soft_wrap=True).print(f"[bold]{escape(subject.name)}[/]")
        for one in verify(subject.folder, subject.digest, subject.title, features, subject.earlier, output):
            checks.append(one)
            if not json:
                paper(soft_wrap=True).print(line(one))
    failed = any(one.state == "failed" for one in checks)
    if json:
        told = {"package": subject.name, "passed": not failed, "checks": [asdict(one) for one in checks]}
        typer.echo(codec.dumps(told))
    raise typer.Exit(1 if failed else 0)


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
    features = None if contracts is None else contracts.channel("features").codec.reader.arrow
    output = None if contracts is None else contracts.pipeline.model.output
    store = store_at(models)
    if not directory.is_dir():
        raise ConfigurationError(f"there is no directory {directory}: name one with model.onnx and model.yaml")
    checks = list(verify(directory, None, None, features, None, output))
    failed = [one for one in checks if one.state == "failed"]
    told: dict[str, object] = {"checks": [asdict(one) for one in checks], "added": False}
    if not failed:
        package = load(directory)
        others = [one for one in store.packages() if one.title == package.title and one.digest != package.digest]
        if others:
            raise ConfigurationError(
                f"another {package.title} is in the model store already ({others[0].digest[:15]}): give this one a "
                "version of its own in model.yaml"
            )
        uri = store.put(package)
        told |= {"added": True, "model": package.title, "digest": package.digest, "uri": uri}
    if json:
        typer.echo(codec.dumps(told))
    else:
        console = paper(soft_wrap=True)
        for one in checks:
            console.print(line(one))
        if failed:
            console.print("[red]nothing was stored[/]")
        else:
            console.print(f"[green]{escape(str(told['model']))}[/] stored at {escape(str(told['uri']))}")
            console.print(
                f"headrace plan set {pipeline or 'PIPELINE'} --challenger {told['model']} --reason WHY plays it",
                markup=False,
            )
    raise typer.Exit(1 if failed else 0)


def line(check: PackageCheck) -> str:
    """A check in a line of rich markup."""
    style = STYLES[check.state]
    return f"[{style}]{check.state:<8}[/] {check.name:<10} {escape(check.detail)}"


@dataclass(frozen=True, slots=True)
class _Subject:
    """What is checked; see `verify`."""

    name: str
    folder: Path
    digest: str | None = None
    title: str | None = None
    earlier: Path | None = None


@contextmanager
def _subject(model: str, models: str) -> Iterator[_Subject]:
    path = Path(model)
    if path.is_dir() and ("/" in model or any((path / name).exists() for name in FILES)):
        # A package's folder in a model store is named after its digest; other folders promise nothing.
        folder = path.resolve()
        yield _Subject(model, folder, f"sha256:{folder.name}" if is_digest(folder.name) else None)
        return
    store = store_at(models)
    try:
        stored = choose(store.packages(), model)
    except ConfigurationError as error:
        raise ConfigurationError(f"{error} (and there is no directory {model})") from None
    with copied(store, stored) as folder:
        yield _Subject(stored.title, folder, stored.digest, stored.title, store.fetched(stored.digest))


def _facts(pipeline: str | None, bootstrap: str | None) -> list[PlanFact]:
    return facts_of(*contracts_of(pipeline, bootstrap)) if pipeline else []
