"""A service that reads several topics, one of them its own: exact, whatever is killed."""

from __future__ import annotations

import random
import signal
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


def test_what_two_topics_say_of_one_id_meets_once_whatever_is_killed(stage: Stage) -> None:
    """Two topics keyed differently meet in a third; members are killed in mid-run, and each pair is seen once."""
    draw = random.Random(2)
    count = 20_000
    left = [(f"e{number}", f"k{draw.randrange(500)}", draw.randrange(1000)) for number in range(count)]
    right = [(f"e{number}", f"j{draw.randrange(50)}", draw.randrange(1000)) for number in range(count)]
    wanted = {name: (2, amount + other) for (name, _, amount), (_, _, other) in zip(left, right, strict=True)}
    draw.shuffle(right)
    stage.start("a", HEADRACE_COMMIT_MS="20")
    stage.start("b", HEADRACE_COMMIT_MS="20")
    for part in range(0, count, count // 4):
        stage.publish(left[part : part + count // 4], "left")
        stage.publish(right[part : part + count // 4], "right")
        member = "ab"[(part // (count // 4)) % 2]
        stage.await_answers(1 + part // 4)
        stage.stop(member, signal.SIGKILL)
        stage.start(member)
    assert_exact(stage.await_answers(count, between=stage.revive), wanted)
    assert stage.stop("a") == 0, stage.logs()
    assert stage.stop("b") == 0, stage.logs()


def test_a_refused_record_is_told_by_its_own_topic(stage: Stage) -> None:
    """Two refused records at the same partition and offset of two topics are two dead letters, each with its place."""
    stage.publish([("a", "k", -1), ("b", "k", 1)], "left")
    stage.publish([("a", "k", -2), ("b", "k", 2)], "right")
    stage.start("a")
    assert_exact(stage.await_answers(1), {"b": (2, 3)})
    assert stage.stop("a") == 0, stage.logs()
    places = [(letter["topic"], letter["offset"]) for letter in stage.dead_letters()]
    assert sorted(places) == [(f"{stage.pipeline}.left", 0), (f"{stage.pipeline}.right", 0)]
