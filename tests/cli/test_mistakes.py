"""A mistake of a person's, wherever it was made, ends in a sentence and a code: never in a traceback."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headrace.cli.main import application
from headrace.errors import ConfigurationError
from headrace.stores.online import OnlineStore
from tests.cli.terminal import ROOT

SECRET = "hunter2"
PIPELINE = "{pipeline}"
OF_A_PIPELINE: list[list[str]] = [
    ["check", PIPELINE],
    ["topics", "plan", PIPELINE],
    ["schemas", "register", PIPELINE],
    ["generate", PIPELINE, "out.parquet"],
    ["publish", PIPELINE, "in.parquet"],
    ["train", PIPELINE],
    ["plan", "show", PIPELINE],
    ["plan", "set", PIPELINE, "--champion", "m@1", "--reason", "r"],
    ["predictions", PIPELINE],
    ["why", "1", "--pipeline", PIPELINE],
    ["scorecard", PIPELINE],
    ["duel", PIPELINE, "champion", "challenger"],
    ["export", PIPELINE, "events", "out.parquet"],
    ["lag", PIPELINE],
    ["run", "score", "--pipeline", PIPELINE],
    ["up", PIPELINE],
]
OF_A_HOME = [["status"], ["down"], ["broker", "status"], ["broker", "down"], ["lag", "card_fraud"]]
PART = '{"id": "0123456789abcdef0123456789abcdef", "ports": [15001]}'


@dataclass(frozen=True)
class Said:
    """How a command ended."""

    code: int
    text: str


def say(arguments: Sequence[str], **env: str) -> Said:
    """Run a command in this process; whatever it raises but its exit is a failure of the test."""
    before, out = dict(os.environ), io.StringIO()
    os.environ.update(env)
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
            application()(list(arguments), prog_name="headrace")
        code = 0
    except SystemExit as ended:
        code = int(ended.code or 0)
    finally:
        os.environ.clear()
        os.environ.update(before)
    return Said(code, out.getvalue())


def of(command: list[str], pipeline: str = "card_fraud") -> list[str]:
    """A command about a pipeline."""
    return [pipeline if argument == PIPELINE else argument for argument in command]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A project's folder, with a broker that is not there, as the current one."""
    for name in [name for name in os.environ if name.startswith("HEADRACE_")]:
        monkeypatch.delenv(name)
    for name in ("pipelines", "schemas", "topics"):
        shutil.copytree(ROOT / name, tmp_path / name)
    (tmp_path / "file").write_text("x")
    (tmp_path / "in.parquet").write_bytes(b"PAR1 is not all")
    monkeypatch.setenv("HEADRACE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HEADRACE_BOOTSTRAP", "127.0.0.1:1")
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    monkeypatch.undo()


PIPELINES: dict[str, bytes | None] = {
    "missing": None,
    "binary": bytes(range(256)),
    "of another encoding": "pipeline: ü".encode("latin-1"),
    "empty": b"",
    "huge": b"# x\n" * 300_000,
    "an alias bomb": b"a: &a [x, x]\nb: &b [*a, *a]\n",
    "deep": b"[" * 100_000,
}


@pytest.mark.parametrize("name", PIPELINES)
def test_a_pipeline_that_cannot_be_read_is_told(name: str, folder: Path) -> None:
    """By every command that takes one, with code 2; `check` has said with 1 that there are mistakes all along."""
    content = PIPELINES[name]
    if content is not None:
        (folder / "bad.yaml").write_bytes(content)
    for command in OF_A_PIPELINE:
        said = say(of(command, "bad.yaml"))
        assert said.code == (1 if command[0] == "check" else 2), (command, said)
        assert "bad.yaml" in said.text


@pytest.mark.parametrize("name", ["x" * 300, "..", "/", "file/x", "a\nb", "[/red]", "", "nul\udcff"])
def test_a_name_that_no_pipeline_has_is_told(name: str, folder: Path) -> None:
    """Whatever stands where a pipeline's name should."""
    for command in OF_A_PIPELINE:
        assert say(of(command, name)).code in (1, 2), command


PINS: dict[str, bytes] = {
    "empty": b"",
    "no JSON": b"{",
    "a list": b"[]",
    "a number": b'{"a": 5}',
    "nothing of a version": b'{"a": [{}]}',
    "words": b'{"a": ["x"]}',
    "a wrong schema": b'{"a": [{"id": 1, "fingerprint": "x", "schema": 5}]}',
    "of another encoding": b'{"a": "\xff"}',
    "deep": b"[" * 200_000,
    "a number of 5,000 digits": b'{"a": ' + b"9" * 5_000 + b"}",
}
REGISTRIES = [
    "nonsense",
    "http://",
    "http://[::1",
    "http://host:99999",
    "http://host:abc",
    "ftp://host",
    "http://127.0.0.1:1/ x",
    f"http://user:pa/{SECRET}@127.0.0.1:1",
    f"http://user:1/{SECRET}@127.0.0.1:1",
    f"http://user:{SECRET}@[x]",
]


