"""What became of a model that was made elsewhere, on paper."""

from __future__ import annotations

from collections.abc import Iterator

from rich.markup import escape

from headrace.cli.render.models.package import check_line
from headrace.operations.models.verification import AddedPackage, CheckedPackage
from headrace.operations.registry.addition import AddedModel
from headrace.operations.registry.file_addition import AddedFile, proof_text

HOW = {"name": "by name", "map": "by --map", "order": "by the pipeline file's order"}
"""How a feature came to feed a column."""


def added_lines(package: CheckedPackage, pipeline: str | None) -> Iterator[str]:
    """How the checks of a package went that was offered to the store, and what can be done with it now."""
    yield from map(check_line, package.checks)
    if isinstance(package, AddedPackage):
        yield f"[green]{escape(package.model)}[/] stored at {escape(package.uri)}"
        yield escape(f"headrace plan set {pipeline or 'PIPELINE'} --challenger {package.model} --reason WHY plays it")
    else:
        yield "[red]nothing was stored[/]"


def model_lines(model: AddedModel, pipeline: str) -> Iterator[str]:
    """What was understood of a model of MLflow, and what can be done with it now."""
    yield f"{escape(model.source)} is [green]{escape(model.model)}[/] here, stored at {escape(model.uri)}"
    yield from (f"  {escape(note)}" for note in model.notes)
    yield from _next(model.model, pipeline)


def file_lines(model: AddedFile, pipeline: str) -> Iterator[str]:
    """What was understood of a model in a file, what it was held against, and what can be done with it now."""
    read = model.read
    yield f"{escape(model.source)} is [green]{escape(model.model)}[/] here, stored at {escape(model.uri)}"
    sets = ", ".join(f"{name} {version}" for name, version in read.opset.items())
    yield escape(f"  kind: {read.what}; opset {sets}")
    for column, given in zip(read.columns, read.inputs, strict=True):
        kind = given.dtype if given.levels is None else f"{len(given.levels)} categories"
        own = f" feeds {column.column}" if column.column not in ("", column.feature) else ""
        yield escape(f"  input {column.feature}{own} ({kind}), {HOW[column.how]}")
    yield escape(f"  score: {_score(model)}")
    yield from (escape(f"  {proof_text(proof)}") for proof in read.proofs)
    yield from (f"  {escape(note)}" for note in model.notes)
    yield from _next(model.model, pipeline)


def _score(model: AddedFile) -> str:
    answer = model.read.answer
    if answer.classes is None:
        return f"output {model.read.output}, one column"
    names = ", ".join(map(str, answer.classes))
    if answer.positive is None:
        return f"output {model.read.output}, a probability for each of the classes {names}"
    return f"output {model.read.output}, the probability of {answer.positive}, of the classes {names}"


def _next(model: str, pipeline: str) -> Iterator[str]:
    yield escape(f"headrace models register {model} --pipeline {pipeline} --reason WHY brings it before the gates")
    yield escape(f"headrace plan set {pipeline} --challenger {model} --reason WHY plays it")
