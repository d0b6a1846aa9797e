"""What is told of each kind of control event."""

from __future__ import annotations

import shlex
from collections import Counter
from dataclasses import fields
from typing import Any

import pytest

from headrace.cli.main import COMMANDS, load
from headrace.domain.control.base import ControlFinding
from headrace.domain.control.drift import DriftHarmed, DriftOpened
from headrace.domain.control.events import ControlEvent
from headrace.domain.control.groups import EVENT_GROUPS
from headrace.domain.control.kinds import KINDS
from headrace.domain.control.release import ReleaseRolledBack
from headrace.domain.control.retrain import RetrainIgnored
from headrace.domain.notification.message import LONGEST
from headrace.domain.notification.texts import MOST_LINES, SILENT, TEXTS, folded_body, message_of
from headrace.domain.pipeline.notification.spec import SEVERITIES

VALUES: dict[str, Any] = {
    "str": "m@2",
    "str | None": "m@2",
    "int": 3,
    "int | None": 3,
    "float": 0.25,
    "float | None": 0.25,
    "Offsets": {0: 7},
}


def example(kind: type[ControlFinding]) -> ControlFinding:
    """A finding with all its fields."""
    given = {each.name: VALUES[str(each.type)] for each in fields(kind)}
    return kind(**given | ({"rule": "budget"} if kind is RetrainIgnored else {}))


def event(finding: ControlFinding) -> ControlEvent:
    """An event that says so."""
    return ControlEvent("e1", "card_fraud", 1_000, "drift", finding)


def test_every_kind_is_told_or_silent_on_purpose() -> None:
    """A new kind has a text in headrace/domain/notification, or a reason in SILENT."""
    assert {*KINDS.values()} == TEXTS.keys() | SILENT.keys()
    assert not TEXTS.keys() & SILENT.keys()


def test_what_is_told_can_be_asked_for_by_one_group() -> None:
    """Every kind with a text is in exactly one group, and no other is: a file names what there is."""
    counts = Counter(kind for kinds in EVENT_GROUPS.values() for kind in kinds)
    assert counts == Counter(kind.type for kind in TEXTS)


@pytest.mark.parametrize("kind", TEXTS, ids=lambda kind: kind.type)
@pytest.mark.parametrize("whole", [True, False], ids=["whole", "empty"])
def test_a_text_says_what_happened_and_what_to_do(kind: type[ControlFinding], whole: bool) -> None:
    """Short, with the pipeline and the event; of an event without fields, too."""
    message = message_of(event(example(kind) if whole else kind()))
    if message is None:
        assert (kind, whole) == (RetrainIgnored, False)
        return
    assert message.title.startswith("card_fraud: ")
    assert "\n" not in message.title
    assert message.severity in SEVERITIES
    assert message.happened.endswith((".", "m@2"))
    body = message.body("e1")
    assert body.splitlines()[-1] == "event e1"
    assert len(body) < LONGEST + 300
    assert "None" not in body


@pytest.mark.parametrize("kind", TEXTS, ids=lambda kind: kind.type)
def test_the_command_in_a_text_exists(kind: type[ControlFinding]) -> None:
    """With the options that it is given there."""
    message = message_of(event(example(kind)))
    assert message is not None
    if not message.command:
        return
    program, name, *arguments = shlex.split(message.command)
    assert (program, name in COMMANDS) == ("headrace", True)
    command: Any = load(name)
    while hasattr(command, "commands"):
        command = command.commands[arguments.pop(0)]
    known = {option for parameter in command.params for option in parameter.opts}
    assert {word for word in arguments if word.startswith("-")} <= known


@pytest.mark.parametrize("columns", ["", "{", "[]", "[1]", '[{"share": 1}]', '[{"column": "a", "share": "x"}]', "null"])
def test_a_record_of_strangers_has_a_text_too(columns: str) -> None:
    """Whatever stands where JSON should."""
    message = message_of(event(DriftOpened("predictions/1", "predictions", 5, 2**62, "m@1", columns=columns)))
    assert message is not None
    assert "predictions/1" in message.title


def test_a_long_reason_is_cut() -> None:
    """A message is read on a telephone."""
    message = message_of(event(ReleaseRolledBack(model="m@2", why="x" * 5_000)))
    assert message is not None
    assert len(message.body("e1")) < LONGEST + 200


def test_ignored_triggers_are_told_of_the_budget_alone() -> None:
    """Other rules do what they are there for."""
    assert message_of(event(RetrainIgnored(rule="cooldown"))) is None
    message = message_of(event(RetrainIgnored(rule="budget", source="drift", because="10 of 10 began in May")))
    assert message is not None
    assert "10 of 10 began in May" in message.happened


def test_a_storm_is_a_page_at_most() -> None:
    """The newest titles, each once, how many there are more, and from which event to which."""
    body = folded_body("p", "drift_grew", [f"incident {number % 30}" for number in range(500)], "e0", "e499")
    lines = body.splitlines()
    assert lines[0] == "incident 19"
    assert len(lines) == MOST_LINES + 3
    assert lines[-3:] == ["and 22 more", "> headrace ledger show p --type drift_grew", "events e0 to e499"]


def test_harm_is_told_as_a_multiple_of_the_references_loss() -> None:
    """As the finding has it: a mean loss over another."""
    finding = DriftHarmed(
        "outcomes/1", "outcomes", model="m@1", basis="labels", worse=1.849, tolerated=1.25, rows=2_746
    )
    message = message_of(event(finding))
    assert message is not None
    assert "over 2,746 rows, is 1.849 times its reference's; 1.25 times is tolerated" in message.happened
