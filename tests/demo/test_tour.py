"""What a demo that is left up prints at its end: each command is one that can be pasted."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from headrace.cli.main import load
from headrace.cli.options import milliseconds
from headrace.cli.render.demo.tour import say_what_next
from headrace.domain.pipeline.workspace import resolve
from headrace.operations.demo.loop import PIPELINE
from headrace.operations.demo.tour import KeptSystem
from headrace.operations.local.home import DEMO_ENV, DEMO_MORE
from tests.demo.stories import story

REST = pa.table({"event_id": ["a", "b"]})


def printed(directory: Path, pipeline: str, **more: Any) -> list[str]:
    """The lines that are there to be pasted, of a terminal that is too narrow for them."""
    kept = KeptSystem(
        directory, str(resolve(pipeline, Path.cwd())), {}, REST, "T-1 2", {"champion": "m@1", "challenger": "m@2"}
    )
    console = Console(width=40)
    with console.capture() as captured:
        say_what_next(console, kept, pipeline, **more)
    lines = [line.strip() for line in captured.get().splitlines() if line.startswith("  ")]
    return [line for line in lines if line and not line.startswith("#")]


def parsed(argv: list[str]) -> dict[str, Any]:
    """The options and arguments of a command, as the command itself reads them; nothing is run."""
    context = load(argv[0]).make_context(argv[0], argv[1:])
    while hasattr(context.command, "resolve_command"):
        name, command, rest = context.command.resolve_command(context, [*context._protected_args, *context.args])
        context = command.make_context(name, rest, parent=context)
    assert not context.args
    return dict(context.params)


@pytest.mark.parametrize("told", [None, story()], ids=["short demo", "loop"])
def test_each_command_is_one_that_can_be_pasted(tmp_path: Path, told: Any) -> None:
    """Also where the directory's name has a space in it: no line is wrapped, and every option is there."""
    directory = tmp_path / "a place"
    directory.mkdir()
    pq.write_table(REST, directory / DEMO_MORE)
    sourced, *commands = printed(directory, PIPELINE, story=told)
    assert shlex.split(sourced) == ["source", str(directory / DEMO_ENV)]
    assert len(commands) >= (16 if told else 11)
    for line in commands:
        program, *argv = shlex.split(line)
        assert program == "headrace", line
        given = parsed(argv)
        if "pipeline" in given:
            assert resolve(given["pipeline"], tmp_path).is_file(), line
        if "file" in given:
            assert Path(given["file"]).is_file(), line
        if given.get("at"):
            assert milliseconds(given["at"]) > 0


def test_a_file_of_ones_own_is_named_by_its_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that means it only where the demo was started would mean nothing in another shell."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my own.yaml").write_bytes(resolve(PIPELINE, tmp_path).read_bytes())
    (tmp_path / "kept").mkdir()
    _, *commands = printed(tmp_path / "kept", "my own.yaml")
    for line in commands[1:-1]:
        assert str(tmp_path / "my own.yaml") in shlex.split(line), line


def test_a_mistyped_command_would_be_found() -> None:
    """The reading above is the commands' own."""
    with pytest.raises(Exception, match="No such option"):
        parsed(["lag", "card_demo", "--folow"])
    with pytest.raises(Exception, match="No such command"):
        parsed(["plan", "shown", "card_demo"])
