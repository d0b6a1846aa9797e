"""The parts of a home directory, up and down over several invocations."""

from __future__ import annotations

import urllib.request
from pathlib import Path

from headrace.devparts.home import Running, down, status, up


def test_up_and_down_are_idempotent(tmp_path: Path) -> None:
    """A second `up` changes nothing; a dead part alone is started again; `down` stops all and may be repeated."""
    assert status(tmp_path) == ()
    first = up(tmp_path, with_parent=True)
    before = {part.name: part.pids for part in status(tmp_path)}
    assert up(tmp_path, with_parent=True) == first
    assert {part.name: part.pids for part in status(tmp_path)} == before
    assert {part.name: part.address for part in status(tmp_path)} == {"kafka": first.bootstrap, "redis": first.redis}

    down(tmp_path)
    down(tmp_path)
    assert [part.running for part in status(tmp_path)] == [False, False]
    assert all(not part.pids for part in status(tmp_path))

    down(tmp_path, forget=True)
    assert status(tmp_path) == ()


def test_down_of_a_home_that_never_was(tmp_path: Path) -> None:
    """Nothing happens, nothing is created."""
    down(tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()


def test_registry_speaks_confluents_api(registry: str) -> None:
    """The registry answers under the address that a Confluent client takes, and is backward compatible by default."""
    with urllib.request.urlopen(f"{registry}/config", timeout=10) as answer:
        assert b"BACKWARD" in answer.read()


def test_parts_answer_where_they_say(kafka: str, redis_server: str) -> None:
    """The session's parts give addresses of this machine."""
    assert Running(kafka, redis_server, None).bootstrap.startswith("127.0.0.1:")
    assert redis_server.startswith("redis://127.0.0.1:")
