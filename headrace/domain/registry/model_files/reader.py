"""A model in a file as a graph that features feed, made in a process of its own that may harm nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from headrace.domain.models.package import Class, Input
from headrace.domain.registry.conversion import ConversionLimits, carry_out_apart
from headrace.domain.registry.model_files.columns import Mapped, MatchedColumn
from headrace.domain.registry.model_files.kind import Kind
from headrace.errors import ContractError


@dataclass(frozen=True, slots=True)
class Proof:
    """What a package was held against.

    Attributes:
        against: what.
        worst: largest difference of two scores.
        rows: on so many rows.
        unanswered: rows beside them that get no answer.
        sample: whether the rows are a person's.
    """

    against: str
    worst: float
    rows: int
    unanswered: int
    sample: bool


@dataclass(frozen=True, slots=True)
class ModelAnswer:
    """What a score is: `positive` of `classes`, or without it each of them; without both it is a quantity, or its file
    names no classes.
    """

    classes: tuple[Class, ...] | None
    positive: Class | None


@dataclass(frozen=True, slots=True)
class ReadModel:
    """A model in a file, as far as it was understood.

    Attributes:
        what: it is, for people.
        opset: version of each set of the graph's operators.
        inputs: of the package, in the graph's order.
        columns: of the model, and what feeds them, in the same order.
        output: of the graph.
        answer: what its score is.
        classes, positive: for the package; None where the output has one column.
        strict: inputs whose unknown categories get no answer.
        libraries: what it was read and converted by, name -> version.
        proofs: what it was held against.
        notes: what people should know, a sentence each.
    """

    what: str
    opset: Mapping[str, int]
    inputs: tuple[Input, ...]
    columns: tuple[MatchedColumn, ...]
    output: str
    answer: ModelAnswer
    classes: tuple[Class, ...] | None
    positive: Class | None
    strict: tuple[str, ...]
    libraries: Mapping[str, str]
    proofs: tuple[Proof, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FileOrder:
    """What is to be read, and how.

    Attributes:
        path, kind: of the file.
        mapped: what a person says feeds it, and all that could.
        quantity: whether the pipeline's model tells a quantity.
        several: the classes that it tells apart, where these are several.
        output, classes, positive: of the graph, as a person says; None: nothing.
        sample: Parquet of rows to try it on; None: made-up ones.
        expected: the sample's columns of answers, one, or one for each of several classes; empty: it has none.
    """

    path: Path
    kind: Kind
    mapped: Mapped
    quantity: bool
    several: Sequence[str] = ()
    output: str | None = None
    classes: Sequence[str] | None = None
    positive: Any = None
    sample: Path | None = None
    expected: Sequence[str] = ()


def read_apart(order: FileOrder, own: Path, limits: ConversionLimits | None = None) -> tuple[bytes, ReadModel]:
    """(graph, what was understood): taken as a stranger's, and not admitted yet.

    Args:
        own: a directory that the process may write to.

    Raises:
        ContractError: it does not fit, cannot be converted, differs from what it was made of, or takes too much.
    """
    limits = limits or ConversionLimits()
    mapped = order.mapped
    told: dict[str, Any] = {
        "file": str(order.path),
        "reads": [str(order.path.parent)],
        "kind": order.kind,
        "names": dict(mapped.names),
        "order": list(mapped.order),
        "inputs": list(mapped.inputs),
        "known": dict(mapped.known),
        "usual": dict(mapped.usual),
        "quantity": order.quantity,
        "several": list(order.several),
        "output": order.output,
        "classes": None if order.classes is None else list(order.classes),
        "positive": order.positive,
        "sample": None if order.sample is None else str(order.sample),
        "expected": list(order.expected),
        "limits": {"memory": limits.memory, "cpu_s": limits.cpu_s},
    }
    graph, answer = carry_out_apart(told, own, limits)
    try:
        found = TypeAdapter(ReadModel).validate_python(answer)
    except ValidationError as fault:
        raise ContractError(f"the process that reads it left no answer that can be read: {fault.errors()[0]}") from None
    if strange := [column.feature for column in found.columns if column.feature not in mapped.known]:
        raise ContractError(f"the process that reads it told features that there are not: {', '.join(strange)}")
    return graph, found
