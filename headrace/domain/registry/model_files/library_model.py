"""A model of a library in a file, and what it is asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from headrace.domain.models.package import Class
from headrace.domain.registry.model_files.answers import FileAnswer
from headrace.domain.registry.model_files.columns import ColumnKind, FileColumns
from headrace.domain.registry.model_files.rows import TriedRows

Scores = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class LibraryModel:
    """A model of a library, as far as it is known before features are matched to its columns.

    Attributes:
        what: it is, for people.
        inputs: that it takes.
        answer: what its score is.
        library: name and version of what reads it here.
        graph: makes the graph; told the kind of each column.
        output: of that graph.
        score: the library's own answers, [n], or [n, classes]; None where it cannot answer from this file.
        unproven: why not.
        per_class: whether the graph answers a column for each class.
        levels: of columns that it numbers as categories itself, by their place.
    """

    what: str
    inputs: tuple[FileColumns, ...]
    answer: FileAnswer
    library: tuple[str, str]
    graph: Callable[[Sequence[ColumnKind]], tuple[bytes, str]]
    score: Callable[[TriedRows], Scores] | None
    unproven: str = ""
    per_class: bool = False
    levels: Mapping[int, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Asked:
    """What a model is to tell: of the pipeline's model whether it tells a quantity, and its classes where these are
    several; what a person says of the file's: its positive class, all in its order, the output of its graph. None:
    nothing.
    """

    positive: Any
    quantity: bool
    several: tuple[str, ...] = ()
    classes: Sequence[Class] | None = None
    output: str | None = None
