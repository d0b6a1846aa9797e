"""What `headrace drift` shows of contributions: those with evidence, and of how many predictions they are."""

from __future__ import annotations

from collections.abc import Sequence
from io import StringIO

from rich.console import Console

from headrace.cli.render.drift import drift_sheet
from headrace.operations.drift.report import DriftReport, WatchedColumn, WatchedModel


def column(name: str, evidence: float, events: int, state: str = "watched") -> WatchedColumn:
    """One with two bins."""
    shares = [0.5, 0.5, 0.0]
    return WatchedColumn(name, state, evidence, events, None, 0.01, [0.0], shares, shares, None)


def shown(columns: Sequence[WatchedColumn]) -> str:
    """The sheet of one model with these columns, as text."""
    model = WatchedModel("predictions", "m@1", "sha256:11", 0, 0, 5_000, 0.5, None, [], columns, None)
    console = Console(file=StringIO(), width=160)
    for part in drift_sheet(DriftReport("p", [model], [])):
        console.print(part)
    found = console.file
    assert isinstance(found, StringIO)
    return found.getvalue()


def test_contributions_without_evidence_are_counted() -> None:
    """Those with some, and those that changed, have lines of their own."""
    of_all = [
        column("amount", 0.0, 5_000),
        column("contribution of amount", 0.2, 51),
        column("contribution of age", 0.0, 51, "changed"),
        column("contribution of x", 0.0001, 51),
        column("contribution of y", 0.0, 51),
    ]
    text = shown(of_all)
    assert "contribution of amount" in text
    assert "contribution of age" in text
    assert "contribution of x" not in text
    assert "a sample: 51 predictions; --json has those of 2 inputs with next to no evidence" in text


def test_a_package_without_contributions_says_so() -> None:
    """Nothing that is not watched is passed over."""
    assert "what inputs contribute is not watched" in shown([column("amount", 0.0, 5_000)])
