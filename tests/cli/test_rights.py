"""Files and folders that may not be read or written, or are something else: a sentence with the name, and a code."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.cli.rights import ordinary
from tests.cli.terminal import ROOT
from tests.cli.test_mistakes import say
from tests.cli.test_publish import transactions


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A project's folder as the current one, with a broker that is not there; its rights come back afterwards."""
    for name in [name for name in os.environ if name.startswith("HEADRACE_") and name != "HEADRACE_CACHE"]:
        monkeypatch.delenv(name)
    for name in ("pipelines", "schemas", "topics"):
        shutil.copytree(ROOT / name, tmp_path / name)
    text = (ROOT / "pipelines" / "card_fraud.yaml").read_text().replace("pipeline: card_fraud", "pipeline: mine")
    (tmp_path / "pipelines" / "mine.yaml").write_text(text)
    transactions(tmp_path / "in.parquet", 3)
    names, values = "transaction_id,tx_datetime,customer_id,terminal_id,amount", "1,2024-05-01T12:00:00Z,2,3,4"
    (tmp_path / "in.csv").write_text(f"{names}\n{values}\n")
    (tmp_path / "home" / "logs").mkdir(parents=True)
    (tmp_path / "models").mkdir()
    monkeypatch.setenv("HEADRACE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HEADRACE_BOOTSTRAP", "127.0.0.1:1")
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    monkeypatch.undo()
    for path in [tmp_path, *tmp_path.rglob("*")]:
        if not path.is_symlink():
            path.chmod(0o700)


def none(path: Path) -> None:
    """Nobody may do anything with it."""
    path.chmod(0)


def sealed(path: Path) -> None:
    """It may be read, and nothing may be made or changed there."""
    path.chmod(0o500)


def folder_instead(path: Path) -> None:
    """A folder stands there."""
    _away(path)
    path.mkdir()


def file_instead(path: Path) -> None:
    """A file stands there."""
    _away(path)
    path.write_text("x")


def socket_instead(path: Path) -> None:
    """A socket stands there, which nothing can be opened by."""
    _away(path)
    here = Path.cwd()
    os.chdir(path.parent)  # A socket's name may be no longer than a hundred characters.
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path.name)
    os.chdir(here)


def loop(path: Path) -> None:
    """A link that leads to itself stands there."""
    _away(path)
    path.symlink_to(path)


def full(path: Path) -> None:
    """A disk with no room is behind it."""
    _away(path)
    path.symlink_to("/dev/full")


READ = (none, folder_instead, socket_instead, loop)


def _away(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)


TOLD = {
    # What stands where: commands that must not go on with it, and how it may be spoilt.
    "pipelines/mine.yaml": (
        [["check", "mine"], ["topics", "plan", "mine"], ["run", "score", "--pipeline", "mine"]],
        READ,
    ),
    "schemas/card_transaction.avsc": ([["check", "mine"], ["publish", "mine", "in.csv"]], READ),
    "schemas/ids.json": ([["publish", "mine", "in.csv"]], READ),
    "topics": ([["topics", "plan", "mine"]], (none,)),
    "in.parquet": ([["publish", "mine", "in.parquet"]], READ),
    "in.csv": ([["publish", "mine", "in.csv"]], READ),
    "models": ([["models", "list"], ["models", "show", "m@1"]], (none, file_instead, socket_instead, loop)),
    "models/m": ([["models", "list"]], (none,)),
    "package": ([["models", "add", "package"]], (none, file_instead, socket_instead, loop)),
    "home": (
        [["status"], ["down"], ["broker", "status"], ["broker", "up"], ["broker", "down"], ["up", "mine"]],
        (none, file_instead, socket_instead),
    ),
    "home/parts.lock": ([["broker", "up"], ["broker", "down"]], (none, folder_instead, socket_instead)),
    "home/up.lock": ([["up", "mine"], ["down"]], (none, folder_instead, socket_instead)),
    "home/redis": ([["broker", "up"], ["status"]], (none, file_instead, socket_instead)),
    "out": (
        [["generate", "mine", "out/out.parquet"], ["run", "score", "--pipeline", "mine", "--logs", "out/logs"]],
        (none, sealed, file_instead, socket_instead, loop),
    ),
    "out.parquet": ([["generate", "mine", "out.parquet"]], (none, sealed, folder_instead, socket_instead, loop, full)),
    "schemas": ([["schemas", "register", "mine"]], (none, sealed)),
}
CASES = [(how, name, command) for name, (commands, hows) in TOLD.items() for how in hows for command in commands]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("how", "name", "command"),
    CASES,
    ids=[f"{how.__name__} {name} {' '.join(command)}" for how, name, command in CASES],
)
def test_what_may_not_be_read_or_written_is_told(
    how: Callable[[Path], None], name: str, command: list[str], folder: Path
) -> None:
    """By its name, with the code of a mistake, and before Kafka is looked for; nothing else is taken in its place."""
    path = folder / name
    if not path.exists():
        path.touch() if path.suffix else path.mkdir()
    how(path)
    with ordinary():
        said = say(command)
    assert said.code in (1, 2), said
    assert path.name in said.text, said
    assert "127.0.0.1:1" not in said.text, said
