"""What a trainer is: it fits rows and hands back the library's own answers and a graph that must give the same."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from headrace.domain.pipeline.document import closest
from headrace.domain.pipeline.retrain.section import TRAINER_GROUP, trainer_names
from headrace.domain.training.dataset import Dataset
from headrace.errors import ConfigurationError, ContractError

Matrix = npt.NDArray[np.float32]
Progress = Callable[[int], None]
"""Told the number of trees grown so far."""

TREES = 100


@dataclass(frozen=True, slots=True)
class Choice:
    """What a person chose of a training.

    Attributes:
        parameters: the library's own, by its own names, over the trainer's defaults.
        trees: how many; None takes `TREES`. For trainers that take `GROWN` alone.
        seed: of everything random.
        base: a model of the same trainer to go on from, as its `Fitted.continuation`; `trees` are grown on top of it.
            For trainers that take `CONTINUED` alone.
    """

    parameters: Mapping[str, Any] = field(default_factory=dict)
    trees: int | None = None
    seed: int = 0
    base: bytes | None = None


@dataclass(frozen=True, slots=True)
class Fitted:
    """A trained model.

    Attributes:
        graph: bytes of an ONNX graph, `features` float32 [n, inputs] -> `probability` float32 [n, 1]; of quantities its
            output is called `value`; of several classes (`Dataset.classes`) `class`, float32 [n, classes].
        predict: the library's own probabilities of the positive class, or its quantities, [n], of a [n, inputs] matrix,
            or those of each class, [n, classes]; refuses what fitting would refuse.
        parameters: all that the model was made with, for the package; plain values.
        libraries: what fitted it, name -> version.
        continuation: the library's own form of the model, from which the trainer can go on; None where it cannot.
    """

    graph: bytes
    predict: Callable[[Matrix], npt.NDArray[np.floating]]
    parameters: Mapping[str, Any]
    libraries: Mapping[str, str]
    continuation: bytes | None = None


GROWN, WEIGHED, CONTINUED, NATIVE, QUANTITIES = "trees", "weights", "base", "categories", "quantities"
SEVERAL = "classes"
"""What not every trainer takes: a number of trees, rows that count differently (`Dataset.weights`), a model to go on
from, columns of categories to split by sets of (`Dataset.categories`), labels that are quantities, labels that are more
than two classes (`Dataset.classes`)."""


class Trainer(Protocol):
    """Fits labelled rows. The same rows and choice give the same model, on any number of cores.

    One of a package outside of ours says by an attribute `takes`, of `GROWN`, `WEIGHED`, `CONTINUED`, `NATIVE`,
    `QUANTITIES` and `SEVERAL`, what of these it heeds; without the attribute it is given none of them.

    Raises:
        ConfigurationError: a parameter is unknown or wrong, or the rows are not what the library can take.
        ContractError: the model is of a kind that cannot be converted.
    """

    def __call__(self, rows: Dataset, choice: Choice, progress: Progress) -> Fitted: ...


# Modules stand here by name so that one library is imported, not all.
TRAINERS: Mapping[str, str] = {
    "lightgbm": "lightgbm_trainer:fit",
    "xgboost": "xgboost_trainer:fit",
    "random_forest": "scikit_trees:fit_random_forest",
    "decision_tree": "scikit_trees:fit_decision_tree",
    "logistic_regression": "scikit_linear:fit_logistic_regression",
}
"""Names as in a pipeline file's `retrain.trainer`, and where each is."""

TAKES: Mapping[str, frozenset[str]] = {
    "lightgbm": frozenset({GROWN, WEIGHED, CONTINUED, NATIVE, QUANTITIES, SEVERAL}),
    "xgboost": frozenset({GROWN, WEIGHED, CONTINUED, NATIVE, QUANTITIES, SEVERAL}),
    "random_forest": frozenset({GROWN, WEIGHED, CONTINUED, QUANTITIES, SEVERAL}),
    "decision_tree": frozenset({WEIGHED, QUANTITIES, SEVERAL}),
    "logistic_regression": frozenset({WEIGHED, SEVERAL}),
}
ALONE: Mapping[str, str] = {
    "decision_tree": "it is one tree, which is grown anew from rows",
    "logistic_regression": "its fit has one best line, wherever it begins, so going on would forget all rows before",
}
"""Why those of ours that do not go on from a model do not."""
MANY = frozenset(name for name, takes in TAKES.items() if GROWN in takes)
"""Those of ours that grow as many trees as they are told."""


