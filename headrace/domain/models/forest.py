"""Scores a forest of small trees without walking them: a few times faster than ONNX Runtime, the same answers.

A tree of at most 64 leaves is a table, and a larger one the sum of several (see `parts`): each inner node has a
threshold and a mask that strikes out the leaves left of it. Every node whose test fails (`x > threshold`) strikes out
its left leaves, whichever path led there; the first leaf that remains is the one that a walk would have reached. So
there are no branches and no pointers, and one node is tested for many rows at a time, 8 or 16 to an instruction.

References:
    C. Lucchese, F. M. Nardini, S. Orlando, R. Perego, N. Tonellotto, R. Venturini: QuickScorer: A Fast Algorithm to
    Rank Documents with Additive Ensembles of Regression Trees, SIGIR 2015; by the same and others: Exploiting CPU SIMD
    Extensions to Speed-up Document Scoring with Tree Ensembles, SIGIR 2016 (V-QuickScorer).
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from headrace.columnar.jit import kernel
from headrace.columnar.memory import trailing_zeros
from headrace.domain.models.checks.graph_policy import ML

MASK = 64  # leaves of a tree that are struck out together; a larger tree is several
MOST_LEAVES = 256  # beyond, the tests that parts repeat cost more than a walk
LARGEST_SUM = 1e4  # of a forest's leaves: beyond, ONNX Runtime's sums of 32 bits are too far from ours
BLOCK = 256  # rows that are scored together: masks and columns of a block stay in the first-level cache


@dataclass(frozen=True, slots=True)
class Forest:
    """Trees as tables. Nodes of tree t are `split[t]:split[t + 1]`; up to `ordered[t]` missing values go left.

    Attributes:
        feature: int32, which column a node tests.
        threshold: float32; a value above it strikes out the left leaves.
        mask: uint32 or uint64; a bit for each leaf, leftmost lowest, zero for those struck out.
        split, ordered: int64, see above.
        leaves: float64 [trees, 32 or 64], values of the leaves from left to right.
        base: added to the sum.
        sigmoid: whether the answer is 1 / (1 + exp(-sum)).
    """

    feature: npt.NDArray[np.int32]
    threshold: npt.NDArray[np.float32]
    mask: npt.NDArray[np.uint32] | npt.NDArray[np.uint64]
    split: npt.NDArray[np.int64]
    ordered: npt.NDArray[np.int64]
    leaves: npt.NDArray[np.float64]
    base: float
    sigmoid: bool

    def score(self, matrix: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        """Answers for a [n, inputs] matrix, float64 [n]; quickest when it is column-major."""
        columns = np.ascontiguousarray(matrix.T, dtype=np.float32)
        answers = np.empty(columns.shape[1], np.float64)
        _score(
            columns, self.feature, self.threshold, self.mask, self.split, self.ordered, self.leaves, self.base, answers
        )
        if not self.sigmoid:
            return answers
        with np.errstate(over="ignore"):  # Far below zero exp is infinite, which makes the score the 0 that it is.
            return 1 / (1 + np.exp(-answers))


@dataclass(slots=True)
class SplitTest:
    """An inner node: a value above its threshold goes right; leaves [first, right) of its tree are left of it."""

    feature: int
    threshold: float
    missing_left: bool
    first: int
    right: int = 0


@dataclass(slots=True)
class LeafTree:
    """A tree by its inner nodes, each before those below it, and the values of its leaves from left to right."""

    tests: list[SplitTest]
    leaves: list[float]


@dataclass(frozen=True, slots=True)
class TreeSum:
    """What a plain graph of trees is: their sum with `base` on top, with a sigmoid behind it or without."""

    trees: list[LeafTree]
    base: float
    sigmoid: bool


def read(model: onnx.ModelProto) -> Forest | None:
    """The forest that a graph is; None when `trees_of` is, or when a tree has too many leaves, or too long a branch."""
    summed = trees_of(model, MOST_LEAVES)
    if summed is None:
        return None
    found = [parts(tree, MASK) for tree in summed.trees]
    return (
        _pack(TreeSum([part for several in found for part in several], summed.base, summed.sigmoid))
        if all(found)
        else None
    )


def parts(tree: LeafTree, most_leaves: int) -> list[LeafTree]:
    """Trees of at most so many leaves, one of which answers what the tree does, while all others answer zero.

    Each keeps a run of neighbouring leaves and the tests on the way to them; whatever hangs beside is one leaf of zero.
    Zeros change no sum, so answers stay the tree's to the bit. Empty where there are too many tests above one leaf.
    """
    if len(tree.leaves) <= most_leaves:
        return [tree]
    spans = _spans(tree)
    found, start = [], 0
    while start < len(tree.leaves):
        fits, stop = None, min(start + most_leaves, len(tree.leaves))
        low, high = start + 1, stop
        while low <= high:  # the longest run that fits, by halving
            stop = (low + high) // 2
            part = _part(tree, spans, start, stop)
            if len(part.leaves) <= most_leaves:
                fits, low = (part, stop), stop + 1
            else:
                high = stop - 1
        if fits is None:
            return []
        found.append(fits[0])
        start = fits[1]
    return found


def _spans(tree: LeafTree) -> dict[tuple[int, int], SplitTest]:
    """Tests by the leaves below them, [first, end). Of those that begin at the same leaf the outer ones stand first."""
    waiting: dict[int, list[SplitTest]] = {}
    for test in reversed(tree.tests):
        waiting.setdefault(test.first, []).append(test)
    found: dict[tuple[int, int], SplitTest] = {}
    pending = [(0, len(tree.leaves))]
    while pending:
        first, end = pending.pop()
        if end - first > 1:
            test = found[first, end] = waiting[first].pop()
            pending += [(test.right, end), (first, test.right)]
    return found


def _part(tree: LeafTree, spans: Mapping[tuple[int, int], SplitTest], start: int, stop: int) -> LeafTree:
    """The leaves [start, stop) and the tests above them, with zero for all else."""
    made = LeafTree([], [])
    needless = _implied(spans, len(tree.leaves), start, stop)
    pending: list[tuple[int, int, SplitTest | None]] = [(0, len(tree.leaves), None)]
    while pending:
        first, end, of_left = pending.pop()
        if of_left is not None:
            of_left.right = len(made.leaves)
        if end <= start or first >= stop:
            made.leaves.append(0.0)
        elif end - first == 1:
            made.leaves.append(tree.leaves[first])
        elif (first, end) in needless:
            right = spans[first, end].right
            pending.append((first, right, None) if stop <= right else (right, end, None))
        else:
            test = spans[first, end]
            kept = SplitTest(test.feature, test.threshold, test.missing_left, len(made.leaves))
            made.tests.append(kept)
            pending += [(test.right, end, kept), (first, test.right, None)]
    return made


def _implied(spans: Mapping[tuple[int, int], SplitTest], leaves: int, start: int, stop: int) -> set[tuple[int, int]]:
    """Tests on the way to the leaves [start, stop) that whatever passes a later one on the way passes, too."""
    way: list[tuple[tuple[int, int], SplitTest, bool]] = []
    first, end = 0, leaves
    while end - first > 1:
        test = spans[first, end]
        if not (stop <= test.right or start >= test.right):
            break  # from here on the run lies on both sides
        left = stop <= test.right
        way.append(((first, end), test, left))
        first, end = (first, test.right) if left else (test.right, end)
    found: set[tuple[int, int]] = set()
    later: list[tuple[SplitTest, bool]] = []
    for span, test, left in reversed(way):
        if any(_follows(test, left, other) for other, side in later if side == left):
            found.add(span)
        else:
            later.append((test, left))
    return found


def _follows(test: SplitTest, left: bool, other: SplitTest) -> bool:
    """Whether every value that goes to this side of the other test goes to the same side of this one."""
    if test.feature != other.feature:
        return False
    if left:
        return other.threshold <= test.threshold and (test.missing_left or not other.missing_left)
    return other.threshold >= test.threshold and (other.missing_left or not test.missing_left)


def trees_of(model: onnx.ModelProto, most_leaves: int) -> TreeSum | None:
    """The trees that a graph is; None when it is anything else, or has a tree of more leaves than that.

    Understood is one `TreeEnsembleRegressor` on the graph's only input (32 bits), one target, sums, tests `<=` or `<`,
    with or without a `Sigmoid` behind it: what `headrace train` writes. Whatever a converter may not have meant as it
    stands there (nodes that are met twice or never, leaves without a value or with two, thresholds and values that are
    no numbers, trees that are not one after the other) is left to ONNX Runtime, whose reading of it is the one that
    counts.
    """
    nodes = list(model.graph.node)
    ensemble = nodes[0] if nodes else None
    if ensemble is None or (ensemble.domain, ensemble.op_type) != (ML, "TreeEnsembleRegressor"):
        return None
    if [(n.domain, n.op_type) for n in nodes[1:]] not in ([], [("", "Sigmoid")]) or len(model.graph.input) != 1:
        return None
    if any((len(n.input), len(n.output)) != (1, 1) for n in nodes) or model.graph.initializer:
        return None
    chained = [n.input[0] for n in nodes] == [model.graph.input[0].name, *(n.output[0] for n in nodes[:-1])]
    if not chained or model.graph.input[0].type.tensor_type.elem_type != onnx.TensorProto.FLOAT:
        return None
    given = {a.name: onnx.helper.get_attribute_value(a) for a in ensemble.attribute}
    width = model.graph.input[0].type.tensor_type.shape.dim[-1].dim_value
    if len(given) != len(ensemble.attribute) or not _plain(given):
        return None
    if not all(0 <= column < width for column in given["nodes_featureids"]):
        return None
    trees = _trees(given, most_leaves)
    base = float(sum(given["base_values"]))
    return TreeSum(trees, base, len(nodes) == 2) if trees and _moderate(trees, base) else None


_NODES = ("treeids", "nodeids", "featureids", "values", "modes", "truenodeids", "falsenodeids")
_TARGETS = ("treeids", "nodeids", "ids", "weights")


def _plain(given: dict[str, Any]) -> bool:
    """Whether the attributes are one number for each node or leaf, of one target that is a sum; fills in defaults."""
    count = len(given.get("nodes_nodeids", ()))
    given.setdefault("base_values", [])
    given.setdefault("nodes_missing_value_tracks_true", [0] * count)
    single = {"aggregate_function": b"SUM", "post_transform": b"NONE", "n_targets": 1}
    lists = {f"nodes_{name}": count for name in (*_NODES, "missing_value_tracks_true")}
    lists |= {f"target_{name}": len(given.get("target_ids", ())) for name in _TARGETS}
    trees, tracks = given.get("nodes_treeids", ()), given["nodes_missing_value_tracks_true"]
    return (
        set(given) <= {*single, *lists, "base_values", "nodes_hitrates"}
        and all(given.get(name, value) == value for name, value in single.items())
        and all(name in given and len(given[name]) == length for name, length in lists.items())
        and len(given["base_values"]) <= 1
        and not any(given["target_ids"])
        and all(before <= after for before, after in itertools.pairwise(trees))
        and set(tracks) <= {0, 1}
        and min(*given["nodes_nodeids"], *trees, 0) == 0
        and max(given["nodes_nodeids"], default=0) < count  # Numbers beyond that, ONNX Runtime does not load.
    )


def _moderate(trees: list[LeafTree], base: float) -> bool:
    """Whether sums of 32 bits and of 64 come to the same, but for a rounding; false for what is no number."""
    return bool(abs(base) + sum(np.abs(tree.leaves).max() for tree in trees) <= LARGEST_SUM)


def _trees(given: Mapping[str, Any], most_leaves: int) -> list[LeafTree] | None:
    """Trees in their order of appearance; None where they are no trees, or not of a kind that is understood."""
    places = {key: i for i, key in enumerate(zip(given["nodes_treeids"], given["nodes_nodeids"], strict=True))}
    targets = zip(given["target_treeids"], given["target_nodeids"], strict=True)
    weights = dict(zip(targets, given["target_weights"], strict=True))
    if len(places) != len(given["nodes_nodeids"]) or len(weights) != len(given["target_weights"]):
        return None  # a node or a leaf is given twice
    tracks = given["nodes_missing_value_tracks_true"]
    trees: dict[int, LeafTree] = {}
    met: set[int] = set()
    for root in range(len(places)):
        number = given["nodes_treeids"][root]
        if number in trees:
            continue  # a tree's first node is its root
        tree = trees[number] = LeafTree([], [])
        pending: list[tuple[int, SplitTest | None]] = [(given["nodes_nodeids"][root], None)]
        while pending:
            node, of_left = pending.pop()
            place = places.get((number, node))
            if of_left is not None:
                of_left.right = len(tree.leaves)  # all leaves left of this right child have been met
            if place is None or place in met or len(tree.leaves) >= most_leaves:
                return None  # beyond the tree, or met before: in a cycle, or below two nodes
            met.add(place)
            mode = given["nodes_modes"][place]
            if mode == b"LEAF":
                if (number, node) not in weights:
                    return None
                tree.leaves.append(weights.pop((number, node)))
                continue
            threshold = np.float32(given["nodes_values"][place])
            if np.isnan(threshold):
                return None  # ONNX Runtime sends all values right, and so do no tests of ours
            if mode == b"BRANCH_LT":
                if threshold == -np.inf:
                    return None  # nothing is below it, and there is no number before it
                threshold = np.nextafter(threshold, np.float32(-np.inf))
            elif mode != b"BRANCH_LEQ":
                return None
            test = SplitTest(given["nodes_featureids"][place], float(threshold), bool(tracks[place]), len(tree.leaves))
            tree.tests.append(test)
            pending.append((given["nodes_falsenodeids"][place], test))
            pending.append((given["nodes_truenodeids"][place], None))
    # A node that no root leads to, or a value of a node that is no leaf, was meant for something.
    return None if weights or len(met) < len(places) else list(trees.values())


def _pack(summed: TreeSum) -> Forest:
    trees = summed.trees
    width = 32 if max(len(tree.leaves) for tree in trees) <= 32 else 64
    kind: Any = np.uint32 if width == 32 else np.uint64
    full = (1 << width) - 1
    # Those of missing values that go left first; else as they came.
    tests = [test for tree in trees for test in sorted(tree.tests, key=lambda test: not test.missing_left)]
    sizes = np.array([len(tree.tests) for tree in trees], np.int64)
    split = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    lefts = np.array([sum(test.missing_left for test in tree.tests) for tree in trees], np.int64)
    leaves = np.zeros((len(trees), width))
    for place, tree in enumerate(trees):
        leaves[place, : len(tree.leaves)] = tree.leaves
    return Forest(
        np.array([test.feature for test in tests], np.int32),
        np.array([test.threshold for test in tests], np.float32),
        np.array([full ^ ((1 << test.right) - (1 << test.first)) for test in tests], kind),
        split,
        split[:-1] + lefts,
        leaves,
        summed.base,
        summed.sigmoid,
    )


@kernel(
    "f4[:,::1] i4[::1] f4[::1] u4[::1] i8[::1] i8[::1] f8[:,::1] f8 f8[::1]",
    "f4[:,::1] i4[::1] f4[::1] u8[::1] i8[::1] i8[::1] f8[:,::1] f8 f8[::1]",
)
def _score(
    columns: npt.NDArray[np.float32],
    feature: npt.NDArray[np.int32],
    threshold: npt.NDArray[np.float32],
    mask: Any,
    split: npt.NDArray[np.int64],
    ordered: npt.NDArray[np.int64],
    leaves: npt.NDArray[np.float64],
    base: float,
    answers: npt.NDArray[np.float64],
) -> None:
    rows = columns.shape[1]
    full = ~mask.dtype.type(0)
    left = np.empty(BLOCK, mask.dtype)
    for start in range(0, rows, BLOCK):
        count = min(BLOCK, rows - start)
        answer = answers[start : start + count]
        answer[:] = base
        for tree in range(len(split) - 1):
            left[:] = full
            # The two loops differ in where a missing value goes; both compile to compare, blend and `and` alone.
            for node in range(split[tree], ordered[tree]):
                column, limit, kept = columns[feature[node], start : start + count], threshold[node], mask[node]
                for row in range(count):
                    left[row] &= kept if column[row] > limit else full
            for node in range(ordered[tree], split[tree + 1]):
                column, limit, kept = columns[feature[node], start : start + count], threshold[node], mask[node]
                for row in range(count):
                    left[row] &= full if column[row] <= limit else kept
            values = leaves[tree]
            for row in range(count):
                answer[row] += values[trailing_zeros(left[row])]
