"""What an entry of the ledger says to people."""

from __future__ import annotations

import json

import pytest

from headrace.cli.render.release.ledger import summary
from headrace.domain.control.base import ControlFinding
from headrace.domain.control.events import ControlEvent
from headrace.domain.control.release import ApprovalGiven, ReleasePromoted
from headrace.domain.control.retrain import RetrainIgnored
from headrace.domain.ledger.entry import LedgerEntry


def entry(finding: ControlFinding) -> LedgerEntry:
    """As the ledger has a control event."""
    row = ControlEvent("e1", "p", 5, "somebody", finding).row()
    content = json.dumps({**row, "evidence": dict(row["evidence"])})
    texts = dict.fromkeys(LedgerEntry.__dataclass_fields__, "")
    return LedgerEntry(**{**texts, "number": 1, "time": 5, "type": finding.type, "content": content})  # type: ignore[arg-type]  # texts and numbers


@pytest.mark.parametrize(
    ("finding", "said"),
    [
        (
            ReleasePromoted(model="m@2", why="not worse than m@1"),
            "m@2 is the champion, and guarded. Not worse than m@1.",
        ),
        (ApprovalGiven("m@2", "sha256:1", "looks right"), "model m@2, reason looks right"),
        (RetrainIgnored("t1", "drift", "active", "training r-1 runs"), "because training r-1 runs, source drift"),
    ],
)
def test_a_sentence_where_there_is_one(finding: ControlFinding, said: str) -> None:
    """The one that people are told by notifications; else what it is about."""
    assert summary(entry(finding)) == f"[bold]{finding.type}[/]: {said}"


def test_a_changed_entry_is_shown_as_it_is() -> None:
    """`verify` says that it was changed; here it must not hide."""
    changed = json.dumps({"evidence": {"model": "m@2", "events": "many"}})
    found = entry(ReleasePromoted())
    texts = {name: getattr(found, name) for name in LedgerEntry.__dataclass_fields__}
    assert "model m@2" in summary(LedgerEntry(**{**texts, "content": changed}))
