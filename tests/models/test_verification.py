"""A package is checked from its bytes to its scores, each check by itself."""

from __future__ import annotations

from pathlib import Path

import pytest
from onnx import TensorProto, helper

from headrace.domain.models.checks.verification import verify
from headrace.domain.models.package import ModelPackage, pack, save
from headrace.domain.models.store import ModelStore
from tests.models.graphs import logistic, manifest, package, serialise, vector
from tests.models.parts import FEATURES


def states(made: ModelPackage, folder: Path, **others: object) -> dict[str, tuple[str, str]]:
    """What comes of each check of a saved package."""
    save(made, folder)
    return {check.name: (check.state, check.detail) for check in verify(folder, **others)}  # type: ignore[arg-type]  # the caller names them


def test_a_whole_package_holds_all(tmp_path: Path) -> None:
    """Files, digest, manifest, operators, trial and inputs of a sound package pass."""
    made = package()
    found = states(made, tmp_path, digest=made.digest, title="m@1", features=FEATURES)
    assert {name: state for name, (state, _) in found.items()} == {
        **dict.fromkeys(("files", "digest", "manifest", "operators", "trial", "answer", "inputs"), "passed"),
        **dict.fromkeys(("reference", "parity"), "skipped"),
    }


def test_what_may_not_run_is_not_tried(tmp_path: Path) -> None:
    """A graph with a forbidden operator fails that check, and neither trial nor parity runs it."""
    node = helper.make_node("RandomNormalLike", ["features"], ["probability"], dtype=TensorProto.FLOAT)
    found = states(pack(manifest(), serialise([node], [vector("features", 2)])), tmp_path)
    assert found["operators"] == ("failed", "operator ai.onnx.RandomNormalLike is not allowed")
    assert (found["trial"][0], found["parity"][0]) == ("skipped", "skipped")


@pytest.mark.slow
def test_the_answer_is_told(tmp_path: Path) -> None:
    """Which column is the score is said; a doubt about it fails the trial, scores that are no numbers the answer."""
    node = helper.make_node(
        "LinearClassifier",
        ["features"],
        ["label", "probability"],
        domain="ai.onnx.ml",
        coefficients=[0.1, 0.2, -0.1, -0.2],
        intercepts=[0.0, 0.0],
        classlabels_strings=["fraud", "legit"],
        post_transform="LOGISTIC",
    )
    graph = serialise([node], [vector("features", 2)], output=vector("probability", 2))
    found = states(pack(manifest(positive="fraud"), graph), tmp_path / "named")
    assert found["answer"][0] == "passed"
    assert found["answer"][1].startswith("column 1 of 2 is the score, class fraud")
    found = states(pack(manifest(), graph), tmp_path / "unnamed")
    assert found["trial"][0] == "failed"
    assert "nothing says which is yes; say in model.yaml" in found["trial"][1]
    nodes = [
        helper.make_node("Sub", ["features", "features"], ["none"]),
        helper.make_node("Div", ["none", "none"], ["nothing"]),
        helper.make_node("ReduceSum", ["nothing"], ["sum"], keepdims=1),
        helper.make_node("ReduceMean", ["nothing"], ["probability"], axes=[1], keepdims=1),
    ]
    found = states(pack(manifest(), serialise(nodes, [vector("features", 2)])), tmp_path / "nan")
    assert (found["trial"][0], found["answer"][0]) == ("passed", "failed")


def test_scores_that_are_no_probabilities_are_told(tmp_path: Path) -> None:
    """A margin is no probability; a pipeline of another quantity takes it."""
    node = helper.make_node("ReduceMean", ["features"], ["probability"], axes=[1], keepdims=1)
    made = pack(manifest(), serialise([node], [vector("features", 2)]))
    found = states(made, tmp_path, output="probability")
    assert found["answer"][0] == "failed"
    assert "output: value" in found["answer"][1]
    assert states(made, tmp_path, output="value")["answer"][0] == "passed"


def test_a_package_in_the_wrong_place_is_told(tmp_path: Path) -> None:
    """The name in the manifest is the one under which it is kept, and the digest the one that names it."""
    found = states(package(), tmp_path, digest="sha256:" + "0" * 64, title="m@2")
    assert found["manifest"] == ("failed", "it says that it is m@1, but lies where m@2 should")
    assert found["digest"][0] == "failed"


def test_features_that_are_not_there_are_named(tmp_path: Path) -> None:
    """Inputs that the pipeline lacks fail; those of a stacking model are other models' scores."""
    strange = pack(manifest(["amount", "height"]), logistic())
    state, detail = states(strange, tmp_path / "a", features=FEATURES)["inputs"]
    assert (state, "height" in detail) == ("failed", True)
    stacking = pack(manifest(["a@1", "b@1"], parameters={"members": []}), logistic())
    assert states(stacking, tmp_path / "b", features=FEATURES)["inputs"][0] == "skipped"


def test_a_store_lists_what_it_holds(tmp_path: Path) -> None:
    """Packages are listed from any file system that fsspec knows, in the order in which they were stored."""
    store = ModelStore(f"memory://{tmp_path.name}/models", tmp_path / "cache")
    assert store.packages() == []
    made = [package(version=version, revision="r") for version in ("9", "10")]
    uris = [store.put(each) for each in made]
    listed = store.packages()
    assert [(one.title, one.digest, one.uri) for one in listed] == [
        (each.title, each.digest, uri) for each, uri in zip(made, uris, strict=True)
    ]
    assert [store.manifest(one) for one in listed] == [each.manifest for each in made]
    assert store.fetched(made[0].digest) is None
    assert store.fetch(uris[0], made[0].digest) == store.fetched(made[0].digest)
    store.copy(listed[0], tmp_path)
    assert (tmp_path / "model.onnx").read_bytes() == made[0].graph
