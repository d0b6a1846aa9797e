"""The service where a cluster asks for a password over TLS: its consumer is of another library than all others'."""

from __future__ import annotations

from pathlib import Path

import pytest

from headrace.domain.control.retrain import RetrainAsked
from tests.cli.secured import Secured
from tests.conftest import started
from tests.retrain.loop import MEMBER, Loop


@pytest.mark.slow
def test_a_password_over_tls(pipeline_name: str, tmp_path: Path) -> None:
    """With it events come and are answered; with another one the process ends and says so."""
    (tmp_path / "kafka").mkdir()
    secured = Secured(tmp_path / "kafka")
    started(secured.broker.start)
    loop = Loop(pipeline_name, tmp_path / "p", secured.broker.address)
    try:
        process = loop.start(MEMBER, **secured.environment("another"))
        assert process.wait(120) in (1, 2), loop.logs()
        assert "password" in loop.logs() or "Authentication" in loop.logs()
        loop.settings |= secured.environment()
        loop.start(MEMBER)
        loop.say("t0", RetrainAsked("person", "because"))
        loop.wait(lambda: "t0" in loop.answers(), "the answer")
        loop.say("t1", RetrainAsked("person", "because"))
        loop.wait(lambda: "t1" in loop.answers(), "the answer to what came to the agent")
        assert loop.answers() == {"t0": "started", "t1": "active"}
        assert loop.stop(MEMBER) == 0, loop.logs()
    finally:
        loop.close()
        secured.broker.stop()
