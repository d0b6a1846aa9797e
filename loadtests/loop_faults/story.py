"""What happens in the loop: stages of events and labels, and what people ask for, each once all before is taken in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pyarrow as pa

from headrace.columnar.partitioner import partitions_of
from headrace.domain.control.retrain import ModelRegistered
from loadtests.loop_faults.cards import StageEvents, stage_events
from loadtests.loop_faults.loop import PARTITIONS, Loop

FIRST, ROWS = 600, 250
"""Events of the stage before anything happens, and of each that follows."""
CHAMPION = ("", "", "release_advanced", "release_promoted")
SETTLED = (*CHAMPION, "release_settled")
"""What each stage of a release brings about."""
BAD, WEIGHT = "bad", -0.05
"""A model that weighs the amount the wrong way round."""


@dataclass
class Story:
    """The loop as it goes on.

    Attributes:
        loop: the parts.
        say: told what happens.
        kill_people: kill their commands once the request is written, before an answer is.
        stage, published: stages that began, and events so far.
    """

    loop: Loop
    say: Callable[[str], None]
    kill_people: bool = False
    stage: int = 0
    published: int = 0

    def play(self, short: bool = False) -> None:
        """All of it: a change of inputs, a training, a release until it is settled; a bad model, and its roll-back.

        Args:
            short: up to the new champion alone.
        """
        self.begin()
        self.drift()
        self.release(CHAMPION if short else SETTLED)
        if not short:
            self.roll_back()

    def begin(self) -> None:
        """A poor champion, and labelled events, which a training will learn from."""
        loop = self.loop
        loop.crown("poor", 0.01)
        for member in loop.members:
            loop.start(member)
        self.events(FIRST)
        self.labels_of_last()

    def drift(self) -> None:
        """Amounts move: an incident opens, and a training answers it, whose model people are asked to approve."""
        self.events(shifted=True, until=lambda: self.told("approval_requested"))
        (found,) = [e.finding for e in self.loop.events() if isinstance(e.finding, ModelRegistered)]
        self.candidate = found.model
        self.ask("approve", self.candidate, "release_started")
        self.labels_of_last()

    def release(self, course: Sequence[str]) -> None:
        """Amounts are as they were, and the candidate goes through the dark and a canary."""
        for then in course:
            self.step(then)

    def roll_back(self) -> None:
        """A person registers a model that is worse than all, lets it answer, and evidence puts it back."""
        loop = self.loop
        loop.put(BAD, WEIGHT)
        model = f"loop@{BAD}"
        if self.kill_people:
            loop.ask_and_die("register", model)
        else:
            loop.ask("register", model)
        loop.calm("the request for an approval", lambda: self.told("approval_requested", model))
        self.ask("approve", model, "release_started")
        self.ask("promote", model, "release_advanced")
        self.step("")
        self.step("release_rolled_back")
        self.step("")

    # ---- steps ---------------------------------------------------------------------------------------------------

    def step(self, then: str) -> None:
        """A stage of events, and then its labels; `then` a decision is there."""
        self.events()
        self.labels_of_last(then)

    def events(self, count: int = ROWS, shifted: bool = False, until: Callable[[], bool] = lambda: True) -> None:
        """Publish the events of a stage, and wait until they are taken in."""
        self.last = stage_events(self.stage, self.published, count, shifted)
        self.stage += 1
        self.published += count
        self.say(f"stage {self.stage}: {count} events")
        self.loop.publish(self.last.events, "customer_id")
        self.loop.calm(f"calm after the events of stage {self.stage}", lambda: self._scored() and until())

    def labels_of_last(self, then: str = "") -> None:
        """Publish the labels of the stage, and wait until they are taken in.

        One partition after the other: outcomes of several meet in those of their entities in the order in which they
        are written, and `drift` watches them in that order.
        """
        self.say(f"stage {self.stage}: its labels")
        labels = self.last.labels
        where = partitions_of(labels["event_id"], PARTITIONS)
        for partition in range(PARTITIONS):
            if partition:
                self.loop.calm(f"calm after the labels of partition {partition - 1} of stage {self.stage}")
            self.loop.publish(labels.filter(pa.array(where == partition)), "event_id", "labels")
        self.loop.calm(
            f"calm after the labels of stage {self.stage}, and {then!r}", lambda: not then or self.told(then)
        )

    def ask(self, what: str, model: str, then: str) -> None:
        """A person asks by the command; all is taken in."""
        self.say(f"a person: {what} {model}")
        if self.kill_people:
            self.loop.ask_and_die(what, model)
        else:
            self.loop.ask(what, model)
        self.loop.calm(f"calm after {what} {model}", lambda: self.told(then, model))

    def told(self, kind: str, model: str = "") -> bool:
        """Whether there is a control event of a kind, about a model."""
        return any(
            event.finding.type == kind and (not model or getattr(event.finding, "model", "") == model)
            for event in self.loop.events()
        )

    def _scored(self) -> bool:
        return self.loop.count("predictions") >= self.published

    last: StageEvents = None  # type: ignore[assignment]  # there is none before the first
    candidate: str = ""
