"""Encodings of categories, learnt from training rows: what each category counts as.

`one_hot` makes a column for each category that training rows have, 1 for the one that it is: one that is not known
has 0 in all of them. `hash` does so for the buckets that texts fall into. `frequency` is the share of training rows
with it, 0 where there were none. `target` is the mean label of training rows with it, drawn to that of all, which
stands for what is not known; each training row is told the mean of others. Of several classes it is the share of each,
in columns of their own. `native` leaves its number to the library, which splits by sets of them: what is not known is
in none. Null counts as a category that training rows have, or do not.

References:
    D. Micci-Barreca: A preprocessing scheme for high-cardinality categorical attributes, SIGKDD Explorations 3, 2001.
    K. Weinberger et al.: Feature hashing for large scale multitask learning, ICML 2009.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from headrace.domain.pipeline.categories.spec import Category
from headrace.domain.training.categories.lookup import CategoryTable, looked_up, with_tables
from headrace.domain.training.dataset import Dataset
from headrace.domain.training.trainer import Fitted, Matrix

PRIOR_ROWS = 20.0
"""Rows with the mean of all that are added to each category's, before its own mean is taken."""
FOLDS = 5
"""Parts of the time, each of which is told the means of the others: a row's own label is no part of what it is told."""

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class CategoryEncoder:
    """What became of inputs that are categories.

    Attributes:
        inputs: names of all inputs, in the matrix' order.
        kept: columns that stay as they are, `native` ones among them.
        tables: what stands for the others.
        native: columns whose numbers the library splits by sets of, with how many numbers there are, null's among them.
        learnt: float32 [rows, columns of the tables], what training rows are told where it is not what later ones are
            (`target`); by the name of the table's column.
    """

    inputs: tuple[str, ...]
    kept: tuple[int, ...]
    tables: tuple[CategoryTable, ...]
    native: Mapping[int, int]
    learnt: Mapping[str, npt.NDArray[np.float32]]

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the columns that it makes."""
        return (*(self.inputs[at] for at in self.kept), *(name for table in self.tables for name in table.names))

    def encode(self, matrix: Matrix) -> Matrix:
        """What the library is asked about for a matrix of the model's inputs."""
        found = looked_up(matrix, self.tables, self.kept)
        for column, numbers in self.native.items():
            at = self.kept.index(column)
            found[:, at] = np.clip(np.where(np.isnan(found[:, at]), numbers - 1, found[:, at]), 0, numbers - 1)
        return found

    def training(self, rows: Dataset) -> Dataset:
        """The rows that it was learnt from, as the library is given them."""
        matrix, names = self.encode(rows.matrix), self.names
        for name, values in self.learnt.items():
            matrix[:, names.index(name)] = values
        native = {self.kept.index(column): numbers for column, numbers in self.native.items()}
        return replace(rows, inputs=names, matrix=matrix, categories=native, declared={})

    def around(self, model: Fitted) -> Fitted:
        """A model of what this makes, as one of the inputs themselves. From it nobody can go on: others would encode
        otherwise.
        """
        graph = with_tables(model.graph, len(self.inputs), self.tables, self.kept) if self.tables else model.graph
        return replace(model, graph=graph, predict=lambda matrix: model.predict(self.encode(matrix)), continuation=None)


def encoder_of(rows: Dataset, encodings: Mapping[str, Category]) -> CategoryEncoder:
    """Learn what categories count as.

    Args:
        rows: that a model is fitted on; what they do not have counts as not known, though others may have it.
        encodings: of inputs that are categories; of others among `rows.declared` the default.
    """
    kept: list[int] = []
    tables: list[CategoryTable] = []
    native: dict[int, int] = {}
    learnt: dict[str, npt.NDArray[np.float32]] = {}
    for column, name in enumerate(rows.inputs):
        given = rows.declared.get(name)
        codes = None if given is None else given.codes
        if codes is None:
            kept.append(column)
            continue
        count = codes.unseen + 2
        places = CategoryTable(column, np.empty((count, 0), np.float32), ()).places(rows.matrix[:, column])
        encoding = encodings.get(name, Category()).encoding
        if encoding == "native":
            kept.append(column)
            native[column] = count
            continue
        if encoding == "frequency":
            table = CategoryTable(column, _shares(places, rows, count), (f"{name} (frequency)",))
        elif encoding == "target":
            told = list(_told(name, rows))
            means = [_means(places, rows, labels, count) for _, labels in told]
            table = CategoryTable(column, np.column_stack(means), tuple(title for title, _ in told))
            learnt |= {title: _out_of_fold(places, rows, labels, count) for title, labels in told}
        else:
            there = np.unique(places)
            titles = tuple(f"{name}={codes.name(at) if at < count - 1 else 'null'}" for at in there.tolist())
            table = CategoryTable(column, np.eye(count, dtype=np.float32)[:, there], titles)
        tables.append(table)
    return CategoryEncoder(rows.inputs, tuple(kept), tuple(tables), native, learnt)


def _weights(rows: Dataset) -> Floats:
    return np.ones(len(rows)) if rows.weights is None else rows.weights


def _shares(places: Ints, rows: Dataset, count: int) -> npt.NDArray[np.float32]:
    weights = _weights(rows)
    found: npt.NDArray[np.float32] = np.bincount(places, weights, count) / weights.sum()
    return found.astype(np.float32)[:, None]


def _told(name: str, rows: Dataset) -> Iterator[tuple[str, Floats]]:
    """The columns of a target encoding, and what each is the mean of: of several classes, whether it is one."""
    if not rows.classes:
        yield f"{name} (target)", rows.labels.astype(np.float64)
    for place, title in enumerate(rows.classes):
        yield f"{name} (target {title})", (rows.labels == place).astype(np.float64)


def _means(
    places: Ints, rows: Dataset, told: Floats, count: int, some: npt.NDArray[np.bool_] | slice = slice(None)
) -> npt.NDArray[np.float32]:
    """The mean of what is told of some rows by category, with `PRIOR_ROWS` more of the mean of them all."""
    weights, labels = _weights(rows)[some], told[some]
    mean = float(weights @ labels / weights.sum()) if weights.sum() > 0 else 0.0
    own = np.bincount(places[some], weights, count)
    sums = np.bincount(places[some], weights * labels, count)
    return ((sums + PRIOR_ROWS * mean) / (own + PRIOR_ROWS)).astype(np.float32)


def _out_of_fold(places: Ints, rows: Dataset, told: Floats, count: int) -> npt.NDArray[np.float32]:
    """What each row is told by the others: those of the parts of the time that it is not in."""
    part = np.arange(len(rows)) * FOLDS // max(len(rows), 1)
    found = np.empty(len(rows), np.float32)
    for fold in range(FOLDS):
        own = part == fold
        found[own] = _means(places, rows, told, count, ~own)[places[own]]
    return found


def described(encodings: Mapping[str, Category], declared: Sequence[str]) -> dict[str, str]:
    """Which encoding each input that is a category has, for a package's parameters."""
    return {name: encodings.get(name, Category()).encoding for name in declared}
