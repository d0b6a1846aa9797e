"""`up` does not wait for a member that ends again and again, though what it says of itself changes with each start."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from headrace.devparts import process
from headrace.operations.local import pipelines
from headrace.operations.local.home import STATE


def test_a_member_that_goes_on_failing_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is returned with the others, as one that fails; a first failure is waited for."""
    monkeypatch.setenv("HEADRACE_HOME", str(tmp_path))
    monkeypatch.setattr(pipelines, "READY_S", 0.5)
    logs = tmp_path / "logs" / "mine"
    logs.mkdir(parents=True)
    supervisor = process.start("supervisor-mine", ["sleep", "60"], tmp_path, with_parent=True)
    for failures, failing in ((1, False), (4, True)):
        fate = {"failures": failures, "restarts": failures, "due": 1.0, "code": 1, "over": False}
        noted = {"name": "score-0", "service": "score", "pid": None, "port": 1, "fate": fate}
        (logs / STATE).write_text(json.dumps([noted]))
        (member,) = pipelines._when_ready("mine", supervisor, lambda _: None)
        assert (member.failing, member.failures, member.up) == (failing, failures, False)
    supervisor.kill()
