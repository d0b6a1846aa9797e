"""A group that stands still is noticed, and the process ends, to be started again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from headrace.devparts.kafka import Kafka
from headrace.domain.control.drift import DriftOpened
from services.retrain.stall import StallBound, Stalled
from tests.conftest import started
from tests.retrain.loop import MEMBER, Loop

pytestmark = pytest.mark.faults


def test_a_group_that_takes_nothing_is_noticed() -> None:
    """After the bound, where something waits or nobody knows; never where nothing waits."""
    bound = StallBound(60.0, 0.0)
    bound.note(0, 0, 50.0)
    bound.note(3, 0, 100.0)
    bound.note(3, 1, 109.0)  # one was taken
    bound.note(2, 1, 169.0)
    with pytest.raises(Stalled, match="2 control events wait, and none was taken for 61 s"):
        bound.note(2, 1, 170.0)
    silent = StallBound(60.0, 0.0)
    silent.note(None, 0, 60.0)
    with pytest.raises(Stalled, match="Kafka does not say"):
        silent.note(None, 0, 61.0)
    quiet = StallBound(60.0, 0.0)
    for now in range(0, 1_000, 10):
        quiet.note(0, 0, float(now))


@pytest.fixture
def kafka_of_its_own(tmp_path: Path) -> Iterator[Kafka]:
    """A broker of this test's own."""
    kafka = Kafka(tmp_path / "kafka", heap="512m", brief=True, with_parent=True)
    started(kafka.start)
    yield kafka
    kafka.stop()


@pytest.mark.slow
def test_a_broker_that_stands_still_ends_the_process_and_loses_nothing(
    kafka_of_its_own: Kafka, pipeline_name: str, tmp_path: Path
) -> None:
    """Frozen for longer than the bound: the member ends; the next one waits for the broker, and answers all, once."""
    loop = Loop(pipeline_name, tmp_path / "p", kafka_of_its_own.address)
    loop.settings |= {"HEADRACE_STALL_S": "5"}
    try:
        loop.start(MEMBER)
        loop.say("t0", DriftOpened("i0", "predictions", 5, model="m@1"))
        loop.wait(lambda: len(loop.began()) == 1, "the job")
        process = loop.processes[MEMBER]
        broker = kafka_of_its_own.process(1)
        assert broker is not None
        broker.freeze()
        try:
            assert process.wait(90) == 1, loop.logs()
            assert "Kafka does not say what there is" in loop.logs()
            loop.start(MEMBER)
            loop.wait(lambda: "Kafka does not answer yet" in loop.logs(), "that the next one waits")
            waiting = loop.processes[MEMBER].pid
        finally:
            broker.thaw()
        assert not loop.running(), "a job outlives its service"
        loop.say("t1", DriftOpened("i1", "predictions", 6, model="m@1"))
        loop.wait(lambda: "t1" in loop.answers(), "the answer afterwards")
        assert loop.answers() == {"t0": "started", "t1": "active"}
        loop.wait(lambda: len(loop.began()) == 2, "the job again")
        (loop.jobs / "go").touch()
        loop.wait(lambda: "model_registered" in loop.kinds(), "the end of the training")
        assert loop.kinds().count("retrain_finished") == 1
        assert loop.processes[MEMBER].pid == waiting, loop.logs()
    finally:
        loop.close()
