"""The forest gives what ONNX Runtime gives, and leaves alone what it does not understand."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper

from headrace.domain.models.checks.graph_policy import inspect
from headrace.domain.models.forest import LeafTree, SplitTest, parts, read, trees_of
from headrace.domain.models.package import pack
from headrace.domain.models.sessions import ForestSession, OnnxSession, SessionSettings, open_session
from headrace.errors import ContractError
from tests.models import graphs

WIDTH = 3
NAMES = ("amount", "v.a", "v.b")
TRACKS = "missing_value_tracks_true"
COLUMNS = ("treeids", "nodeids", "featureids", "values", "modes", "truenodeids", "falsenodeids", TRACKS)


def grow(rng: np.random.Generator, trees: int, leaves: int) -> dict[str, Any]:
    """Attributes of a random TreeEnsembleRegressor: trees of so many leaves, of any shape, nodes in any order."""
    found: dict[str, list[Any]] = {f"nodes_{name}": [] for name in COLUMNS}
    targets: list[tuple[int, int, float]] = []

    def node(tree: int, number: int, mode: str, below: tuple[int, int] = (0, 0)) -> None:
        values = (tree, number, int(rng.integers(WIDTH)), round(float(rng.normal()), 1), mode, *below)
        for name, value in zip(found, (*values, int(rng.integers(2))), strict=True):
            found[name].append(value)

    for tree in range(trees):
        free, split = [0], []
        used = 1
        while len(free) < leaves:
            number = free.pop(int(rng.integers(len(free))))
            split.append((number, (used, used + 1)))
            free += [used, used + 1]
            used += 2
        rest = split[1:] + [(number, None) for number in free if split]
        rng.shuffle(rest)  # type: ignore[arg-type]  # a list of tuples is shuffled in place
        for number, below in [*split[:1], *rest] or [(0, None)]:
            node(tree, number, str(rng.choice(["BRANCH_LEQ", "BRANCH_LT"])) if below else "LEAF", below or (0, 0))
        targets += [(tree, number, float(rng.normal())) for number in free]
    weights = {
        "target_treeids": [t for t, _, _ in targets],
        "target_nodeids": [n for _, n, _ in targets],
        "target_ids": [0] * len(targets),
        "target_weights": [w for *_, w in targets],
    }
    return {**found, **weights, "n_targets": 1}


def graph(attributes: dict[str, Any], *, sigmoid: bool = True, kind: str = "TreeEnsembleRegressor") -> bytes:
    """A graph of one ensemble."""
    answer = "margin" if sigmoid else "probability"
    nodes = [helper.make_node(kind, ["features"], [answer], domain="ai.onnx.ml", **attributes)]
    if sigmoid:
        nodes.append(helper.make_node("Sigmoid", ["margin"], ["probability"]))
    return graphs.serialise(nodes, [graphs.vector("features", WIDTH)])


def both(content: bytes, matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What the forest and what ONNX Runtime answer."""
    package = pack(graphs.manifest(NAMES), content)
    forest = read(inspect(package))
    assert forest is not None
    return forest.score(matrix), OnnxSession(package, SessionSettings(device="cpu", rows=512)).run(matrix)


def values(rng: np.random.Generator, rows: int) -> np.ndarray:
    """Rows with values on thresholds, missing ones and infinities."""
    matrix = rng.normal(size=(rows, WIDTH)).round(1).astype(np.float32)
    matrix[rng.random(matrix.shape) < 0.1] = np.nan
    matrix[rng.random(matrix.shape) < 0.02] = np.inf
    matrix[rng.random(matrix.shape) < 0.02] = -np.inf
    return matrix


@given(st.integers(0, 10_000), st.integers(1, 12), st.integers(1, 64) | st.integers(65, 256), st.booleans())
@settings(max_examples=60, deadline=None)
def test_any_forest(seed: int, trees: int, leaves: int, sigmoid: bool) -> None:
    """Trees of any shape, with both kinds of test and missing values to either side, agree with ONNX Runtime."""
    rng = np.random.default_rng(seed)
    found, reference = both(graph(grow(rng, trees, leaves), sigmoid=sigmoid), values(rng, 600))
    np.testing.assert_allclose(found, reference, atol=1e-5)


@pytest.mark.parametrize("rows", [0, 1, 255, 256, 257, 1000])
def test_any_number_of_rows(rows: int) -> None:
    """Blocks leave no seam, and the layout in memory makes no difference."""
    rng = np.random.default_rng(rows)
    content, matrix = graph(grow(rng, 5, 20)), values(rng, 1000)
    whole, _ = both(content, matrix)
    part, _ = both(content, np.asfortranarray(matrix)[:rows])
    np.testing.assert_array_equal(part, whole[:rows])


def test_base_value() -> None:
    """A constant beside the trees is added once."""
    rng = np.random.default_rng(0)
    found, reference = both(graph({**grow(rng, 3, 8), "base_values": [0.7]}), values(rng, 100))
    np.testing.assert_allclose(found, reference, atol=1e-6)


