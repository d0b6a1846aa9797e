"""`headrace down --forget`: what a home holds is gone, or is named with its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from headrace.operations.local.home import DEMO_ENV, DEMO_MORE
from headrace.operations.local.leftovers import forget
from tests.cli.terminal import Terminal


def written(*paths: Path) -> None:
    """Files with something in them."""
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home as `up` and trainings leave it when broker and store are gone, with a file that is nobody's."""
    home = tmp_path / "home"
    written(
        home / "trainings" / "mine" / "r-1.json",
        home / "models" / "abc" / "model.onnx",
        home / "logs" / "mine" / "enrich-0.log",
        home / "up.lock",
        home / "notes.txt",
    )
    return home


def test_trainings_and_the_cache_go_and_the_rest_is_named(terminal: Terminal, home: Path, tmp_path: Path) -> None:
    """Models that people have, logs, and files that headrace did not write stay; each is named with its place."""
    written(tmp_path / "models" / "fraud" / "1" / "abc" / "model.yaml")
    done = terminal.json("down", "--forget")
    assert done["deleted"] == ["the cache of models", "orders and logs of trainings"]
    assert sorted(path.name for path in home.iterdir()) == ["logs", "notes.txt", "parts.lock", "up.lock"]
    for named in (tmp_path / "models", home / "logs", home / "notes.txt"):
        assert [line for line in done["stays"] if str(named) in line], (named, done)
    code, out, _ = terminal.run("down", "--forget")
    assert (code, "deleted nothing" in out) == (0, True)
    assert f"stays   logs: {home / 'logs'}" in out


def test_of_a_demo_all_goes(home: Path, tmp_path: Path) -> None:
    """With its models and the events that did not go in; the locks alone stay, for whoever waits for one."""
    written(home / DEMO_ENV, home / DEMO_MORE, home / "ids.json", home / "fetched" / "abc" / "model.onnx")
    done = forget(home, str(home / "models"))
    assert [path.name for path in home.iterdir()] == ["up.lock"]
    assert "more.parquet" in done.deleted[0]
    assert done.stays == ()
    assert forget(home, str(tmp_path / "no store")).deleted == []


def test_a_store_of_models_is_never_taken_for_a_cache(home: Path) -> None:
    """Also where people have their models in the folder that the cache would lie in; one elsewhere is named."""
    written(home / "models" / "fraud" / "1" / "abc" / "model.yaml")
    done = forget(home, str(home / "models"))
    assert (home / "models" / "fraud").is_dir()
    assert [line for line in done.stays if "1 models" in line and str(home / "models") in line]
    assert "the model store s3://bucket/models" in forget(home, "s3://bucket/models").stays


def test_what_services_kept_elsewhere_is_named(home: Path, tmp_path: Path) -> None:
    """HEADRACE_TRAININGS, say."""
    written(tmp_path / "elsewhere" / "mine" / "r-1.json")
    assert str(tmp_path / "elsewhere") in forget(home, "models", [tmp_path / "elsewhere", tmp_path / "none"]).stays
