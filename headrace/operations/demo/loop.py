"""The loop as a whole: a process that shifts, a model that is trained anew and let in, two that are not."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from headrace.devparts import home as parts
from headrace.devparts.maven import Report
from headrace.domain.plans.plans import CHAMPION
from headrace.domain.simulation.simulators import World
from headrace.operations.demo.control_log import ControlLog, MarkedEvent
from headrace.operations.demo.demo import EndedDemo, clear, history, kept_of, opened
from headrace.operations.demo.loop_acts import STALE, ActMissed, LoopActs, Remark
from headrace.operations.demo.monitor import Account
from headrace.operations.demo.picture import Picture
from headrace.operations.demo.quality_course import Quality, QualityCourse
from headrace.operations.demo.report import DemoFigures
from headrace.operations.demo.scenario import Plot, Show
from headrace.operations.demo.scene import DAY_MS, Contender, Setting
from headrace.operations.demo.stream_clock import StreamClock

PIPELINE = "card_demo"
PARTITIONS = 2
UNSEEN_DAYS, HISTORY_DAYS = 28, 13
"""Compromised terminals are so for 28 days: after as many there are as many of them every day. Of the history models
learn eight days: of four, one was held out, and its loss was half of that of the days after it by chance alone."""
THE_LOOP = Setting(
    World(entities=2_000, others=1_500, shift_day=UNSEEN_DAYS + HISTORY_DAYS + 1),
    history_days=HISTORY_DAYS,
    learnt_days=12,
    contenders=(Contender(CHAMPION, "first", "lightgbm"), Contender(None, STALE, "decision_tree", {"max_depth": 2})),
    unseen_days=UNSEEN_DAYS,
    unlearnt_days=4,
)
MOST_S = 900.0
"""So many seconds of live events are made up: more than the story takes."""
WINDOW_MS = DAY_MS // 2
"""Of stream time: a point of the course of quality."""
BEFORE_MS = 2 * DAY_MS
"""So much of the history is told before the live events."""
BEHIND_S, CAUGHT_UP_S = 6.0, 3.0
"""The stream stands still while a service is further behind than this, until all are less than that."""
FOLLOWING = ("enrich", "views", "score", "shadow", "labels", "drift", "release")
"""Names of services that every event passes on the way to a decision begin so; what others do may take its time."""


@dataclass(frozen=True, slots=True)
class LoopRequest:
    """What is to be shown: live events a second, the seed of the made-up world, and whether it is left up."""

    rate: float
    seed: int
    keep: bool


@dataclass(frozen=True, slots=True)
class LoopStory:
    """What happened, in stream time (milliseconds).

    Attributes:
        pipeline: its name.
        begun, shift, ended: of the live events, the first; from which on the process is another one; the last.
        marks: every control event.
        remarks: what the demo said.
        course: of each model, its quality in windows of `WINDOW_MS`, also before the live events.
        rate: live events a second.
        seconds: that the live events took.
        held_s: for how many of these the stream stood still, as services were behind, or the notebook was.
        missed: what did not come; empty when all did.
    """

    pipeline: str
    begun: int
    shift: int
    ended: int
    marks: Sequence[MarkedEvent]
    remarks: Sequence[Remark]
    course: Mapping[str, Sequence[Quality]]
    rate: float
    seconds: float
    held_s: float
    missed: str


@dataclass(frozen=True, slots=True)
class EndedLoop(EndedDemo):
    """How it ended, and its story."""

    story: LoopStory


class LoopScreen(Protocol):
    """Where live events are told of."""

    def draw(self, picture: Picture, stream: int, waiting: str) -> None:
        """Told several times a second: how it stands, how far the stream is, and what is waited for."""

    def tell(self, said: MarkedEvent | Remark) -> None:
        """Told of everything that happens, once."""


class LoopView(Protocol):
    """Where a loop says how far it is."""

    def set_up(self) -> AbstractContextManager[Report]:
        """As `DemoView.set_up`."""

    def live(self, plot: Plot, rate: float) -> AbstractContextManager[LoopScreen]:
        """Inside, live events come in."""

    def settling(self) -> AbstractContextManager[object]:
        """Inside, the last answers are waited for."""

    def concluded(self, show: Show, figures: DemoFigures, story: LoopStory) -> None:
        """Told once what was counted, while there are still topics to be asked for more."""

    def draining(self) -> None:
        """Told that all of it is being stopped."""


class _Stage:
    """Brings acts, control events and the stream's clock together, several times a second."""

    def __init__(self, show: Show, plot: Plot, course: QualityCourse, screen: LoopScreen, rate: float) -> None:
        self.show = show
        self.plot = plot
        self.course = course
        self.screen = screen
        self.rate = rate
        self.shift = show.setting.shift
        self.over = threading.Event()
        self.clock = StreamClock(time.monotonic)
        self.begun = time.monotonic()
        self.front = int(plot.live.times[0])
        self.missed = ""
        self.remarks: list[Remark] = []
        self.waiting = ""
        self.log = ControlLog(show.settings.connection, show.contracts.channel("control"))
        self.acts = LoopActs(show, self.log, course, self.shift, self.say, self.wait)
        self._acts = self.acts.run()

    def say(self, text: str) -> None:
        """A remark of the demo's own."""
        remark = Remark(self.front, time.monotonic() - self.begun, text)
        self.remarks.append(remark)
        self.screen.tell(remark)

    def wait(self, what: str) -> None:
        self.waiting = what

    def turn(self, picture: Picture) -> None:
        """What happened since the last turn, and what follows from it."""
        went = picture.published - len(self.plot.history.times)
        self.front = self.acts.front = int(self.plot.live.times[min(max(went - 1, 0), len(self.plot.live.times) - 1)])
        behind = max((service.lag for service in picture.services if service.name.startswith(FOLLOWING)), default=0.0)
        if self.acts.still or behind > BEHIND_S or behind < CAUGHT_UP_S:
            self.clock.hold(self.acts.still or behind > BEHIND_S)
        for mark in self.log.read(self.front, time.monotonic() - self.begun):
            self.screen.tell(mark)
        if not self.over.is_set():
            self._advance()
        self.screen.draw(picture, self.front, self.waiting)

    def _advance(self) -> None:
        try:
            next(self._acts)
        except StopIteration:
            self.over.set()
        except ActMissed as missed:
            self.missed = str(missed)
            self.over.set()

    def story(self, stopped: bool) -> LoopStory:
        """What happened until now."""
        if not self.over.is_set() and not stopped:
            self.missed = f"the made-up events ran out before {self.waiting}"
        elif stopped and self.waiting and not self.missed:
            self.missed = f"stopped while it waited for {self.waiting}"
        return LoopStory(
            pipeline=self.show.contracts.pipeline.name,
            begun=int(self.plot.live.times[0]),
            shift=self.shift,
            ended=self.front,
            marks=tuple(self.log.found),
            remarks=tuple(self.remarks),
            course=self.course.course(WINDOW_MS, int(self.plot.live.times[0]) // DAY_MS * DAY_MS - BEFORE_MS),
            rate=self.rate,
            seconds=time.monotonic() - self.begun,
            held_s=self.clock.held_s,
            missed=self.missed,
        )

    def close(self) -> None:
        self.acts.close()
        self.log.close()


def run_loop(request: LoopRequest, directory: Path, stop: threading.Event, view: LoopView) -> EndedLoop:
    """Show the loop of drift, retraining and release at work, on a broker and a store of its own.

    Args:
        directory: takes all that there is of it. It is gone afterwards, unless it is to be kept, events and answers
            differ, an act did not come, or the set-up came to no end.
        stop: once set, it ends early.

    Raises:
        Stopped: told to stop during the set-up: there is nothing to account for.
        HeadraceError: the system does not come up, or not through.
    """
    course = QualityCourse()
    with ExitStack() as system, ExitStack() as services:
        with view.set_up() as report:
            clear(directory, report)
            system.callback(parts.down, directory)
            running = parts.up(directory, with_parent=not request.keep, report=report)
            show = services.enter_context(
                opened(
                    PIPELINE,
                    directory,
                    running,
                    stop,
                    report,
                    setting=THE_LOOP,
                    listen=course.take,
                    partitions=PARTITIONS,
                )
            )
            plot = history(show, int(request.rate * MOST_S), request.rate, request.seed)
        if request.keep:
            system.pop_all()  # From here on there is something to keep: broker and store outlive this.
        with view.live(plot, request.rate) as screen:
            stage = _Stage(show, plot, course, screen, request.rate)
            services.callback(stage.close)
            until = time.monotonic() + 10 * MOST_S
            show.play(plot, request.rate, until, stage.turn, stage.over, stage.clock)
        with view.settling():
            account: Account = show.settle()
        story = stage.story(stop.is_set())
        view.concluded(show, DemoFigures(account, len(plot.history.times), show.watch.latencies()), story)
        kept = kept_of(show, plot) if request.keep else None
        view.draining()
    if account.balanced and not request.keep and not story.missed:
        shutil.rmtree(directory)
    return EndedLoop(account, kept, story)