def attributes(**changes: Any) -> dict[str, Any]:
    """A small forest with some attributes changed; None leaves one out."""
    changed = {**grow(np.random.default_rng(1), 2, 4), **changes}
    return {name: value for name, value in changed.items() if value is not None}


def first(name: str, value: Any) -> dict[str, Any]:
    """The attribute with another first entry."""
    return {name: [value, *grow(np.random.default_rng(1), 2, 4)[name][1:]]}


@pytest.mark.parametrize(
    "change",
    [
        {"post_transform": "LOGISTIC"},
        {"aggregate_function": "MAX"},
        {"n_targets": 2},
        {"target_weights": None},
        {"nodes_modes": None},
        {"base_values": [1.0, 2.0]},
        {"nodes_values": [1.0]},
        first("nodes_modes", "BRANCH_EQ"),
        first("nodes_featureids", WIDTH),
        first("nodes_featureids", -1),
        first("nodes_truenodeids", 0),  # a cycle
        first("nodes_truenodeids", 99),
        first("nodes_nodeids", 1),
        first("target_nodeids", grow(np.random.default_rng(1), 2, 4)["target_nodeids"][1]),
    ],
)
def test_what_it_does_not_understand(change: dict[str, Any]) -> None:
    """Anything but a sum of plain trees is left to ONNX Runtime, and broken trees do not hang or crash the reader."""
    assert read(onnx.ModelProto.FromString(graph(attributes(**change)))) is None


def test_large_trees() -> None:
    """Beyond 256 leaves, or with more tests above a leaf than a mask has bits, they are left to ONNX Runtime."""
    assert read(onnx.ModelProto.FromString(graph(grow(np.random.default_rng(0), 2, 257)))) is None
    tests = [SplitTest(place, 0.0, False, place, place + 1) for place in range(64)]  # each of another feature
    assert parts(LeafTree(tests, [1.0] * 65), 64) == []


@given(st.integers(0, 10_000), st.integers(2, 120), st.integers(8, 40))
@settings(max_examples=60, deadline=None)
def test_parts_of_a_tree_answer_as_it_does(seed: int, leaves: int, most: int) -> None:
    """One of them the value of its leaf, all others zero, on thresholds and for missing values too."""
    rng = np.random.default_rng(seed)
    summed = trees_of(onnx.ModelProto.FromString(graph(grow(rng, 1, leaves))), leaves)
    assert summed is not None
    (tree,) = summed.trees
    found = parts(tree, most)
    assert all(len(part.leaves) <= most for part in found)
    for row in values(rng, 50) if found else ():
        answers = [walked(part, row) for part in found]
        assert sorted(answers, key=abs)[:-1] == [0.0] * (len(found) - 1)
        assert sum(answers) == walked(tree, row)


def walked(tree: LeafTree, row: np.ndarray) -> float:
    """The value of the leaf that a row comes to, from test to test."""
    first, end = 0, len(tree.leaves)
    tests = list(tree.tests)
    while end - first > 1:
        test = next(each for each in tests if each.first == first and each.right < end)
        tests.remove(test)
        value = row[test.feature]
        left = test.missing_left if np.isnan(value) else value <= np.float32(test.threshold)
        first, end = (first, test.right) if left else (test.right, end)
    return tree.leaves[first]


def test_other_graphs() -> None:
    """A graph that is no forest is none."""
    assert read(onnx.ModelProto.FromString(graphs.logistic())) is None


@pytest.mark.parametrize("column", [WIDTH, -1, 1 << 40])
def test_columns_beyond_the_inputs(column: int) -> None:
    """A tree that reads beyond its row is refused: ONNX Runtime would read whatever lies there."""
    content = graph(attributes(**first("nodes_featureids", column)))
    with pytest.raises(ContractError, match="beyond the 3 inputs"):
        inspect(pack(graphs.manifest(NAMES), content))


def test_choice_of_executor() -> None:
    """A plain forest is scored as one, other graphs by ONNX Runtime, and settings may insist."""
    forest = pack(graphs.manifest(NAMES), graph(attributes()))
    assert isinstance(open_session(forest, SessionSettings(device="cpu")), ForestSession)
    assert isinstance(open_session(forest, SessionSettings(executor="onnxruntime", device="cpu")), OnnxSession)
    assert isinstance(open_session(graphs.package(), SessionSettings(device="cpu")), OnnxSession)
    with pytest.raises(ContractError, match="no plain forest"):
        open_session(graphs.package(), SessionSettings(executor="forest"))


def test_both_sessions_agree() -> None:
    """The executor does not show in the answers."""
    rng = np.random.default_rng(5)
    package = pack(graphs.manifest(NAMES), graph(grow(rng, 20, 30)))
    matrix = values(rng, 3000)
    by_forest, by_onnx = (
        open_session(package, SessionSettings(executor=e, device="cpu")).run(matrix) for e in ("forest", "onnxruntime")
    )
    np.testing.assert_allclose(by_forest, by_onnx, atol=1e-6)


