"""Model packages and the store they lie in."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml

from headrace.domain.models.package import GRAPH, MANIFEST, load, pack, save
from headrace.domain.models.store import ModelStore
from headrace.errors import ConfigurationError, ContractError
from tests.models import graphs


def test_round_trip(tmp_path: Path) -> None:
    """A saved package is loaded with the same content and the same digest."""
    package = graphs.package(metrics={"auc": 0.9}, parameters={"num_leaves": 31}, reference={"amount": [1, 2, 3]})
    save(package, tmp_path / "m")
    assert load(tmp_path / "m", package.digest) == package


def test_digest_covers_every_byte(tmp_path: Path) -> None:
    """One changed character in the manifest is another model."""
    package = graphs.package()
    save(package, tmp_path)
    text = (tmp_path / MANIFEST).read_text()
    (tmp_path / MANIFEST).write_text(text.replace("threshold: 0.5", "threshold: 0.6"))
    with pytest.raises(ContractError, match=package.digest):
        load(tmp_path, package.digest)


def test_digest_is_the_content_alone() -> None:
    """Packing the same parts twice gives the same identity; another graph gives another."""
    assert graphs.package().digest == graphs.package().digest
    assert graphs.package().digest != pack(graphs.manifest(), graphs.logistic((1, 2))).digest


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"name": "Not A Name"}, "name"),
        ({"version": "../1"}, "version"),
        ({"inputs": []}, "inputs"),
        ({"inputs": [{"name": "a"}, {"name": "a"}]}, "named twice: a"),
        ({"inputs": [{"name": "a", "dtype": "int8"}]}, "dtype"),
        ({"threshold": float("nan")}, "threshold"),
        ({"reference": {"b": [1]}}, "reference profile of b"),
        ({"format": 2}, "format"),
    ],
)
def test_bad_manifests(tmp_path: Path, change: dict[str, object], named: str) -> None:
    """A manifest that does not describe a model is refused, naming the field."""
    good = graphs.manifest(("a",)).model_dump(mode="json")
    (tmp_path / MANIFEST).write_text(yaml.safe_dump(good | change))
    (tmp_path / GRAPH).write_bytes(b"")
    with pytest.raises(ContractError, match=named):
        load(tmp_path)


def test_missing_file(tmp_path: Path) -> None:
    """A directory without a graph is no package."""
    with pytest.raises(ContractError, match=r"model\.onnx is missing"):
        load(tmp_path)


def test_save_keeps_what_is_there(tmp_path: Path) -> None:
    """A directory that holds another package is not written over."""
    save(graphs.package(), tmp_path)
    with pytest.raises(ContractError, match="another model package"):
        save(graphs.package(version="2"), tmp_path)
    assert load(tmp_path) == graphs.package()


def test_sample_follows_the_profile() -> None:
    """Trial rows lie within the reference profile, with some values missing, the same ones for a seed."""
    rows = graphs.package(reference={"amount": [5, 6, 10]}).sample(1000)
    assert rows.shape == (1000, 2)
    assert rows.dtype == np.float32
    assert np.nanmin(rows[:, 0]) >= 5
    assert np.nanmax(rows[:, 0]) <= 10
    assert 0 < np.isnan(rows).sum() < 100
    np.testing.assert_array_equal(rows, graphs.package(reference={"amount": [5, 6, 10]}).sample(1000))


class TestStore:
    """The store, on a directory and on an object store's stand-in, fsspec's memory filesystem."""

    @pytest.fixture(params=["directory", "memory"])
    def store(self, request: pytest.FixtureRequest, tmp_path: Path) -> ModelStore:
        """A store with an empty cache."""
        root = str(tmp_path / "models") if request.param == "directory" else f"memory://{tmp_path.name}"
        return ModelStore(root, tmp_path / "cache")

    def test_put_and_fetch(self, store: ModelStore) -> None:
        """What was put is fetched whole under its digest, and putting it again changes nothing."""
        package = graphs.package()
        uri = store.put(package)
        assert store.put(package) == uri
        assert load(store.fetch(uri, package.digest), package.digest) == package

    def test_fetched_once(self, store: ModelStore) -> None:
        """A cached package is good for ever, wherever the uri points by now."""
        package = graphs.package()
        path = store.fetch(store.put(package), package.digest)
        assert store.fetch("nowhere", package.digest) == path

    @pytest.mark.parametrize("damage", ["changed", "cut", "missing", "graph missing", "a file in its place"])
    def test_damaged_copies_are_fetched_again(self, store: ModelStore, damage: str) -> None:
        """A copy in the cache that is no longer what it was is replaced by what the store has."""
        package = graphs.package()
        uri = store.put(package)
        path = store.fetch(uri, package.digest)
        match damage:
            case "changed":
                (path / MANIFEST).write_text((path / MANIFEST).read_text().replace("0.5", "0.6"))
            case "cut":
                (path / GRAPH).write_bytes(package.graph[:10])
            case "missing" | "graph missing":
                (path / (GRAPH if "graph" in damage else MANIFEST)).unlink()
            case _:
                shutil.rmtree(path)
                path.write_bytes(b"")
        assert store.fetched(package.digest) is None
        assert load(store.fetch(uri, package.digest), package.digest) == package
        assert store.fetched(package.digest) == path
        assert list(path.parent.iterdir()) == [path]

    def test_damage_that_cannot_be_mended(self, store: ModelStore) -> None:
        """Without the package in the store a damaged copy is not played, and stays where it can be looked at."""
        package = graphs.package()
        path = store.fetch(store.put(package), package.digest)
        (path / GRAPH).write_bytes(b"")
        with pytest.raises(ContractError, match="outside the model store"):
            store.fetch("nowhere", package.digest)
        assert (path / MANIFEST).exists()

    def test_another_digest(self, store: ModelStore, tmp_path: Path) -> None:
        """A package other than the one named is refused and leaves nothing in the cache."""
        uri = store.put(graphs.package())
        with pytest.raises(ContractError, match="was named"):
            store.fetch(uri, graphs.package(version="2").digest)
        assert list((tmp_path / "cache").iterdir()) == []

    def test_nothing_there(self, store: ModelStore) -> None:
        """A uri without a package is a broken contract, not a reason to retry for ever."""
        uri = store.put(graphs.package())
        with pytest.raises(ContractError, match="has no"):
            store.fetch(uri + "x", graphs.package().digest)

    @pytest.mark.parametrize("uri", ["/etc", "file:///etc", "https://example.org/m", "memory://other/m"])
    def test_outside(self, store: ModelStore, uri: str) -> None:
        """Only packages of this store are read, whatever a plan says."""
        with pytest.raises(ContractError, match="outside the model store"):
            store.fetch(uri, graphs.package().digest)

    def test_climbing_out(self, store: ModelStore) -> None:
        """A uri cannot climb out of the store."""
        uri = store.put(graphs.package())
        with pytest.raises(ContractError):
            store.fetch(uri + "/../../../../../elsewhere", graphs.package().digest)

    def test_digest_is_no_path(self, store: ModelStore) -> None:
        """A digest that is none never becomes a path."""
        with pytest.raises(ContractError, match="no model digest"):
            store.fetch("x", "sha256:../../etc")


def test_unknown_protocol(tmp_path: Path) -> None:
    """A store whose library is missing is said before anything opens."""
    with pytest.raises(ConfigurationError, match="nosuch"):
        ModelStore("nosuch://bucket", tmp_path)