@pytest.mark.parametrize("name", [*PINS, "a directory", "below a file"])
def test_a_damaged_file_of_ids_is_told(name: str, folder: Path) -> None:
    """What should hold the ids of schemas is named, with the remedy."""
    path = {"a directory": folder, "below a file": folder / "file" / "ids.json"}.get(name, folder / "ids.json")
    if name in PINS:
        path.write_bytes(PINS[name])
    for command in (
        ["schemas", "register", PIPELINE],
        ["publish", PIPELINE, "in.parquet"],
        ["why", "1", "-p", PIPELINE],
    ):
        said = say(of(command), HEADRACE_SCHEMA_IDS=str(path))
        assert said.code in (1, 2), (command, said)
        assert "file" in said.text if name == "below a file" else str(path) in said.text, (command, said)


@pytest.mark.parametrize("url", REGISTRIES)
def test_an_address_of_a_registry_that_is_none_is_told(url: str, folder: Path) -> None:
    """With code 2 and the form of one; a password in it is not repeated."""
    for command in (
        ["schemas", "register", PIPELINE],
        ["publish", PIPELINE, "in.parquet"],
        ["why", "1", "-p", PIPELINE],
    ):
        said = say(of(command), HEADRACE_REGISTRY=url)
        assert (said.code, SECRET in said.text) == (2, False), (command, said)
        assert "HEADRACE_REGISTRY" in said.text


@pytest.mark.parametrize(
    "url",
    [
        "nonsense",
        "redis://",
        "redis://[::1",
        "redis://h:99999",
        "redis://h:abc",
        "redis://h/x",
        "http://h",
        f"redis://:pa/{SECRET}@h:1/0",
        f"redis://user:1/{SECRET}@h:1/0",
        f"redis://user:1?{SECRET}@h:1/0",
        f"redis://:pa#{SECRET}@h/0",
        "redis://h?nosuch=1",
        "redis://h?db=x",
        "rediss://h?ssl_cert_reqs=x",
    ],
)
def test_an_address_of_a_store_that_is_none_is_told(url: str) -> None:
    """With the form of one, and how a password is written in it, which is not repeated."""
    with pytest.raises(ConfigurationError, match=r"HEADRACE_REDIS: .*%2F") as raised:
        OnlineStore(url)
    assert SECRET not in str(raised.value)


@pytest.mark.parametrize(
    "address", ["", " ", "h:99999", "h:0", "h:port", "a b:1", "127.0.0.1:1:2", ",", "h:1,", "x" * 10_000 + ":", "::"]
)
def test_an_address_of_a_cluster_that_is_none_is_told(address: str, folder: Path) -> None:
    """At once, and not after having looked for it: librdkafka would take port 99999 for 34463."""
    for command in (["topics", "plan", PIPELINE], ["lag", PIPELINE], ["run", "score", "--pipeline", PIPELINE]):
        said = say([*of(command), "--bootstrap", address])
        assert (said.code, "HEADRACE_BOOTSTRAP" in said.text) == (2, True), (command, said)


@pytest.mark.parametrize("value", ["[", "[]", "5", '{"a": 5}', "[" * 100_000, "9" * 5_000, f"sasl.password={SECRET}"])
def test_properties_that_are_none_are_told(value: str, folder: Path) -> None:
    """HEADRACE_KAFKA is one JSON object of texts; what is said of another does not repeat it."""
    for command in (["topics", "plan", PIPELINE], ["run", "score", "--pipeline", PIPELINE]):
        said = say(of(command), HEADRACE_KAFKA=value)
        assert (said.code, SECRET in said.text) == (2, False), (command, said)
        assert "HEADRACE_KAFKA" in said.text


@pytest.mark.parametrize("store", ["nosuch://x", "s3://bucket/x", "file/x", "x" * 400, "://"])
def test_a_model_store_that_is_none_is_told(store: str, folder: Path) -> None:
    """An unknown kind of store, one whose library is missing, and a place that cannot be."""
    for command in (["models", "list"], ["models", "show", "m@1"], ["models", "verify", "m@1"]):
        assert say(command, HEADRACE_MODELS=store).code in (0, 1, 2)