NUMBERS = [0.0, -0.0, 0.5, -0.5, 1.0, 1e-45, -1e-45, 3.4e38, -3.4e38, float("inf"), float("-inf"), float("nan")]


@st.composite
def ensembles(draw: st.DrawFn) -> dict[str, Any]:
    """Attributes of an ensemble that is mostly sound, with anything in them that their types allow."""
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))
    found = grow(rng, draw(st.integers(1, 4)), draw(st.integers(1, 6)))
    for _ in range(draw(st.integers(0, 4))):
        name = draw(st.sampled_from([*(f"nodes_{n}" for n in COLUMNS), "target_weights", "target_nodeids"]))
        values = list(found[name])
        place = draw(st.integers(0, len(values) - 1))
        if name in ("nodes_values", "target_weights"):
            values[place] = draw(st.sampled_from([*NUMBERS, 1e10, -1e10]))
        elif name == "nodes_modes":
            values[place] = draw(st.sampled_from(["BRANCH_LEQ", "BRANCH_LT", "BRANCH_GT", "BRANCH_EQ", "LEAF"]))
        elif name == f"nodes_{TRACKS}":
            values[place] = draw(st.integers(-1, 2))
        else:
            values[place] = draw(st.integers(0, WIDTH - 1 if name == "nodes_featureids" else 8))
        found[name] = values
    shape = draw(st.sampled_from(["as it is", "thresholds", "falling trees", "falling nodes", "woven", "turned"]))
    count = len(found["nodes_treeids"])
    order = list(range(count))
    if shape == "thresholds":
        found["nodes_values"] = [draw(st.sampled_from(NUMBERS)) for _ in range(count)]
    elif shape == "falling trees":
        highest = max(found["nodes_treeids"])
        for name in ("nodes_treeids", "target_treeids"):
            found[name] = [highest - tree for tree in found[name]]
    elif shape == "falling nodes":
        highest = max(found["nodes_nodeids"])
        for name in ("nodes_nodeids", "nodes_truenodeids", "nodes_falsenodeids", "target_nodeids"):
            found[name] = [highest - node for node in found[name]]
    elif shape == "woven":
        order.sort(key=lambda place: (found["nodes_nodeids"][place], found["nodes_treeids"][place]))
    elif shape == "turned":
        order.reverse()
    for name in COLUMNS:
        found[f"nodes_{name}"] = [found[f"nodes_{name}"][place] for place in order]
    base = draw(st.sampled_from([None, 0.5, *NUMBERS]))
    return found if base is None else {**found, "base_values": [base]}


def test_numbers_of_nodes_beyond_their_count_are_left_alone() -> None:
    """ONNX Runtime takes numbers with gaps as long as each is below the count of all nodes, and no others."""
    whole = {
        "nodes_treeids": [0, 0, 0],
        "nodes_nodeids": [0, 1, 2],
        "nodes_featureids": [1, 0, 1],
        "nodes_values": [0.6, -0.5, 1.3],
        "nodes_modes": ["BRANCH_LT", "LEAF", "LEAF"],
        "nodes_truenodeids": [1, 0, 0],
        "nodes_falsenodeids": [2, 0, 0],
        f"nodes_{TRACKS}": [0, 0, 1],
        "target_treeids": [0, 0],
        "target_nodeids": [1, 2],
        "target_ids": [0, 0],
        "target_weights": [0.5, -0.25],
        "n_targets": 1,
    }
    gap = {"nodes_nodeids": [0, 3, 2], "nodes_truenodeids": [3, 0, 0], "target_nodeids": [3, 2]}
    for attributes, taken in ((whole, True), (whole | gap, False)):
        package = pack(graphs.manifest(NAMES), graph(attributes, sigmoid=False))
        assert (read(inspect(package)) is not None) == taken
        if not taken:
            with pytest.raises(ContractError, match="does not load"):
                OnnxSession(package, SessionSettings(device="cpu", rows=256))


@pytest.mark.slow
def test_any_attributes() -> None:
    """Whatever the attributes of an ensemble, the forest answers as ONNX Runtime does, or leaves it alone."""
    taken = {True: 0, False: 0}

    @given(ensembles(), st.booleans(), st.integers(0, 1000))
    @settings(max_examples=400, deadline=None)
    def sweep(attributes: dict[str, Any], sigmoid: bool, seed: int) -> None:
        package = pack(graphs.manifest(NAMES), graph(attributes, sigmoid=sigmoid))
        forest = read(inspect(package))
        taken[forest is not None] += 1
        if forest is None:
            return
        edges = np.array([*NUMBERS, *attributes["nodes_values"]], np.float32)
        matrix = np.random.default_rng(seed).choice(edges, (200, WIDTH))
        reference = OnnxSession(package, SessionSettings(device="cpu", rows=256)).run(matrix)
        np.testing.assert_allclose(forest.score(matrix), reference, atol=1e-5)

    sweep()
    assert min(taken.values()) > 40, f"a sweep that takes all or nothing proves nothing: {taken}"
