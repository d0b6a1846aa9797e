"""`headrace models`: packages listed, told and checked, whole ones and damaged ones."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from rich.console import Console

from headrace.cli.render.models.package import WIDE, listing
from headrace.domain.models.package import Manifest
from headrace.domain.models.store import ModelStore, Stored
from headrace.errors import ConfigurationError
from headrace.operations.models.inventory import DescribedPackage
from headrace.operations.plan_changes.lookup import choose, short
from tests.cli.terminal import Terminal
from tests.models.graphs import logistic, package
from tests.project import Project


def stored(version: str, digit: str, name: str = "m") -> Stored:
    """A package as a store lists it."""
    return Stored(name, version, f"sha256:{(digit * 64)[:64]}", "", (), 0)


@pytest.mark.parametrize(
    ("text", "version"),
    [("m", "3"), ("m@1", "1"), ("abab", "2"), ("sha256:" + "ab" * 32, "2"), ("other", "9")],
)
def test_names_mean_one_package(text: str, version: str) -> None:
    """A name is its newest version; a version and the beginning of a digest mean themselves."""
    known = [stored("1", "1"), stored("2", "ab"), stored("3", "3"), stored("9", "9", "other")]
    assert choose(known, text).version == version


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("n", "known are m"),
        ("m@4", "did you mean m@3"),
        ("m@2", "may be any of m@2 22222222, m@2 44444444"),
        ("beefbeef", "no package in the model store has a digest that begins with beefbeef"),
    ],
)
def test_a_name_that_means_none_or_several_is_explained(text: str, told: str) -> None:
    """What is there is said to whoever named what is not, or what is there twice."""
    with pytest.raises(ConfigurationError, match=told):
        choose([stored("3", "3"), stored("2", "2"), stored("2", "4")], text)


@pytest.fixture
def store(terminal: Terminal, tmp_path: Path) -> ModelStore:
    """A model store with two versions of one model, where `terminal` looks for it."""
    terminal.env["HEADRACE_MODELS"] = str(tmp_path / "models")
    made = ModelStore(str(tmp_path / "models"), tmp_path / "home" / "models")
    training = {"start": 0, "end": 86_400_000, "rows": 200, "positives": 5, "offsets": {"p.features": {0: (3, 203)}}}
    told = {"training": training, "metrics": {"auc_roc": 0.875}, "parameters": {"trainer": "by_hand"}}
    made.put(package(reference={"amount": (1.0, 2.0, 3.0)}, revision="abc123", **told))
    made.put(package(version="2"))
    return made


@pytest.mark.slow
def test_a_list_tells_what_is_there(store: ModelStore, terminal: Terminal) -> None:
    """Every package is listed with its identity, origin and quality, without reading a graph."""
    one, two = terminal.json("models", "list")
    assert (one["name"], one["version"], two["version"]) == ("m", "1", "2")
    assert one["digest"] == store.packages()[0].digest
    assert (one["trainer"], one["metrics"], one["rows"]) == ("by_hand", {"auc_roc": 0.875}, 200)
    assert one["trained_to"] == "1970-01-02 00:00:00"
    assert one["problem"] is None
    code, out, _ = terminal.run("models", "list")
    assert code == 0
    assert "m@1" in out
    assert "0.875" in out


@pytest.mark.slow
def test_a_sheet_tells_all(store: ModelStore, terminal: Terminal) -> None:
    """`show` finds a package by the beginning of its digest and prints its whole manifest."""
    digest = store.packages()[0].digest
    code, out, errors = terminal.run("models", "show", short(digest))
    assert code == 0, errors
    for part in (digest, "abc123", "by_hand", "[0] 3 to 203", "customer.nb_tx_1d", "200, 5 positive (2.50%)"):
        assert part in out
    document = terminal.json("models", "show", "m@1")
    assert list(document) == ["digest", "uri", "stored", "files", *Manifest.model_fields, "plans", "card"]
    assert document["files"] == ["model.onnx", "model.yaml"]
    assert "no sample.bin" in " ".join(out.split())
    assert document["reference"] == {"amount": [1.0, 2.0, 3.0]}
    assert document["training"]["offsets"] == {"p.features": {"0": [3, 203]}}
    assert document["plans"] is None


def test_whatever_a_manifest_calls_its_trainer_is_listed() -> None:
    """A package that was made elsewhere may say a number or a list, or write brackets: it is shown as it says."""
    rows = [
        DescribedPackage("m", "1", f"sha256:{'a' * 64}", "", None, (), None, trainer, None, None, 0, 0, {})
        for trainer in (5, ["a", "b"], "[red]")
    ]
    console = Console(width=WIDE)
    with console.capture() as captured:
        console.print(listing(rows, with_parts=False, width=WIDE))
    for told in (" 5 ", "['a', 'b']", "[red]"):
        assert told in captured.get()


def checks(terminal: Terminal, *arguments: str, code: int) -> dict[str, tuple[str, str]]:
    """State and detail of each check by name."""
    found, out, errors = terminal.run("models", "verify", *arguments, "--json")
    assert found == code, errors
    told = json.loads(out)
    assert told["passed"] == (code == 0)
    return {check["name"]: (check["state"], check["detail"]) for check in told["checks"]}


@pytest.mark.slow
def test_a_whole_package_passes(store: ModelStore, terminal: Terminal) -> None:
    """All that can be checked without a pipeline holds, and a pipeline that lacks its features is a failure."""
    found = checks(terminal, "m@1", code=0)
    assert {name for name, (state, _) in found.items() if state != "passed"} == {"reference", "parity", "inputs"}
    state, detail = checks(terminal, "m", "--pipeline", "card_fraud", code=0)["inputs"]
    assert (state, "all 2" in detail) == ("passed", True)


@pytest.mark.slow
def test_a_package_made_elsewhere_is_added(store: ModelStore, terminal: Terminal, tmp_path: Path) -> None:
    """A package written by hand is checked and stored as it is; one that fails, or takes another's name, is not."""
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "model.onnx").write_bytes(logistic())
    (folder / "model.yaml").write_text(
        "# by hand\nname: mine\nversion: '1'\ninputs:\n- {name: amount}\n- {name: customer.nb_tx_1d}\n"
    )
    code, out, errors = terminal.run("models", "add", str(folder), "--pipeline", "card_fraud")
    assert code == 0, errors
    assert "mine@1 stored at" in out
    assert "--challenger mine@1" in out
    assert checks(terminal, "mine@1", code=0)["digest"][0] == "passed"
    assert terminal.json("models", "add", str(folder))["added"]
    assert [stored.title for stored in store.packages()] == ["m@1", "m@2", "mine@1"]
    text = (folder / "model.yaml").read_text()
    (folder / "model.yaml").write_text(text.replace("by hand", "by another hand"))
    code, _, errors = terminal.run("models", "add", str(folder))
    assert code == 2
    assert "version of its own" in " ".join(errors.split())
    (folder / "model.yaml").write_text(text.replace("'1'", "'2'\noutput: score"))
    code, out, _ = terminal.run("models", "add", str(folder))
    assert code == 1
    assert "nothing was stored" in out
    assert len(store.packages()) == 3