DAMAGED = {
    "empty": b"",
    "no JSON": b"{",
    "a list": b"[]",
    "nothing": b"null",
    "without ports": b"{}",
    "a number": b'{"id": 5, "ports": [1]}',
    "a word for ports": b'{"id": "0123456789abcdef0123456789abcdef", "ports": "xy"}',
    "ports that are none": b'{"id": "0123456789abcdef0123456789abcdef", "ports": [70000]}',
    "bytes": b"\xff\xfe\x00",
    "deep": b"[" * 200_000,
}


@pytest.mark.parametrize("part", ["redis", "kafka", "registry"])
@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_note_of_a_part_is_told(name: str, part: str, folder: Path) -> None:
    """The file is named, with what it holds and what to do."""
    (folder / "home" / part).mkdir(parents=True)
    (folder / "home" / part / "part.json").write_bytes(DAMAGED[name])
    for command in OF_A_HOME:
        said = say(command)
        assert (said.code, "part.json is damaged" in said.text) == (2, True), (command, said)


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"{}", b'{"pid": "x", "birth": "1"}', b'{"pid": 0, "birth": "1"}']
)
def test_a_damaged_note_of_a_process_is_told(content: bytes, folder: Path) -> None:
    """Whether the process runs is not known then: it is not taken for one that does not."""
    (folder / "home" / "redis").mkdir(parents=True)
    (folder / "home" / "redis" / "part.json").write_text(PART)
    (folder / "home" / "redis" / "redis-1.json").write_bytes(content)
    for command in OF_A_HOME:
        said = say(command)
        assert (said.code, "redis-1.json is damaged" in said.text) == (2, True), (command, said)


def test_a_home_that_is_a_file_is_told(folder: Path) -> None:
    """With its name, and the variable that names another."""
    for command in (["broker", "up"], ["up", "card_fraud"], ["status"], ["broker", "status"], ["down"]):
        said = say(command, HEADRACE_HOME=str(folder / "file"))
        assert (said.code, str(folder / "file") in said.text) == (2, True), said


@pytest.mark.parametrize(
    "arguments",
    [
        ["--redis", f"redis://:{SECRET}@127.0.0.1:1/0"],
        ["--redis", f"redis://127.0.0.1:1/0?password={SECRET}"],
        ["--set", f"redis=redis://:{SECRET}@127.0.0.1:1/0"],
        ["--set", f"registry=http://user:{SECRET}@127.0.0.1:1"],
        ["--set", f'kafka={{"sasl.password": "{SECRET}"}}'],
    ],
)
def test_a_password_on_a_command_line_is_refused(arguments: list[str], folder: Path) -> None:
    """Everybody on the machine could read it there; the variable that takes it instead is named."""
    said = say(["run", "score", "--pipeline", "card_fraud", *arguments])
    assert (said.code, SECRET in said.text) == (2, False), said
    assert "export HEADRACE_" in said.text


def test_a_registrys_password_on_a_command_line_is_refused(folder: Path) -> None:
    """As one of a store is."""
    said = say(["schemas", "register", "card_fraud", "--registry", f"http://user:{SECRET}@127.0.0.1:1"])
    assert (said.code, SECRET in said.text) == (2, False), said
    assert "export HEADRACE_REGISTRY" in said.text


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    command=st.sampled_from([command for command in OF_A_PIPELINE if command[0] in ("check", "topics", "why", "run")]),
    name=st.sampled_from(["REGISTRY", "SCHEMA_IDS", "KAFKA", "PORT", "MODE", "MEMBER", "PATIENCE_S", "BATCH_ROWS"]),
    value=st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20),
)
def test_no_value_of_a_setting_raises(command: list[str], name: str, value: str, folder: Path) -> None:
    """Any text at all in a variable ends in a code; nothing is looked for that could be reached."""
    # The schema is wrong, so that a command which finds no fault with the variable ends there and opens nothing.
    (folder / "bad.yaml").write_text("pipeline: x")
    said = say(of(command, "bad.yaml"), **{f"HEADRACE_{name}": value})
    assert said.code in (1, 2), said


def test_a_wrong_setting_of_a_service_is_told_before_a_cluster_is_looked_for(folder: Path) -> None:
    """`run` reads what its members will read, and says each mistake once."""
    env: dict[str, Any] = {"HEADRACE_PATIENCE_S": "-1", "HEADRACE_MODE": "twice"}
    said = say(["run", "score", "--pipeline", "card_fraud"], **env)
    assert said.code == 2
    assert "HEADRACE_PATIENCE_S" in said.text
    assert "HEADRACE_MODE" in said.text


def test_results_for_scripts_are_json_all_the_same(folder: Path) -> None:
    """`check --json` prints an object for a file that is no YAML, too."""
    (folder / "bad.yaml").write_bytes(b"\xff")
    said = say(["check", "bad.yaml", "--json"])
    assert said.code == 1
    assert json.loads(said.text)["ok"] is False
