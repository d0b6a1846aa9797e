"""`headrace models add`: a model that was made elsewhere, in whatever form it comes, becomes a stored package."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from headrace.cli.models.elsewhere.follow import Mlflow, mlflow_address
from headrace.cli.options import Json, Store, contracts_of
from headrace.cli.render.documents import print_json
from headrace.cli.render.models.addition import added_lines, file_lines, model_lines
from headrace.cli.render.models.package import paper
from headrace.cli.render.progress import TerminalProgress
from headrace.domain.pipeline.wiring import Contracts
from headrace.errors import ConfigurationError, ContractError
from headrace.operations.models.store_access import store_at
from headrace.operations.models.verification import CheckedPackage, add_package
from headrace.operations.registry.addition import AddedModel, add_model, mlflow_source
from headrace.operations.registry.file_addition import AddedFile, FileWishes, add_file
from headrace.operations.registry.mlflow_door import MlflowRegistry
from headrace.operations.registry.wishes import mapped, rules_of, title

Held = Annotated[
    str | None,
    typer.Option("--pipeline", "-p", metavar="PIPELINE", help="Whose features feed it, and that it is held to."),
]
Words = Annotated[
    list[str],
    typer.Argument(
        metavar="[NAME[@VERSION]] SOURCE",
        help="What it is called here (else as the pipeline's model), and where it is: a file of ONNX, LightGBM, "
        "XGBoost or scikit-learn, a directory with an MLmodel file, models:/NAME@ALIAS, models:/NAME/VERSION, "
        "runs:/RUN/PATH, or a package's directory (model.onnx and model.yaml).",
    ),
]


def add(
    words: Words,
    pipeline: Held = None,
    map_: Annotated[
        list[str] | None,
        typer.Option(
            "--map",
            metavar="COLUMN=FEATURE",
            help="What feeds a column that is called otherwise; INPUT=A,B,... or INPUT=* for several without names.",
        ),
    ] = None,
    positive: Annotated[
        str | None, typer.Option(metavar="CLASS", help="The class whose probability is the score.")
    ] = None,
    classes: Annotated[
        str | None, typer.Option(metavar="A,B", help="What the output's columns are, where the graph does not say.")
    ] = None,
    output: Annotated[str | None, typer.Option(metavar="NAME", help="The graph's output that is the score.")] = None,
    sample: Annotated[
        Path | None, typer.Option(metavar="FILE", help="CSV or Parquet of rows to compare with the library on.")
    ] = None,
    expected: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN", help="The sample's column with the library's answers; of several classes A,B,C."
        ),
    ] = None,
    unpickle: Annotated[
        bool, typer.Option("--unpickle", help="Read a pickle, which runs what its author put into it.")
    ] = False,
    mlflow: Mlflow = None,
    models: Store = "models",
    json: Json = False,
) -> None:
    """Check a model that was made elsewhere and put it into the model store; say what was understood of it.

    A model is held against the pipeline (--pipeline), converted in a process that may harm nothing, and compared with
    its library; a package is taken as it is. It plays no part before `headrace plan set` gives it one, or
    `headrace models register` brings it before the gates. Exit code 1, and nothing is stored, when a check of a package
    fails, 3 when a model does not fit.
    """
    *names, source = words
    name, version = title(names)
    contracts = contracts_of(pipeline, None)[1] if pipeline else None
    wishes = FileWishes(
        name,
        version,
        mapped(map_ or ()),
        None if classes is None else [each.strip() for each in classes.split(",")],
        positive,
        output,
        sample,
        expected,
        unpickle,
    )
    store, progress, out = store_at(models), TerminalProgress(quiet=json), paper(soft_wrap=True)
    if Path(source).is_dir() and mlflow_source(source) is None:
        if wishes != FileWishes():
            raise ConfigurationError(f"{source} is a package, and says all of itself: leave NAME and options away")
        package = add_package(Path(source), store, contracts)
        _say(package, pipeline, json)
        raise typer.Exit(0 if package.added else 1)
    try:
        if Path(source).is_file():
            added: AddedFile | AddedModel = add_file(Path(source), wishes, _needed(contracts, source), store, progress)
        else:
            found = mlflow_source(source)
            if found is None:
                raise ConfigurationError(f"there is no file or directory {source}")
            contracts = _needed(contracts, source)
            rules = rules_of(wishes, contracts)
            added = add_model(
                found,
                contracts,
                store,
                lambda: MlflowRegistry(mlflow_address(mlflow, rules)),
                progress,
                rules,
                unpickle=unpickle,
            )
    except ContractError as refusal:
        if json:
            print_json({"source": source, "refused": str(refusal)})
        else:
            out.print(f"[red]{escape(source)} does not fit: {escape(str(refusal))}[/]")
            out.print("[red]nothing was stored[/]")
        raise typer.Exit(3) from None
    _say(added, pipeline, json)


def _needed(contracts: Contracts | None, source: str) -> Contracts:
    if contracts is None:
        raise ConfigurationError(
            f"{source} is a model, and which features feed it follows from a pipeline: name it by --pipeline"
        )
    return contracts


def _say(found: CheckedPackage | AddedFile | AddedModel, pipeline: str | None, json: bool) -> None:
    if json:
        print_json(found)
        return
    if isinstance(found, CheckedPackage):
        lines = added_lines(found, pipeline)
    else:
        lines = file_lines(found, str(pipeline)) if isinstance(found, AddedFile) else model_lines(found, str(pipeline))
    paper(soft_wrap=True).print(*lines, sep="\n")
