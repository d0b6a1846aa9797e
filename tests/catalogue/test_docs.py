"""`headrace docs`: the page says what the pipeline has, and the AsyncAPI document is one."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from headrace.cli.render.catalogue.page import html, markdown
from headrace.domain.pipeline.wiring import Contracts, read_contracts
from headrace.operations.catalogue.asyncapi import asyncapi
from headrace.operations.catalogue.features import catalogue_features
from headrace.operations.catalogue.pipeline_page import PipelinePage, pipeline_page
from headrace.operations.services import SERVICES, needed
from headrace.operations.topics.schema_ids import derived_schemas, pin
from headrace.streaming.contracts.schemas import load_schema
from headrace.streaming.process.settings import Settings
from tests.cli.conftest import terminal
from tests.cli.terminal import ROOT, Terminal

__all__ = ["terminal"]

PARSER = "@asyncapi/parser@3.6.6"
VALIDATE = """
import { Parser } from '@asyncapi/parser';
import { readFileSync } from 'fs';
for (const file of process.argv.slice(2)) {
  const { document, diagnostics } = await new Parser().parse(readFileSync(file, 'utf8'));
  console.log(JSON.stringify([document !== undefined, diagnostics.filter(d => d.severity < 2).map(d => d.message)]));
}
"""
"""AsyncAPI's own parser: whether a file is a document, and what it says against it."""
NOTED = "a <script>alert(1)</script> | with _marks_ & more"
NOWHERE = "127.0.0.1:1"


def contracts_of(path: Path) -> tuple[Settings, Contracts]:
    """Of a pipeline file."""
    settings = Settings(pipeline=str(path), bootstrap=NOWHERE)
    return settings, read_contracts(settings)


@pytest.fixture
def fed(tmp_path: Path) -> Path:
    """A pipeline whose producers write JSON in a form of their own."""
    shutil.copytree(ROOT / "tests" / "formats" / "web", tmp_path / "web")
    path = tmp_path / "web" / "pipelines" / "web.yaml"
    pin(tmp_path / "web" / "schemas" / "ids.json", derived_schemas(str(path)))
    return path


class Page(HTMLParser):
    """What a browser would see: texts, and names of elements that are left open or closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.open: list[str] = []
        self.outside: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """See `HTMLParser`."""
        self.outside += [str(value) for name, value in attrs if name in ("src", "href")]
        self.outside += [tag] if tag in ("script", "link", "iframe", "img") else []
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """See `HTMLParser`."""
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        """See `HTMLParser`."""
        self.texts.append(data)


def test_a_page_has_everything(tmp_path: Path) -> None:
    """Fields, features, segments, topics; as HTML it is whole and needs no other file; texts are shown as they are."""
    path = tmp_path / "cards.yaml"
    text = (ROOT / "pipelines" / "card_fraud.yaml").read_text()
    path.write_text(text.replace("how often, and for how much, the customer pays", json.dumps(NOTED)))
    pin(tmp_path / "schemas" / "ids.json", derived_schemas(str(path)))
    settings, contracts = contracts_of(path)
    page: PipelinePage = pipeline_page(settings, contracts)
    assert [each.title for each in page.sections] == [
        "Events", "Features", "Labels", "Models", "Segments", "Rules over figures", "Topics",
    ]  # fmt: skip  # one list
    assert "models of the live plan are not known" in page.unknown[0]
    pipeline = contracts.pipeline
    names = [*pipeline.events.fields, *(each.feature for each in catalogue_features(pipeline)), *pipeline.segments]
    names += [*contracts.topics.values()]
    shown = Page(html(page))
    assert (shown.open, shown.outside) == ([], [])
    for name in names:
        assert name in shown.texts
    assert NOTED in shown.texts
    marked = markdown(page)
    for name in names:
        assert f"| {name.replace('_', chr(92) + '_')} |" in marked
    widths: dict[str, set[int]] = {}
    section = ""
    for line in marked.splitlines():
        section = line if line.startswith("## ") else section
        if line.startswith("|"):
            widths.setdefault(section, set()).add(line.replace("\\|", "").count("|"))
    assert all(len(found) == 1 for found in widths.values()), widths
    assert len(widths) == 4


def test_the_document_follows_the_contracts(fed: Path) -> None:
    """Each topic is a channel with its schema, each operation is of a service that the topic's file names."""
    for path in (ROOT / "pipelines" / "card_fraud.yaml", fed):
        settings, contracts = contracts_of(path)
        told = asyncapi(settings, contracts, broker=False)
        pipeline = contracts.pipeline
        assert {name: channel["address"] for name, channel in told["channels"].items()} == dict(contracts.topics)
        for logical, message in told["components"]["messages"].items():
            if logical in pipeline.feeds:
                assert (message["contentType"], "payload" in message) == ("application/json", False)
                continue
            schema = message["payload"]["schema"]
            assert (
                load_schema(schema).definition
                == load_schema(contracts.schemas[f"{pipeline.name}.{logical}-value"]).definition
            )
        operations = told["operations"]
        assert {each["tags"][0]["name"] for each in operations.values()} == set(needed(pipeline))
        groups = {each["bindings"]["kafka"]["groupId"]["enum"][0] for each in operations.values() if "bindings" in each}
        assert groups == {
            f"{pipeline.name}.{group}" for name in needed(pipeline) for group, _, _ in SERVICES[name].groups(pipeline)
        }
        assert "servers" not in told
    assert "intake-receives-events-feed" in operations
    assert "intake-sends-events" in operations


