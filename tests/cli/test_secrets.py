"""No password is ever repeated: not in an error, a log line, a page, a file or a command line, right or wrong."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from headrace.domain.models.store import ModelStore
from headrace.errors import HeadraceError
from headrace.stores.online import OnlineStore
from headrace.streaming.contracts.registry import RegistryIds
from headrace.streaming.kafka.admin import Admin
from headrace.streaming.process.settings import Settings, read_settings

SECRET = "hunter2"
NOBODY = "127.0.0.1:1"
LETTERS = "/@:%#?[]\\ ;&=+é\x7f\n"
"""Those that mean something in a URL, or are none there."""


def passwords() -> list[str]:
    """With each letter, as it is and as a URL has it, before and behind the secret."""
    written = [form for letter in LETTERS for form in (letter, quote(letter, safe=""))]
    return [
        word for form in written for word in (f"a{form}{SECRET}", f"{SECRET}{form}", f"1{form}{SECRET}", form + SECRET)
    ]


def said(call: Callable[[], object]) -> str:
    """All that a log has of what a call raises, its causes too; a call that raises nothing is a failure."""
    with pytest.raises(HeadraceError) as raised:
        call()
    lines = traceback.format_exception(raised.value)
    # The lines of this file hold what the test has written itself.
    return "".join(line for line in lines if __file__ not in line)


@pytest.mark.parametrize(
    "use",
    [
        lambda word: OnlineStore(f"redis://:{word}@{NOBODY}/0").evicts(),
        lambda word: OnlineStore(f"redis://user:{word}@{NOBODY}").offsets([b"x"]),
        lambda word: OnlineStore(f"redis://{NOBODY}/0?password={word}").evicts(),
        lambda word: RegistryIds(f"http://user:{word}@{NOBODY}").writers("x"),
        lambda word: read_settings(Settings, pipeline="x", bootstrap=f"kafka://user:{word}@{NOBODY}"),
        lambda word: read_settings(Settings, pipeline="x", bootstrap=f"{NOBODY},user:{word}@h:1"),
        lambda word: read_settings(Settings, pipeline="x", models=f"ftp://user:{word}@{NOBODY}/m"),
        lambda word: ModelStore(f"nosuch://user:{word}@h/m", Path("cache")),
    ],
)
def test_no_address_is_repeated_with_its_password(use: Callable[[str], object]) -> None:
    """Whatever letters it is of, and whether the address is refused or nobody answers there."""
    for word in passwords():
        assert SECRET not in said(lambda: use(word)), word  # noqa: B023 - called at once


@pytest.mark.parametrize(
    "properties",
    [
        {"sasl.password": SECRET, "security.protocol": "nonsense"},
        {"sasl.password": SECRET, "sasl.mechanism": "NO", "security.protocol": "SASL_SSL"},
        {"ssl.key.password": SECRET, "ssl.key.location": "/nonexistent", "security.protocol": "SSL"},
        {"ssl.keystore.password": SECRET, "ssl.keystore.location": "/etc/passwd", "security.protocol": "SSL"},
        {"ssl.key.pem": SECRET, "security.protocol": "SSL"},
        {"sasl.jaas.config": SECRET},
        {"ssl.key.passwrd": SECRET},
        {"sasl.oauthbearer.client.secret": SECRET, "sasl.oauthbearer.method": "oidc", "sasl.mechanism": "OAUTHBEARER"},
        {"sasl.password": [SECRET]},
        {"sasl.password": {"a": SECRET}},
    ],
)
def test_no_property_is_repeated(properties: dict[str, Any], capfd: pytest.CaptureFixture[str]) -> None:
    """Neither by us nor by librdkafka, which is told a wrong one beside the secret, and finds nobody."""

    def connect() -> None:
        made = read_settings(Settings, pipeline="x", bootstrap=NOBODY, kafka=properties)
        assert SECRET not in repr(made) + repr(made.connection) + str(made.model_dump())
        Admin(made.connection).topics(0.1)

    assert SECRET not in said(connect) + "".join(capfd.readouterr())
