"""Stories of a loop, made by hand."""

from __future__ import annotations

from headrace.domain.control.base import ControlFinding
from headrace.domain.control.drift import DriftHarmed, DriftOpened
from headrace.domain.control.events import ControlEvent
from headrace.domain.control.release import (
    ApprovalGiven,
    ReleaseAdvanced,
    ReleasePromoted,
    ReleaseRejected,
    ReleaseRolledBack,
    ReleaseStarted,
)
from headrace.domain.control.retrain import ModelEvaluated, RetrainFinished, RetrainProgress, RetrainStarted
from headrace.operations.demo.control_log import MarkedEvents
from headrace.operations.demo.loop import LoopStory
from headrace.operations.demo.loop_acts import Remark
from headrace.operations.demo.quality_course import Quality

HOUR = 3_600_000
BEGUN = 1_525_000_000_000
EVENTS: list[tuple[str, ControlFinding]] = [
    ("drift", DriftOpened("outcomes/1", "outcomes", BEGUN, None, "m@1")),
    ("drift", DriftHarmed("outcomes/1", "outcomes", BEGUN, None, "m@1", basis="labels")),
    ("retrain", RetrainStarted("drift/1", "harm", "r-1", "{}")),
    *(("retrain", RetrainProgress("r-1", stage)) for stage in ("fix", "read", "fit")),
    ("retrain", RetrainFinished("r-1", "m@2", "sha256:22")),
    ("retrain", ModelEvaluated("m@2", "sha256:22", verdict="passed", outcomes=5_000, champion="m@1")),
    ("ana <of risk>", ApprovalGiven("m@2", "sha256:22", "it is better")),
    ("release", ReleaseStarted("1", "m@2", "sha256:22", "shadow")),
    ("release", ReleaseAdvanced("1", "m@2", "sha256:22", "canary", share="20%")),
    ("release", ReleasePromoted("1", "m@2", "sha256:22", "guarded")),
    ("release", ReleaseRejected("2", "m@3", "sha256:33", "rejected")),
    ("release", ReleaseRolledBack("3", "m@4", "sha256:44", "rolled_back")),
]


def marked(events: list[tuple[str, ControlFinding]], at: int = 20 * HOUR) -> MarkedEvents:
    """Events that come all at one moment of the stream, the hardest to draw."""
    found = MarkedEvents()
    for number, (actor, finding) in enumerate(events):
        found.take(ControlEvent(f"e{number}", "cards", BEGUN + number, actor, finding), BEGUN + at, 40.0 + number)
    return found


def quality(hours: int, precision: float | None, answered: float = 1.0) -> Quality:
    """Of six hours from `hours` after the beginning on."""
    start = BEGUN + hours * HOUR
    return Quality(start, start + 6 * HOUR, 1_000, 50, answered, precision, 0.9, 0.01)


def story(missed: str = "") -> LoopStory:
    """Two models, of which the second takes over, and all that was said about them."""
    course = {
        "m@1": [quality(0, 0.9), quality(6, 0.9), quality(12, 0.5), quality(18, 0.5, 0.0)],
        "m@2": [quality(12, None, 0.0), quality(18, 0.8), quality(24, 0.85)],
    }
    return LoopStory(
        pipeline="cards",
        begun=BEGUN,
        shift=BEGUN + 12 * HOUR,
        ended=BEGUN + 30 * HOUR,
        marks=tuple(marked(EVENTS).found),
        remarks=(Remark(BEGUN + 12 * HOUR, 30.0, "the process <shifts>"),),
        course=course,
        rate=500.0,
        seconds=60.0,
        held_s=0.0,
        missed=missed,
    )
