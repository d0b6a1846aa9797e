"""A service that reads several topics, one of them its own. Kills of its members are in `tests/simulated`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.streaming.test_runner import Stage, assert_exact


class MeetingStage(Stage):
    """The same stage for the other toy service."""

    module = "tests.streaming.meeting"
    inputs = ("left", "right", "exchange")


@pytest.fixture
def stage(kafka: str, pipeline_name: str, tmp_path: Path) -> Iterator[Stage]:
    """Topics and processes of one test; what still runs is killed at the end."""
    made = MeetingStage(kafka, pipeline_name, tmp_path)
    yield made
    made.close()


def test_a_refused_record_is_told_by_its_own_topic(stage: Stage) -> None:
    """Two refused records at the same partition and offset of two topics are two dead letters, each with its place."""
    stage.publish([("a", "k", -1), ("b", "k", 1)], "left")
    stage.publish([("a", "k", -2), ("b", "k", 2)], "right")
    stage.start("a")
    assert_exact(stage.await_answers(1), {"b": (2, 3)})
    assert stage.stop("a") == 0, stage.logs()
    places = [(letter["topic"], letter["offset"]) for letter in stage.dead_letters()]
    assert sorted(places) == [(f"{stage.pipeline}.left", 0), (f"{stage.pipeline}.right", 0)]
