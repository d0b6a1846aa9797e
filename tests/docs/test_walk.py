"""The walk through the code passes functions that exist, each called by one before it."""

from __future__ import annotations

import ast
import re

import pytest

from tests.sources import ROOT

PAGE = (ROOT / "docs/walk.md").read_text()
MOST_HOPS = 20
"""Beyond, nobody keeps the way in mind."""


def walks() -> dict[str, list[tuple[str, str]]]:
    """(file, function) of each hop, by the heading of the walk."""
    found = {}
    for part in PAGE.split("\n## ")[1:]:
        heading, _, text = part.partition("\n")
        found[heading] = re.findall(r"^\| \d+ \| `([\w/.]+)` \| `([\w.]+)` \|", text, re.MULTILINE)
    return found


def body(path: str, function: str) -> ast.AST:
    """A function of a file, `Class.method` or plain."""
    where: ast.AST = ast.parse((ROOT / path).read_text())
    for name in function.split("."):
        where = next(
            node
            for node in ast.iter_child_nodes(where)
            if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == name
        )
    return where


def called(node: ast.AST) -> set[str]:
    """Names of all that it calls, or hands on to be called."""
    names = (each.attr if isinstance(each, ast.Attribute) else getattr(each, "id", "") for each in ast.walk(node))
    return set(names)


@pytest.mark.parametrize("heading", walks())
def test_each_hop_is_called_by_one_before_it(heading: str) -> None:
    """No hop is missing that would have to be known to follow."""
    hops = walks()[heading]
    assert 10 < len(hops) <= MOST_HOPS
    reached = {hops[0][1].rpartition(".")[2]}
    for path, function in hops:
        assert function.rpartition(".")[2] in reached, f"nobody before calls {path} {function}"
        reached |= called(body(path, function))
