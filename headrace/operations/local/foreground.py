"""Services of a pipeline as members that run until somebody stops them, or until they have nothing to do."""

from __future__ import annotations

import json as codec
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from headrace.devparts import process
from headrace.domain.pipeline.spec import Pipeline
from headrace.operations.local.environment import check_settings, environment
from headrace.operations.local.fleet import GRACE_S, Fleet, MemberState
from headrace.operations.local.home import STATE
from headrace.operations.local.members import Member, members, scales, variables
from headrace.operations.local.supervisor import DRAINED, STARTING

TURN_S = 0.2
IDLE_EVERY_S = 0.5
CRASHES = 6
"""Restarts in a row of a member in a run that is to end by itself: nobody may be there to see that it never will."""

Tell = Callable[[Fleet, Sequence[MemberState], bool], None]
"""Is told the fleet now and then, the members that ended since, and whether that was the last time."""


@dataclass(frozen=True, slots=True)
class MemberPlan:
    """What is to run.

    Attributes:
        members: the processes.
        env: their variables, beyond this process's own.
        drain_s: seconds for a member's drain.
        waits_for_labels: views that nobody feeds, unless the service `labels` runs somewhere else.
    """

    members: Sequence[Member]
    env: dict[str, str]
    drain_s: float
    waits_for_labels: Sequence[str]


@dataclass(frozen=True, slots=True)
class EndedRun:
    """Members that have all ended, and how."""

    members: Sequence[MemberState]

    @property
    def exit_code(self) -> int:
        """How it went, for a shell: a member's own code where it gave up.

        Who was stopped while it was starting had begun nothing, so nothing is left undone.
        """
        codes = [member.fate.code for member in self.members]
        if all(code in (DRAINED, STARTING) for code in codes):
            return 0
        return next((code for code in codes if code in (2, 3)), 1) or 1


def plan_members(
    spec: Pipeline,
    pipeline: str,
    services: Sequence[str],
    *,
    scale: Sequence[str] = (),
    prefix: str = "",
    mode: str | None = None,
    overrides: Sequence[str] = (),
    bootstrap: str | None = None,
    redis: str | None = None,
) -> MemberPlan:
    """What is to run of a pipeline, checked before anything starts.

    Args:
        spec, pipeline: the pipeline, and how members are told of it: a file, or a name.
        services: by name.
        scale: SERVICE=N.
        prefix: before members' names.
        mode, bootstrap, redis: settings; None leaves them to the environment.
        overrides: KEY=VALUE, any other setting.

    Raises:
        ConfigurationError: there is no such service or setting, or a value is none.
    """
    env = environment(pipeline, bootstrap, redis, mode, variables(overrides))
    settings = check_settings(env)
    chosen = members(spec, services, scales(scale), prefix)
    fed = "enrich" not in services or "labels" in services
    return MemberPlan(chosen, env, settings.drain_s, [] if fed else [view.name for view in spec.label_views])


def supervise(plan: MemberPlan, logs: Path | None, stop: threading.Event, idle_s: float | None, tell: Tell) -> EndedRun:
    """Run members until `stop` is set, drain them, and return how they ended.

    Args:
        plan: what runs.
        logs: takes a log of each, and the file of their states; None for a directory that goes when all is over.
        idle_s: end also once all had nothing to do for so long, or one crashed too often.
        tell: told what happens.

    Without `logs`, nobody is there to mend it: the end of one member that gave up ends all.
    """
    with _directory(logs) as directory:
        fleet = Fleet(plan.members, directory, plan.env, time.monotonic)
        states = None if logs is None else _StateFile(directory / STATE)

        def note(ended: Sequence[MemberState] = (), last: bool = False) -> None:
            tell(fleet, ended, last)
            if states is not None:
                states.write(fleet.states())

        fleet.start()
        try:
            _watch(fleet, note, stop, idle_s, persist=logs is not None)
        finally:
            fleet.stop(plan.drain_s + GRACE_S, note)
            note(last=True)
        return EndedRun(fleet.states())


def _watch(
    fleet: Fleet,
    note: Callable[[Sequence[MemberState]], None],
    stop: threading.Event,
    idle_s: float | None,
    persist: bool,
) -> None:
    """Until told to stop, all had nothing to do for `idle_s` seconds, or there is nothing left to watch."""
    asked = fleet.clock()
    while not stop.is_set() and fleet.running():
        ended = fleet.step()
        note(ended)
        if not persist and any(state.fate.gave_up for state in ended):
            return
        if idle_s is not None and any(state.fate.failures > CRASHES for state in ended):
            return
        if idle_s is not None and fleet.clock() - asked >= IDLE_EVERY_S:
            asked = fleet.clock()
            if fleet.idle_s() >= idle_s:
                return
        stop.wait(TURN_S)


class _StateFile:
    """What the members are, for `headrace status`; written when it changed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.written = ""

    def write(self, states: Sequence[MemberState]) -> None:
        document = codec.dumps([asdict(state) for state in states], indent=1)
        if document != self.written:
            process.write(self.path, document)
            self.written = document


@contextmanager
def _directory(logs: Path | None) -> Iterator[Path]:
    if logs is not None:
        yield logs.absolute()
        return
    with tempfile.TemporaryDirectory(prefix="headrace-run-") as directory:
        yield Path(directory)
