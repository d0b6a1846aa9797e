"""Rooms stay small, and one name means one thing."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.sources import ROOT, ROOTS, sources

MOST_LINES, MOST_MODULES = 400, 15
LARGE: Mapping[str, str] = {}
"""Modules beyond MOST_LINES, and why."""
FULL: Mapping[str, str] = {}
"""Folders with more than MOST_MODULES modules, and why."""
TERMS = {
    "feed": "no participle: a topic as its producer writes it",
    "packing": "the field's word for values laid side by side in bytes",
    "pairing": "the literature's word for two models on the same events",
    "provisioning": "what operators call the making of topics",
    "ranking": "the literature's word for metrics of order: AUC ROC, average precision",
    "training": "what fitting a model is called",
    "tuning": "what finding a batch's size by measuring is called",
    "wiring": "what joining parts by their constructors is called",
}
"""Last words of names that end in -ing or -ed all the same, and why."""
SHARED: Mapping[str, str] = {
    "Pipeline": "programs of others import the client's by this name; within the house it is the use case",
    "Prediction": "programs of others are handed the client's; that of `labels` is a row's place in a layout",
}
"""Classes whose name stands twice in the tree, and why."""


def folders() -> list[Path]:
    """Every folder with modules."""
    return sorted({path.parent for path in sources()})


@pytest.mark.parametrize("root", ROOTS)
def test_modules_are_small(root: str) -> None:
    """None has more lines than a person holds in mind, but for those that say why."""
    large = {
        path.relative_to(ROOT).as_posix(): lines
        for path in sources()
        if path.is_relative_to(ROOT / root) and (lines := len(path.read_text().splitlines())) > MOST_LINES
    }
    assert set(large) == {path for path in LARGE if path.startswith(root)}, large


def test_folders_are_small() -> None:
    """None has more modules than fit on a glance."""
    full = {
        folder.relative_to(ROOT).as_posix(): count
        for folder in folders()
        if (count := len([path for path in folder.glob("*.py") if path.name != "__init__.py"])) > MOST_MODULES
    }
    assert set(full) == set(FULL), full


def test_modules_are_called_by_nouns() -> None:
    """No name says what somebody is doing or has done, but where that is the field's word."""
    doing = {path.stem.rpartition("_")[2] for path in [*sources(), *folders()] if path.stem.endswith(("ing", "ed"))} - {
        "streaming"
    }
    assert doing == set(TERMS)


def test_a_class_has_its_name_alone() -> None:
    """A reader who meets a name knows which class is meant."""
    places: dict[str, list[str]] = defaultdict(list)
    for path in sources():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef):
                places[node.name].append(path.relative_to(ROOT).as_posix())
    twice = {name: where for name, where in places.items() if len(where) > 1}
    assert set(twice) == set(SHARED), twice