def trainer_of(name: str) -> Trainer:
    """The trainer of that name: one of ours, or one that an installed package offers (`TRAINER_GROUP`).

    Raises:
        ConfigurationError: there is none, several packages offer it, or it cannot be loaded.
    """
    offered = _offer(name)
    if offered is not None:
        try:
            loaded: Trainer = offered.load()
        except (ImportError, AttributeError) as error:
            raise ConfigurationError(f"trainer {name} of {_package(offered)[0]} cannot be loaded: {error}") from error
        if not callable(loaded):
            raise ConfigurationError(f"trainer {name} of {_package(offered)[0]} is no function: {offered.value}")
        return loaded
    module, _, attribute = TRAINERS[name].partition(":")
    try:
        found: Trainer = getattr(importlib.import_module(f"headrace.domain.training.{module}"), attribute)
    except ModuleNotFoundError as error:
        raise ConfigurationError(f"trainer {name} needs {error.name}; install the extra `train`") from error
    return found


def taken_by(name: str) -> frozenset[str]:
    """What a trainer takes of `GROWN`, `WEIGHED` and their like; raises what `trainer_of` does."""
    return TAKES[name] if _offer(name) is None else frozenset(getattr(trainer_of(name), "takes", ()))


def libraries_of(name: str) -> dict[str, str]:
    """The package that offers a trainer, name -> version; nothing for ours. Raises what `trainer_of` does."""
    offered = _offer(name)
    return {} if offered is None else dict([_package(offered)])


def _offer(name: str) -> EntryPoint | None:
    """By which a package offers this trainer; None for ours."""
    offers = tuple(entry_points(group=TRAINER_GROUP, name=name))
    if name not in TRAINERS and not offers:
        raise ConfigurationError(f"no trainer is called {name}: {closest(name, trainer_names())}")
    if len(offers) + (name in TRAINERS) > 1:
        packages = ", ".join(sorted(_package(offer)[0] for offer in offers)) + ", headrace" * (name in TRAINERS)
        raise ConfigurationError(f"several packages offer a trainer {name}: {packages}; take away all but one")
    return offers[0] if offers else None


def _package(offer: EntryPoint) -> tuple[str, str]:
    return (offer.dist.name, offer.dist.version) if offer.dist is not None else (offer.module, "unknown")


def check_names(
    trainer: str, given: Iterable[str], known: Iterable[str], reserved: Mapping[str, str] | None = None
) -> None:
    """Raise ConfigurationError for a parameter that the library does not know, or that has an option of its own."""
    names = set(known)
    for name in given:
        if reserved and name in reserved:
            raise ConfigurationError(f"trainer {trainer}: {name} is given by {reserved[name]}, not as a parameter")
        if name not in names:
            raise ConfigurationError(f"trainer {trainer} has no parameter {name}: {closest(name, sorted(names))}")


def refuse_infinite(trainer: str, inputs: Sequence[str], matrix: Matrix) -> None:
    """Raise ConfigurationError naming the inputs that are infinite somewhere: the library cannot take them."""
    _refuse(trainer, inputs, np.isinf(matrix), "infinite", "keep them out by a `range` in the pipeline's rules")


def refuse_missing(trainer: str, inputs: Sequence[str], matrix: Matrix, remedy: str) -> None:
    """Raise ConfigurationError naming the inputs that are missing somewhere, and what to do about it."""
    _refuse(trainer, inputs, np.isnan(matrix), "missing", remedy)


def _refuse(trainer: str, inputs: Sequence[str], wrong: npt.NDArray[np.bool_], what: str, remedy: str) -> None:
    counts = wrong.sum(axis=0)
    if counts.any():
        named = ", ".join(f"{name} in {n:,}" for name, n in zip(inputs, counts, strict=True) if n)
        raise ConfigurationError(
            f"trainer {trainer} cannot take {what} values, of {len(wrong):,} rows: {named}; {remedy}"
        )


def check_objective(trainer: str, objective: str, rows: Dataset) -> None:
    """Raise ContractError where classes are fitted as quantities, quantities as classes, or several classes as two."""
    kind = "value" if rows.quantities else "class" if rows.classes else "probability"
    fits = "probability" if objective.startswith(("binary", "cross_entropy")) else "value"
    fits = "class" if objective.startswith("multi") else fits
    if fits != kind:
        of = {"value": "a quantity", "class": f"{len(rows.classes)} classes", "probability": "a probability"}[kind]
        raise ContractError(f"trainer {trainer}: objective {objective!r} cannot be converted: the model tells {of}")


def answers_of(chances: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
    """What a model answers, of the chances that a library gives to each class, [n, classes]: of two that of the second.

    >>> answers_of(np.array([[0.75, 0.25]])).tolist(), answers_of(np.array([[0.5, 0.25, 0.25]])).tolist()
    ([0.25], [[0.5, 0.25, 0.25]])
    """
    return chances[:, 1] if chances.shape[1] == 2 else chances


def plain(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Those parameters that say something: without the ones left to the library (None) and NaN.

    >>> plain({"max_depth": 2, "max_leaf_nodes": None, "missing": float("nan")})
    {'max_depth': 2}
    """
    return {k: v for k, v in parameters.items() if v is not None and not (isinstance(v, float) and np.isnan(v))}