@pytest.mark.slow
def test_a_changed_byte_is_found(store: ModelStore, terminal: Terminal) -> None:
    """One bit in the graph makes another digest; a copy fetched earlier tells which file it was."""
    first = store.packages()[0]
    folder = Path(first.uri.removeprefix("file://"))
    store.fetch(first.uri, first.digest)
    graph = bytearray((folder / "model.onnx").read_bytes())
    graph[-20] ^= 1
    (folder / "model.onnx").write_bytes(graph)
    state, detail = checks(terminal, "m@1", code=1)["digest"]
    assert state == "failed"
    assert "model.onnx changed since it was last fetched" in detail
    state, detail = checks(terminal, str(folder), code=1)["digest"]
    assert state == "failed"
    assert "a file was changed since it was stored" in detail


@pytest.mark.slow
def test_a_missing_file_is_named(store: ModelStore, terminal: Terminal) -> None:
    """A package without its graph is listed with the problem, and fails."""
    folder = Path(store.packages()[0].uri.removeprefix("file://"))
    (folder / "model.onnx").unlink()
    assert terminal.json("models", "list")[0]["problem"] == "model.onnx missing"
    assert checks(terminal, "m@1", code=1)["files"] == ("failed", "model.onnx is missing")


@pytest.mark.slow
def test_a_store_tells_where_it_is_empty(terminal: Terminal) -> None:
    """Nothing there is no error for a list, and a mistake for whoever names a model."""
    assert terminal.json("models", "list") == []
    code, _, errors = terminal.run("models", "show", "m")
    assert code == 2
    assert "headrace train PIPELINE fills it" in errors


def test_parts_are_those_of_the_newest_plan(headrace: Terminal, project: Project) -> None:
    """With a pipeline a list says what each package does now, and a sheet which plans name it."""
    project.champion(trees=2)
    (row,) = headrace.json("models", "list", "--pipeline", project.path)
    assert row["parts"] == ["champion"]
    (use,) = headrace.json("models", "show", "card_fraud", "--pipeline", project.path)["plans"]
    assert (use["plan_version"], use["part"], use["reason"]) == (1, "champion", "test")
