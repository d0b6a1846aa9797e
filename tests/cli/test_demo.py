"""What the demo says at its end: the account on a terminal, and the same as a document."""

from __future__ import annotations

import numpy as np
import pytest
from rich.console import Console

from headrace.cli.render.demo.view import account_table
from headrace.cli.render.documents import json_of
from headrace.operations.demo.monitor import compare
from headrace.operations.demo.report import DemoFigures, report_of
from headrace.streaming.process.settings import Settings
from tests.project import Project

BALANCED = DemoFigures(compare(np.array(["a", "b", "c"]), np.array(["a", "b"]), np.array(["c"]), 2, 1), 1, np.empty(0))
WRONG = DemoFigures(
    compare(np.array(["a", "b"]), np.array(["a", "a", "x"]), np.array(["a"]), 3, 1), 1, np.array([0.01, 0.03])
)


def printed(figures: DemoFigures) -> list[str]:
    """The account's lines."""
    console = Console(width=120)
    with console.capture() as captured:
        console.print(account_table(figures))
    return [" ".join(line.split()) for line in captured.get().splitlines()]


def test_a_balanced_account_says_so() -> None:
    """Where each event has one fate the difference is 0; a latency that nobody measured has no line."""
    assert printed(BALANCED) == [
        "events in 3 1 of history, 2 live",
        "predictions out 2",
        "dead letters 1",
        "difference 0 every event has exactly one answer, compared by event id",
    ]


def test_what_is_wrong_is_counted_by_kind() -> None:
    """The difference is the sum of what is told beside it."""
    assert printed(WRONG)[3:] == [
        "difference 4 1 unanswered, 1 repeated, 1 of no event, 1 both answered and refused",
        "latency 20 ms p50; p99 30 ms; 2 live events",
    ]


def test_the_document_has_the_account_and_says_what_it_lacks(project: Project) -> None:
    """Where nothing was predicted there is no scorecard and no duel: both are null, and it is said why."""
    said: list[str] = []
    settings = Settings(pipeline=str(project.path), bootstrap=project.bootstrap, models=str(project.directory))
    document = json_of(report_of(settings, project.contracts, WRONG, said.append))
    assert list(document) == [
        *("events", "predictions", "dead_letters", "unanswered", "repeated", "strange", "both"),
        *("difference", "history", "latency", "scorecard", "duel"),
    ]
    assert (document["difference"], document["history"]) == (4, 1)
    assert document["latency"] == {"p50_ms": pytest.approx(20), "p99_ms": pytest.approx(29.8)}
    assert (document["scorecard"], document["duel"]) == (None, None)
    assert ["has no scorecards yet" in said[0], "has no predictions" in said[1]] == [True, True]
