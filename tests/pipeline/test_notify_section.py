"""The `notify` section: who is told of what, and no address in the file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from headrace.domain.control.groups import EVENT_GROUPS
from headrace.domain.pipeline.check import Problem, load

from .conftest import SMALL

SECRET = "geheim42"
MISTAKES = [
    ("{}", "channels is missing", "oncall"),
    ("{channels: {}}", "nobody is told", "name a channel"),
    ("{channels: [a]}", "should be a mapping", "oncall"),
    (f"{{channels: {{oncall: 'slack://{SECRET}'}}}}", "holds secrets", "env: ONCALL_URL"),
    (f"{{channels: {{oncall: {{url: 'slack://{SECRET}'}}}}}}", "holds secrets", "env: ONCALL_URL"),
    (f"{{channels: {{oncall: {{env: 'slack://{SECRET}'}}}}}}", "holds secrets", "env: ONCALL_URL"),
    (f"{{channels: {{oncall: {{file: 'slack://{SECRET}'}}}}}}", "holds secrets", "env: ONCALL_URL"),
    (f"{{channels: {{oncall: {{'slack://{SECRET}': 1}}}}}}", "holds secrets", "env: ONCALL_URL"),
    ("{channels: {oncall: {env: 1 2}}}", "no environment variable", "ONCALL_URL"),
    ("{channels: {oncall: {file: secrets/oncall}}}", "from where this path goes on", "/run/secrets"),
    ("{channels: {oncall: {}}}", "in one place", "env: ONCALL_URL or file:"),
    ("{channels: {oncall: {env: A, file: /b}}}", "in one place", "env: ONCALL_URL or file:"),
    ("{channels: {On-Call: {env: A}}}", "not a legal name", "on_call"),
    ("{channels: {oncall: {env: A, events: [harms]}}}", "nobody can be told of harms", "did you mean harm?"),
    ("{channels: {oncall: {env: A, events: [drift_open]}}}", "nobody can be told of", "drift_opened"),
    ("{channels: {oncall: {env: A, events: [hold_asked]}}}", "nobody can be told of hold_asked", ""),
    ("{channels: {oncall: {env: A, events: []}}}", "told nothing", "leave events out"),
    ("{channels: {oncall: {env: A, events: harm}}}", "should be a list", "[harm"),
    ("{channels: {oncall: {env: A, severity: bad}}}", "severity cannot be bad", "info, warning, critical"),
    ("{channels: {oncall: {env: A, event: [harm]}}}", "unknown key event", "did you mean events?"),
    ("{channels: {oncall: {env: A}}, fold: 1s}", "too short", "1m"),
    ("{channels: {oncall: {env: A}}, fold: 2d}", "longer than a day", "1d"),
]


@pytest.mark.parametrize(("section", "message", "remedy"), MISTAKES)
def test_a_mistake_has_its_line_and_a_remedy(
    problems_of: Callable[[str], list[Problem]], section: str, message: str, remedy: str
) -> None:
    """And what may be an address is not quoted."""
    found = problems_of(f"{SMALL}notify: {section}\n")
    assert any(message in each.message and remedy in each.remedy and each.line == 6 for each in found), found
    assert SECRET not in "".join(f"{each.message} {each.remedy}" for each in found)


def test_a_section_is_read_as_it_is_written(project: Path) -> None:
    """Groups are the kinds in them; without `events` it is all of them."""
    file = project / "pipelines/small.yaml"
    file.write_text(
        SMALL
        + "notify:\n  channels:\n    oncall: {env: ONCALL_URL, events: [harm, drift_opened], severity: critical}\n"
        "    team: {file: /run/secrets/team}\n  fold: 5m\n"
    )
    section = load(file).notify
    assert section is not None
    oncall, team = section.channels.values()
    assert (oncall.source, oncall.place, oncall.severity) == ("env", "ONCALL_URL", "critical")
    assert oncall.kinds == {"drift_opened", *EVENT_GROUPS["harm"]}
    assert (team.source, team.place, team.severity) == ("file", "/run/secrets/team", "info")
    assert team.kinds == {kind for kinds in EVENT_GROUPS.values() for kind in kinds}
    assert section.fold == 300_000


def test_without_a_section_nobody_is_told(project: Path) -> None:
    """A pipeline needs none."""
    file = project / "pipelines/small.yaml"
    file.write_text(SMALL)
    assert load(file).notify is None
