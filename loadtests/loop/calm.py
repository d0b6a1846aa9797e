"""When a step of a replay is over: all that follows from it is written, and nobody has anything left to do."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from types import TracebackType

import pyarrow as pa

from headrace.domain.control.events import ControlEvent, read_event
from headrace.domain.control.retrain import RetrainStarted
from headrace.domain.plans.plans import CANARY, CHAMPION
from headrace.domain.retrain.history import TrainingHistory
from headrace.domain.training.dataset import milliseconds
from loadtests.arena import kernels, stuck
from loadtests.following import Follower
from loadtests.meters import Meter
from tests.project import Project

QUIET_S = 900.0
"""Without anything new for so long, something hangs: a training may take some minutes on a busy machine."""
IDLE_S = 1.0
"""All members have had nothing to do for so long, twice what `retrain` takes between two looks at the schedule."""
PUBLISHED = pa.array([CHAMPION, CANARY])
SAID = ("event_id", "event_time", "score", "arm")


class Observer:
    """Follows predictions, outcomes and control events of a project, and tells when all is calm.

    Args:
        members: those that must have nothing to do.

    Attributes:
        answers: what was published, a table a batch: event_id, event_time, score, arm, version.
        control: all control events, in their order.
        steps: of each control event the end of the step in which it was seen, milliseconds of event time.
        outcomes: first outcomes of what was published; `corrected`: those that said something else afterwards.
        restarts: members that ended by themselves and were started again.
    """

    def __init__(self, project: Project, members: tuple[str, ...]) -> None:
        self.answers: list[pa.Table] = []
        self.control: list[ControlEvent] = []
        self.steps: list[int] = []
        self.outcomes = self.corrected = 0
        self.restarts: list[str] = []
        self._given = 0
        self._project = project
        self._members = members
        self._history = TrainingHistory()
        self._meters: dict[str, Meter] = {}
        with ExitStack() as stack:
            self._followers = {
                logical: stack.enter_context(Follower(project.connection, project.contracts.channel(logical)))
                for logical in ("predictions", "outcomes", "control")
            }
            self._open = stack.pop_all()

    def settle(self, step: int, given: int, outcomes: int) -> None:
        """Return once so many events were answered, so many answers have an outcome, and nobody has anything to do.

        Args:
            step: end of what was published, milliseconds of event time.

        Raises:
            AssertionError: it does not come to that, or a member ended; with what members say.
        """
        changed = time.monotonic()
        while True:
            self._revive()
            seen = self._poll(step)
            now = time.monotonic()
            if seen:
                changed = now
            elif self._given >= given and self.outcomes >= outcomes and self._nothing_to_do():
                break
            assert now - changed < QUIET_S, (
                f"{self._given} of {given} answers, {self.outcomes} of {outcomes} outcomes, "
                f"{self._pending()}\n{stuck(self._project)}"
            )
        assert (self._given, self.outcomes) == (given, outcomes), (
            f"{self._given} answers to {given} events, {self.outcomes} outcomes of {outcomes} labels"
        )

    def close(self) -> None:
        """Follow no more."""
        self._open.close()

    def __enter__(self) -> Observer:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _revive(self) -> None:
        """Start members again that ended by themselves, as a supervisor does, and note which."""
        ended = [member for member, process in self._project.processes.items() if process.poll() is not None]
        self._project.revive()
        for member in ended:
            self.restarts.append(member)
            self._meters[member] = Meter(self._project, member)

    def _poll(self, step: int) -> int:
        """Take in what there is; how many records that were."""
        count = 0
        for logical, follower in self._followers.items():
            while True:
                _, intake = follower.poll(0.05)
                if intake is None:
                    break
                count += len(intake.batch)
                self._take(logical, intake.batch.columns, step)
        return count

    def _take(self, logical: str, rows: pa.RecordBatch, step: int) -> None:
        if logical == "predictions":
            version = kernels.struct_field(rows["model"], "version")
            self.answers.append(pa.Table.from_batches([rows]).select(SAID).append_column("version", version))
            self._given += len(rows)
        elif logical == "outcomes":
            ours, revision = kernels.is_in(rows["arm"], value_set=PUBLISHED), rows["revision"]
            self.outcomes += int(kernels.sum(kernels.and_(ours, kernels.equal(revision, 0))).as_py() or 0)
            self.corrected += int(kernels.sum(kernels.and_(ours, kernels.equal(revision, 1))).as_py() or 0)
        else:
            for row in rows.to_pylist():
                event = read_event(row)
                if event is not None:
                    self._history.fold(event)
                    self.control.append(event)
                    self.steps.append(step)

    def _pending(self) -> str:
        """What trainings and evaluations are still to come; empty for none."""
        waits = [f"trigger {trigger.event_id}" for trigger in self._history.open()]
        if self._history.active is not None:
            waits.append(f"training {self._history.active.run}")
        return ", ".join([*waits, *(f"evaluation of {each.model}" for each in self._history.unjudged.values())])

    def _nothing_to_do(self) -> bool:
        return not self._pending() and all(self._idle(member) >= IDLE_S for member in self._members)

    def _idle(self, member: str) -> float:
        if member not in self._meters:
            self._meters[member] = Meter(self._project, member, whole_log=True)
        try:
            return self._meters[member].metrics().get(("headrace_idle_seconds", ""), 0.0)
        except OSError:  # It ended just now, or answers nobody: the next look tells.
            return 0.0


def published(answers: list[pa.Table]) -> pa.Table:
    """All answers as one table, one row an event."""
    found = pa.concat_tables(answers).combine_chunks()
    assert len(found["event_id"].unique()) == len(found), "an event was answered twice"
    return found


def started(events: list[ControlEvent]) -> Iterator[RetrainStarted]:
    """Trainings that began."""
    for event in events:
        if isinstance(event.finding, RetrainStarted):
            yield event.finding


def times(rows: pa.Table) -> pa.Array:
    """Event times in milliseconds."""
    return milliseconds(rows["event_time"])
