"""What an operator may set, what is said of mistakes, and what is never said."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from headrace.errors import ConfigurationError
from headrace.operations.services import SERVICES
from headrace.streaming.kafka.connection import Connection
from headrace.streaming.kafka.properties import DECIDED
from headrace.streaming.process.main import MISCONFIGURED
from headrace.streaming.process.settings import Settings, read_settings

ROOT = Path(__file__).parents[2]
KINDS = (Settings, *(kind.settings for kind in SERVICES.values()))
SECRET = "hunter2"


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An environment that sets the pipeline and nothing else."""
    for kind in KINDS:
        for name in kind.model_fields:
            monkeypatch.delenv(f"HEADRACE_{name.upper()}", raising=False)
    monkeypatch.setenv("HEADRACE_PIPELINE", "card_fraud")
    return monkeypatch


@pytest.mark.parametrize("kind", KINDS)
def test_only_the_pipeline_must_be_set(kind: type[Settings]) -> None:
    """All else has a default, the member's being this machine's name."""
    settings = read_settings(kind)
    assert settings.mode == "exactly_once"
    assert settings.member == socket.gethostname()


@pytest.mark.parametrize("kind", KINDS)
def test_every_setting_explains_itself(kind: type[Settings]) -> None:
    """Each has a description, and a number says its unit there or in its name."""
    assert [name for name, field in kind.model_fields.items() if not field.description] == []


def test_options_win_over_the_environment(bare: pytest.MonkeyPatch) -> None:
    """An option that was not given leaves the environment's value alone."""
    bare.setenv("HEADRACE_COMMIT_MS", "250")
    assert read_settings(Settings, commit_ms=None).commit_ms == 250
    assert read_settings(Settings, commit_ms=50).commit_ms == 50


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("HEADRACE_MODE", "twice"),
        ("HEADRACE_GROUP_PROTOCOL", "eager"),
        ("HEADRACE_MEMBER", "two words"),
        ("HEADRACE_MEMBER", ""),
        ("HEADRACE_SESSION_TIMEOUT_MS", "100"),
        ("HEADRACE_BATCH_ROWS", "0"),
        ("HEADRACE_DEAD_LETTER_LIMIT", "0"),
        ("HEADRACE_DEAD_LETTER_LIMIT", "1.5"),
        ("HEADRACE_DRAIN_S", "26"),
        ("HEADRACE_UNTIL_IDLE_S", "0"),
        ("HEADRACE_PORT", "65536"),
        ("HEADRACE_LINGER_MS", "soon"),
        ("HEADRACE_KAFKA", "security.protocol=ssl"),
        ("HEADRACE_KAFKA", "[]"),
        ("HEADRACE_LOG", "xml"),
    ],
)
def test_a_mistake_names_its_variable(bare: pytest.MonkeyPatch, variable: str, value: str) -> None:
    """A wrong value is refused before anything opens."""
    bare.setenv(variable, value)
    with pytest.raises(ConfigurationError, match=f"{variable}: "):
        read_settings(Settings)


@pytest.mark.parametrize("name", DECIDED)
def test_what_headrace_promises_cannot_be_set_otherwise(bare: pytest.MonkeyPatch, name: str) -> None:
    """A property on which a promise rests is refused by name, with the reason or what to set instead."""
    bare.setenv("HEADRACE_KAFKA", json.dumps({"client.rack": "a", name: "1"}))
    with pytest.raises(ConfigurationError, match=rf"HEADRACE_KAFKA: .*{re.escape(name)} is decided by headrace: .+"):
        read_settings(Settings)
    with pytest.raises(ConfigurationError, match=re.escape(name)):
        Connection("127.0.0.1:1", {name: "1"})


def test_all_mistakes_are_told_at_once(bare: pytest.MonkeyPatch) -> None:
    """A person mends a file once, not once for each mistake."""
    bare.delenv("HEADRACE_PIPELINE")
    bare.setenv("HEADRACE_PORT", "-1")
    with pytest.raises(ConfigurationError, match=r"HEADRACE_PIPELINE: .*; HEADRACE_PORT: "):
        read_settings(Settings)


def test_secrets_are_masked(bare: pytest.MonkeyPatch) -> None:
    """Passwords reach the clients and nothing that is printed."""
    bare.setenv("HEADRACE_REDIS", f"redis://:{SECRET}@store:6379/0")
    bare.setenv("HEADRACE_REGISTRY", f"http://user:{SECRET}@registry:8081")
    bare.setenv("HEADRACE_KAFKA", f'{{"sasl.password": "{SECRET}"}}')
    settings = read_settings(Settings)
    assert settings.connection.properties == {"sasl.password": SECRET}
    for shown in (repr(settings), str(settings), settings.model_dump_json(), repr(settings.connection)):
        assert SECRET not in shown


@pytest.mark.parametrize("value", [f'{{"sasl.password": ["{SECRET}"]}}', f"sasl.password={SECRET}"])
def test_a_mistake_does_not_tell_the_secret(bare: pytest.MonkeyPatch, value: str) -> None:
    """What is said of a wrong value does not repeat it."""
    bare.setenv("HEADRACE_KAFKA", value)
    with pytest.raises(ConfigurationError) as raised:
        read_settings(Settings)
    assert SECRET not in str(raised.value)


def test_settings_are_frozen() -> None:
    """Nobody changes them once they are read."""
    settings = read_settings(Settings)
    with pytest.raises(ValidationError, match="frozen"):
        settings.port = 80  # type: ignore[misc]  # that it cannot be done is the point


def test_unknown_variables_are_left_alone(bare: pytest.MonkeyPatch) -> None:
    """Yesterday's configuration, or another service's, does no harm."""
    bare.setenv("HEADRACE_ABANDONED", "1")
    read_settings(Settings)


def test_a_service_that_is_misconfigured_says_so_and_ends(bare: pytest.MonkeyPatch) -> None:
    """The process ends with its own code and one line about the variable, without a stack trace."""
    bare.setenv("HEADRACE_KAFKA", "no json")
    command = [sys.executable, "-m", "services.score"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == MISCONFIGURED
    assert "HEADRACE_KAFKA" in ended.stderr
    assert "Traceback" not in ended.stderr
