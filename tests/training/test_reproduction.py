"""`headrace models reproduce`: a stored model trained again is the same, or it is said what is otherwise."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from headrace.cli.main import application
from headrace.domain.models.package import load, pack
from headrace.domain.models.store import ModelStore
from headrace.domain.training.job.order import TrainingOrder, WindowCandidate
from tests.training.jobs import carry_out
from tests.training.meters import DRIFT, HOUR, MINUTE, ROWS, Meters

Command = Callable[..., tuple[int, Any]]
WINDOWS = (
    WindowCandidate(kind="since", name="drift", start=DRIFT * MINUTE),
    WindowCandidate(kind="sliding", name="day", length=24 * HOUR),
    WindowCandidate(kind="growing", name="growing", half_life=6 * HOUR),
)


@pytest.fixture
def headrace(capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs a command; its exit code and the JSON that it prints."""

    def run(*arguments: str) -> tuple[int, Any]:
        capsys.readouterr()  # what was printed by others
        code = application()([*arguments, "--json"], prog_name="headrace", standalone_mode=False)
        return int(code or 0), json.loads(capsys.readouterr().out)

    return run


def test_reproduce(kafka: str, tmp_path: Path, headrace: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """From outcomes and from features and labels; another pipeline file, another package and lost records are told."""
    meters = Meters(tmp_path / "meters", kafka)
    meters.fill()
    for name, value in meters.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    order = TrainingOrder(pipeline=str(meters.path), version="1", trees=10, windows=WINDOWS, stop=(ROWS - 100) * MINUTE)
    result = carry_out(order, tmp_path / "job").result
    assert [window.name for window in result.windows] == [window.name for window in WINDOWS]
    assert result.chosen == "drift", "the others know a world that is gone"

    meters.fill(0, 60)  # what comes later has no part in it
    named = ("--pipeline", str(meters.path), "--bootstrap", kafka)
    code, told = headrace("models", "reproduce", "meters@1", *named)
    assert (code, told["state"], told["again"]) == (0, "identical", result.digest), told
    _, shown = headrace("models", "show", "meters@1")
    assert shown["card"]["chosen"] == "drift"

    store = ModelStore(meters.environment()["HEADRACE_MODELS"], tmp_path / "cache")
    package = load(store.fetch(result.uri, result.digest), result.digest)
    forged = package.manifest.model_copy(
        update={"version": "2", "libraries": {**package.manifest.libraries, "onnx": "1"}}
    )
    assert package.reference is not None
    store.put(
        pack(forged, package.graph, package.reference, package.held_out, package.model_card, package.continuation)
    )
    code, told = headrace("models", "reproduce", "meters@2", *named)
    assert (code, told["state"]) == (1, "different")
    assert [one["what"] for one in told["circumstances"]] == ["library onnx"]
    assert [one["what"] for one in told["differences"]] == ["model.yaml: libraries.onnx"]

    meters.path.write_text(meters.path.read_text().replace("unlabelled_is: 0", "unlabelled_is: 0, expires_after: 91d"))
    code, told = headrace("models", "reproduce", "meters@1", *named)
    assert code == 1
    assert [one["what"] for one in told["circumstances"]] == ["pipeline file, labels: expires_after"]
    assert [one["what"] for one in told["differences"]] == ["card.json: window.labels.expires_after"]

    _goes_on(meters, headrace, tmp_path, named)  # while its records are there
    topic = f"{meters.name}.outcomes"
    ranges = package.manifest.training.offsets[topic]
    places = [TopicPartition(topic, partition, start + 1) for partition, (start, _) in ranges.items()]
    admin = AdminClient({"bootstrap.servers": kafka})
    for done in admin.delete_records(places).values():
        done.result(timeout=60)
    code, told = headrace("models", "reproduce", "meters@1", *named)
    assert (code, told["state"], told["again"]) == (3, "gone", None)
    partition, (start, stop) = next(iter(ranges.items()))
    assert f"[{partition}] {start:,} to {stop:,} are wanted, {start + 1:,} to " in told["gone"]


def _goes_on(meters: Meters, headrace: Command, folder: Path, named: tuple[str, ...]) -> None:
    """A model that learnt on from another is made again from it, and not without it."""
    first = carry_out(
        TrainingOrder(pipeline=str(meters.path), version="3", trees=10, holdout=0, stop=(DRIFT + 400) * MINUTE),
        folder / "first",
    ).result
    on = WindowCandidate(kind="continued", name="on", base_version="3", base_digest=first.digest, trees=20)
    order = TrainingOrder(pipeline=str(meters.path), version="4", trees=10, windows=(WINDOWS[2], on))
    made = carry_out(order, folder / "second").result
    assert made.chosen == "on"
    assert [window.base for window in made.windows] == [None, "meters@3"]
    assert made.windows[0].behind is not None
    code, told = headrace("models", "reproduce", "meters@4", *named)
    assert (code, told["state"], told["again"]) == (0, "identical", made.digest), told
    place = Path(first.uri.removeprefix("file://"))
    place.rename(place.with_name("away"))
    copies = list(folder.rglob(first.digest.removeprefix("sha256:")))
    assert copies, "what the job and the command fetched"
    for cached in copies:
        shutil.rmtree(cached)
    code, told = headrace("models", "reproduce", "meters@4", *named)
    assert (code, told["state"]) == (3, "gone"), told
    assert "the model that on goes on from is not to be had" in told["gone"]
