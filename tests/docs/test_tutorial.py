"""The tutorial, block by block, as a newcomer in an empty directory runs it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.docs.tables import ROOT

FIGURES = {"scorecard": ("average precision", "outcomes known"), "drift": ("open", "Price_EUR")}
"""Words that figures have once they are known, by the block that shows them."""
PATIENCE_S = 180
PAGE = ROOT / "docs" / "tutorial.md"


def files() -> dict[str, str]:
    """Files that the page has its reader save."""
    return dict(re.findall(r"<!-- file-of: (\S+) -->\n```\w+\n(.*?)```", PAGE.read_text(), re.DOTALL))


def blocks() -> list[tuple[str, list[str]]]:
    """The page's command blocks, in its order."""
    found = re.findall(r"<!-- tutorial: (\S+) -->\n```sh\n(.*?)```", PAGE.read_text(), re.DOTALL)
    return [(name, text.splitlines()) for name, text in found]


def test_every_block_is_run() -> None:
    """The page has no command block that the tests leave out."""
    assert PAGE.read_text().count("```sh") == len(blocks())
    names = [name for name, _ in blocks()]
    assert len(set(names)) == len(names)


@pytest.mark.slow  # a broker, a store and eight services start
def test_a_newcomer_gets_to_a_monitored_model(
    kafka: str, tmp_path: Path, record_testsuite_property: Callable[[str, object], None]
) -> None:
    """Every command ends well; a model answers the week after, and the change of prices is an incident.

    `kafka` skips where no broker can be had; the tutorial starts one of its own.
    """
    for name, text in files().items():
        (tmp_path / name).write_text(text)
    ours = {name: value for name, value in os.environ.items() if not name.startswith("HEADRACE_")}
    cache = {"HEADRACE_CACHE": os.environ["HEADRACE_CACHE"]} if "HEADRACE_CACHE" in os.environ else {}
    env = {**ours, **cache, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    told: dict[str, str] = {}

    def run(line: str) -> str:
        done = subprocess.run(["bash", "-ec", line], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=600)
        assert done.returncode == 0, f"{line}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout

    begun = time.monotonic()
    steps = dict(blocks())
    away = steps.pop("down")
    try:
        for name, lines in steps.items():
            told[name] = "\n".join(map(run, lines))
        # Figures are published a moment after what they are of was processed.
        for name, words in FIGURES.items():
            end = time.monotonic() + PATIENCE_S
            while not all(word in told[name] for word in words):
                assert time.monotonic() < end, f"{name} does not tell {words}\n{told[name]}"
                told[name] = "\n".join(map(run, steps[name]))
        known = [json.loads(line) for line in run("headrace predictions orders --limit 1 --json").splitlines()]
    finally:
        for line in away:
            run(line)
    seconds = time.monotonic() - begun
    record_testsuite_property("tutorial_seconds", round(seconds))
    assert "distinct in" in told["init"]
    assert "score waits for a model" in told["up"]
    assert "champion" in told["train"]
    assert len(known) == 1
    assert "8000" in told["why"]