@pytest.mark.slow  # installs AsyncAPI's own parser
def test_asyncapis_own_parser_takes_the_document(fed: Path, tmp_path: Path, terminal: Terminal) -> None:
    """Without a word against it; and refuses one in which something is wrong."""
    if shutil.which("npm") is None:
        assert not os.environ.get("CI"), "npm is not on PATH"
        pytest.skip("npm is not on PATH")
    install = ["npm", "install", "--no-audit", "--no-fund", "--no-package-lock", "--silent", PARSER]
    subprocess.run(install, cwd=tmp_path, check=True, timeout=300)
    names = ["cards.json", "web.json", "named.json"]
    cards = ROOT / "pipelines" / "card_fraud.yaml"
    for name, path, more in zip(names, (cards, fed, cards), ((), (), ("--bootstrap", "kafka:9092")), strict=True):
        code, out, errors = terminal.run("docs", path, "--asyncapi", name, *more)
        assert (code, f"written: {name}" in out) == (0, True), errors
    broken: dict[str, Any] = json.loads((tmp_path / "cards.json").read_text())
    broken["operations"]["score-sends-predictions"]["action"] = "writes"
    (tmp_path / "broken.json").write_text(json.dumps(broken))
    (tmp_path / "validate.mjs").write_text(VALIDATE)
    command = ["node", "validate.mjs", *names, "broken.json"]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=True)
    *good, bad = map(json.loads, ran.stdout.splitlines())
    assert good == [[True, []]] * 3
    assert not bad[0]
    assert json.loads((tmp_path / "named.json").read_text())["servers"]["broker-1"] == {
        "host": "kafka:9092",
        "protocol": "kafka",
    }


@pytest.mark.slow  # processes
def test_the_command_says_what_it_wrote(terminal: Terminal, tmp_path: Path) -> None:
    """What is not known ends with 1; a file of another kind is refused; without a file the page is printed."""
    own = Terminal(terminal.directory, {**terminal.env, "HEADRACE_BOOTSTRAP": NOWHERE})
    cards = ROOT / "pipelines" / "card_fraud.yaml"
    code, out, errors = own.run("docs", cards, "--out", "page.html")
    assert (code, "written: page.html" in out, "are not known" in out) == (1, True, True), errors
    assert (tmp_path / "page.html").read_text().startswith("<!doctype html>")
    code, out, errors = own.run("docs", cards, "--out", "page.pdf")
    assert (code, "ends in .md or .html" in errors) == (2, True), out
    code, out, errors = own.run("docs", cards)
    assert (code, out.startswith("# card\\_fraud")) == (1, True), errors
    code, out, errors = own.run("docs", cards, "--out", "nowhere/page.md")
    assert (code, "nowhere/page.md" in errors) == (2, True), errors
