"""The contributions of a package's inputs, by the method that its graph allows."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt
import onnx

from headrace.domain.drift.attribution_sample import KINDS, AttributionSample
from headrace.domain.explanations.permutation_shapley import PermutationShapley
from headrace.domain.explanations.tree_shapley import TreeShapley, tree_shapley
from headrace.domain.models.checks.graph_policy import inspect
from headrace.domain.models.forest import trees_of
from headrace.domain.models.package import ModelPackage
from headrace.domain.models.sessions import OnnxSession, SessionSettings
from headrace.errors import ContractError

Floats = npt.NDArray[np.float64]
Singles = npt.NDArray[np.float32]
Matrix = npt.NDArray[np.float32] | npt.NDArray[np.float64]
MOST_LEAVES, MOST_NODES = 4_096, 200_000
"""Of a tree, and of all: beyond, a forest is asked like any other model."""
AGREES = 1e-4
"""The most by which trees may differ from ONNX Runtime on the background, whose sums have 32 bits."""
CALL = 60
"""Steps of the walk through trees that a call of a small model counts for."""
BYTES = 20
"""Bytes of a graph that count for one step more."""
MARGIN, SCORE = KINDS


class Attributions(Protocol):
    """Tells what each input contributes to a model's answers, against a background."""

    exact: bool
    """Whether these are Shapley values, or estimates of them."""
    of: str
    """What they sum to: the `margin` before a sigmoid, log odds, where a graph is trees and a sigmoid, else the
    `score`."""
    steps: int
    """What a row costs, about, in steps of a few nanoseconds; the same wherever it is asked."""

    def contributions(self, matrix: Matrix) -> Floats:
        """Of each input to each row, float64 [n, inputs]; a row's do not depend on the others."""


class TreeAttributions:
    """See `Attributions`: exact, of the sum of trees."""

    exact = True

    def __init__(self, trees: TreeShapley, sigmoid: bool, steps: int) -> None:
        self._trees = trees
        self.of = MARGIN if sigmoid else SCORE
        self.steps = steps

    def contributions(self, matrix: Matrix) -> Floats:
        """See `Attributions`."""
        return self._trees.contributions(matrix)[0]


class SampledAttributions:
    """See `Attributions`: estimates, of the score.

    Args:
        sampling: of the model.
        steps: of one call.
    """

    exact, of = False, SCORE

    def __init__(self, sampling: PermutationShapley, steps: int) -> None:
        self._sampling = sampling
        self.steps = sampling.calls * steps

    def contributions(self, matrix: Matrix) -> Floats:
        """See `Attributions`."""
        return self._sampling.contributions(matrix)


def attributions_of(package: ModelPackage, background: Singles) -> Attributions:
    """By the trees of a graph that is a sum of them, else by asking the model.

    Args:
        background: float32 [rows, inputs], 1 to 64 rows.

    Raises:
        ContractError: the graph is not allowed, does not load or does not run.
    """
    model = inspect(package)
    session = OnnxSession(package, SessionSettings(device="cpu", rows=1_024))
    summed = trees_of(model, MOST_LEAVES) if _tree_nodes(model) <= MOST_NODES else None
    if summed is not None:
        trees = tree_shapley(summed, background)
        _, sums, steps = trees.contributions(background)
        with np.errstate(over="ignore"):
            worth = 1 / (1 + np.exp(-sums)) if summed.sigmoid else sums
        if np.abs(worth - session.run(background)).max() <= AGREES:
            return TreeAttributions(trees, summed.sigmoid, steps // len(background))
    return SampledAttributions(PermutationShapley(session.run, background), CALL + len(package.graph) // BYTES)


def attributions_like(package: ModelPackage, sample: AttributionSample) -> Attributions:
    """Those that a package's reference is of. ContractError as above, and where they would be made in another way."""
    found = attributions_of(package, sample.background)
    if (found.exact, found.of) != (sample.exact, sample.of):
        raise ContractError(
            f"{package.title}: its reference has contributions to the {sample.of} {_made(sample.exact)}, here they are "
            f"to the {found.of} {_made(found.exact)}: train it anew"
        )
    return found


def _made(exact: bool) -> str:
    return "by its trees" if exact else "by sampling"


def _tree_nodes(model: onnx.ModelProto) -> int:
    """How many nodes its trees have, known before they are read."""
    named = (each for node in model.graph.node for each in node.attribute if each.name == "nodes_nodeids")
    return sum(len(each.ints) for each in named)
