"""What the README and the pages say, held against the code."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

from headrace.cli.main import COMMANDS, load
from headrace.streaming.contracts.topics import load_topics
from headrace.streaming.process import main as serving
from services.enrich.settings import EnrichSettings
from tests.docs.tables import ROOT, TABLES, Place, members, place

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
LATER = {"docs/benchmarks.md"}
"""Pages that are written by a measurement; a link to one may be ahead of it."""


@pytest.mark.parametrize("where", TABLES, ids=lambda where: f"{where[1].name}-{where[0]}")
def test_table_says_what_the_code_says(where: Place) -> None:
    """A table made from the code is up to date; else: python -m tests.docs.tables."""
    assert place(*where)[1] == TABLES[where]() + "\n"


@pytest.mark.parametrize("service", ["enrich", "views", "score", "shadow", "drift", "release", "retrain"])
def test_topics_know_their_services(service: str) -> None:
    """What a service is wired to read and write is what the topics' files say of it, both ways."""
    member = members()[service]
    wiring = member.wiring
    reads = {*(channel.logical for channel in wiring.inputs), *wiring.facts, *wiring.aside}
    writes = {*member.written}
    if wiring.checkpoints.logical in writes:
        reads.add(wiring.checkpoints.logical)
    files = load_topics([ROOT / "topics"])
    assert {name.partition(".")[0] for name in reads} == {n for n, topic in files.items() if service in topic.consumers}
    assert {name.partition(".")[0] for name in writes} == {
        n for n, topic in files.items() if service in topic.producers
    }


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    """Every link to a file of the repository finds it, and its heading."""
    for target in re.findall(r"\]\((?!https?://)([^)]+)\)", page.read_text()):
        file, _, heading = target.partition("#")
        found = (page.parent / file).resolve() if file else page
        if str(found.relative_to(ROOT)) in LATER:
            continue
        assert found.exists(), target
        if heading:
            headings = re.findall(r"^#+ (.+)$", found.read_text(), re.MULTILINE)
            assert heading in {re.sub(r"[^a-z0-9 -]", "", text.lower()).replace(" ", "-") for text in headings}, target


def commands() -> list[tuple[str, str]]:
    """(page, command line) of every `headrace ...` in a shell block, and after compose's `cli`."""
    found = []
    for page in PAGES:
        for block in re.findall(r"```sh\n(.*?)```", page.read_text(), re.DOTALL):
            for line in block.splitlines():
                if match := re.search(r"(?:^headrace| cli) (.+)", line):
                    found.append((page.name, match[1]))
    return found


@pytest.mark.parametrize(("page", "line"), commands())
def test_commands_exist(page: str, line: str) -> None:
    """Every command in the pages exists, with the options that it is given there."""
    name, *arguments = shlex.split(line, comments=True)
    assert name in COMMANDS, line
    command: Any = load(name)
    while hasattr(command, "commands"):
        command = command.commands[arguments.pop(0)]
    known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    assert {word for word in arguments if word.startswith("-")} <= known, line


def test_exit_codes_are_all_told() -> None:
    """The table of exit codes has every code that a service ends with."""
    text = (ROOT / "docs/operations.md").read_text().partition("## Drain and exit codes")[2].partition("##")[0]
    told = {int(code) for code in re.findall(r"^\| (\d+) \|", text, re.MULTILINE)}
    names = ("DONE", "CRASHED", "MISCONFIGURED", "LIMIT_REACHED", "RESTART", "STUCK")
    assert told == {getattr(serving, name) for name in names}


def test_stateful_set_sets_settings() -> None:
    """The Kubernetes example names settings that exist, and gives each pod a name of its own."""
    (block,) = re.findall(r"```yaml\n(apiVersion.*?)```", (ROOT / "docs/operations.md").read_text(), re.DOTALL)
    (container,) = yaml.safe_load(block)["spec"]["template"]["spec"]["containers"]
    given = {variable["name"]: variable for variable in container["env"]}
    assert {name.removeprefix("HEADRACE_").lower() for name in given} <= set(EnrichSettings.model_fields)
    assert given["HEADRACE_MEMBER"]["valueFrom"]["fieldRef"]["fieldPath"] == "metadata.name"


def test_files_shown_are_the_files() -> None:
    """A file that a page shows is shown as it is."""
    for page in PAGES:
        for name, text in re.findall(r"<!-- file: (\S+) -->\n```\w*\n(.*?)```", page.read_text(), re.DOTALL):
            assert (ROOT / name).read_text() == text, f"{page.name}: {name}"


def test_changelog_names_every_command() -> None:
    """The commands that the changelog lists for the first version are all there are."""
    text = (ROOT / "CHANGELOG.md").read_text()
    listed = text.partition("- `headrace`:")[2].partition(".\n")[0]
    assert set(re.findall(r"`([a-z]+)`", listed)) == set(COMMANDS)
