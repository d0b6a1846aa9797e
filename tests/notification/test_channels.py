"""Channels by Apprise, to a receiver that answers, refuses, hangs, and is away."""

from __future__ import annotations

import json
import logging
import shutil
import threading
from pathlib import Path

import pytest

from headrace.domain.notification.addresses import open_channels
from headrace.domain.notification.apprise_channel import AppriseChannel
from headrace.domain.notification.attempt import Attempt
from headrace.domain.notification.message import Message
from headrace.domain.pipeline.notification.spec import NotificationChannel, Notify
from headrace.errors import ConfigurationError
from tests.cli.terminal import Terminal
from tests.notification.webhook import Webhook
from tests.pipeline.conftest import SMALL, STRANGER

SECRET = "geheim42"
BOUND_S = 30.0


def test_a_message_arrives_as_it_is() -> None:
    """Title, text, severity; the last line is the event."""
    webhook = Webhook()
    with webhook.at() as port:
        channel = AppriseChannel("oncall", f"json://127.0.0.1:{port}/{SECRET}", "it")
        assert (
            channel.send(Message("critical", "p: <b>*m@2*</b> & co", "It _lost_.", "headrace drift p"), "e/1") is None
        )
    (body,) = webhook.received
    assert (body["title"], body["type"]) == ("p: <b>*m@2*</b> & co", "failure")
    assert body["message"].splitlines() == ["It _lost_.", "> headrace drift p", "event e/1"]


def test_a_refusal_and_an_absence_say_why(caplog: pytest.LogCaptureFixture) -> None:
    """Without the address, which no log has either."""
    webhook = Webhook()
    webhook.answer = lambda: 503
    with caplog.at_level(logging.DEBUG), webhook.at() as port:
        channel = AppriseChannel("oncall", f"json://me:{SECRET}@127.0.0.1:{port}/{SECRET}", "it")
        refused = channel.send(Message("info", "t", "b"), "e")
    away = channel.send(Message("info", "t", "b"), "e")
    assert refused is not None
    assert "503" in refused
    assert away is not None
    assert "127.0.0.1" in away
    ours = [record.getMessage() for record in caplog.records if not record.name.startswith("urllib3")]
    assert SECRET not in " ".join([refused, away, *ours])


def test_a_receiver_that_hangs_holds_nobody_up() -> None:
    """Whoever waits goes on; the attempt ends when the receiver does."""
    webhook, go = Webhook(), threading.Event()

    def answer() -> int:
        go.wait(BOUND_S)
        return 200

    webhook.answer = answer
    with webhook.at() as port:
        channel = AppriseChannel("oncall", f"json://127.0.0.1:{port}/?rto=60", "it")
        attempt = Attempt(lambda: channel.send(Message("info", "t", "b"), "e"))
        assert not attempt.wait(0.1)
        assert not attempt.over
        go.set()
        assert attempt.wait(BOUND_S)
    assert attempt.problem is None


def test_an_attempt_whose_sender_breaks_is_over() -> None:
    """A defect in a plugin is a failure, not a wait for ever."""

    class BrokenReceiver:
        """Raises."""

        def notify(self, **given: object) -> bool:
            """Raise."""
            raise RuntimeError(SECRET)

    channel = AppriseChannel("oncall", "json://127.0.0.1", "it")
    channel._receiver = BrokenReceiver()
    attempt = Attempt(lambda: channel.send(Message("info", "t", "b"), "e"))
    assert attempt.wait(BOUND_S)
    assert attempt.problem == "its plugin failed (RuntimeError)"


@pytest.mark.parametrize(
    ("source", "place", "said"),
    [
        ("env", "NOTHING_URL", "NOTHING_URL is not set"),
        ("env", "BAD_URL", "no address that apprise knows"),
        ("env", "TWO_URL", "one address"),
        ("file", "/nowhere/at/all", "cannot be read"),
        ("file", "EMPTY", "one address, and nothing else"),
    ],
)
def test_an_address_that_is_none_is_explained(source: str, place: str, said: str, tmp_path: Path) -> None:
    """With the channel and where it was looked for, and never with what stands there."""
    (tmp_path / "empty").write_text("\n")
    where = str(tmp_path / "empty") if place == "EMPTY" else place
    channel = NotificationChannel("oncall", source, where, frozenset())  # type: ignore[arg-type] # parametrised
    environment = {"BAD_URL": f"nosuch://{SECRET}", "TWO_URL": f"json://{SECRET} json://b"}
    with pytest.raises(ConfigurationError, match=r"notify\.channels\.oncall") as raised:
        open_channels(Notify({"oncall": channel}), environment)
    assert said in str(raised.value)
    assert SECRET not in str(raised.value)


def test_the_command_says_what_came_of_each(tmp_path: Path) -> None:
    """One line a channel, and an exit code."""
    webhook = Webhook()
    shutil.copytree(STRANGER, tmp_path / "project")
    file = tmp_path / "project/pipelines/small.yaml"
    file.write_text(SMALL)
    code, _, errors = Terminal(tmp_path, {}).run("notify", "test", file)
    assert (code, "tells nobody" in errors) == (2, True)
    file.write_text(f"{SMALL}notify:\n  channels: {{good: {{env: GOOD_URL}}, bad: {{env: BAD_URL, events: [harm]}}}}\n")
    with webhook.at() as port:
        environment = {"GOOD_URL": f"json://127.0.0.1:{port}/{SECRET}", "BAD_URL": f"json://127.0.0.1:1/{SECRET}"}
        terminal = Terminal(tmp_path, environment)
        both, out, errors = terminal.run("notify", "test", file, "--json")
        one, line, _ = terminal.run("notify", "test", file, "--channel", "good")
    said = {each["channel"]: each["problem"] for each in json.loads(out)}
    assert said.pop("good") is None
    assert "127.0.0.1" in said["bad"]
    assert (both, one, "good: took it" in line) == (1, 0, True)
    assert len(webhook.received) == 2
    assert SECRET not in out + errors + line
