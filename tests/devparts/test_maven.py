"""Fetching jars, and what is said when something is missing."""

from __future__ import annotations

from pathlib import Path
from threading import Thread

import pytest

from headrace.devparts import maven
from headrace.errors import ConfigurationError


def program(folder: Path, name: str, script: str) -> None:
    """An executable shell script."""
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)


def test_missing_maven_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without Maven the message names it, the Debian package and the Docker way."""
    monkeypatch.setenv("HEADRACE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigurationError, match=r"(?s)mvn.*apt-get install maven.*docker compose") as caught:
        maven.fetch("kafka")
    assert "\n" not in str(caught.value)


def test_missing_java_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a JDK the message names the Debian package and the Docker way."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigurationError, match=r"java .*openjdk-17-jre-headless.*docker compose"):
        maven.java()


def test_old_java_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Java 11 is found out before Kafka fails on it."""
    program(tmp_path / "bin", "java", "echo 'openjdk version \"11.0.2\" 2019-01-15' >&2")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    with pytest.raises(ConfigurationError, match=r"not Java 17 or later .*11\.0\.2"):
        maven.java()


def test_two_at_once_fetch_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two runs that need the same jars one fetches them and the other waits; the progress ends at 1."""
    program(tmp_path / "bin", "java", "echo 'openjdk version \"17.0.1\"' >&2")
    program(
        tmp_path / "bin",
        "mvn",
        f"echo call >> {tmp_path}/calls\n"
        'for each in "$@"; do case "$each" in -Dout=*) out="${each#-Dout=}";; esac; done\n'
        'echo "Downloaded from central: a.jar (23.5 MB at 1 MB/s)"\n'
        '/bin/sleep 0.3; /bin/mkdir -p "$out"; echo jar > "$out/a.jar"',
    )
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("HEADRACE_CACHE", str(tmp_path / "cache"))
    told: list[float] = []
    threads = [Thread(target=maven.fetch, args=("kafka", lambda _, share: told.append(share))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert (maven.fetch("kafka") / "a.jar").read_text() == "jar\n"
    assert (tmp_path / "calls").read_text() == "call\n"
    assert told == [0.5, 1.0]


def test_failed_fetch_leaves_nothing_and_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Maven's own errors are shown, and the cache has no half-filled directory."""
    program(tmp_path / "bin", "java", "echo 'openjdk version \"21\"' >&2")
    program(tmp_path / "bin", "mvn", "echo '[ERROR] the network is down'; exit 1")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("HEADRACE_CACHE", str(tmp_path / "cache"))
    with pytest.raises(ConfigurationError, match="the network is down"):
        maven.fetch("kafka")
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["kafka.lock"]
