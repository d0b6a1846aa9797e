"""Two revisions of a pipeline that run here at a time: the one that answers, and the next one beside it."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from headrace.devparts import home as parts
from headrace.devparts import process
from headrace.devparts.process import Process, ProcessDied
from headrace.domain.pipeline.spec import Pipeline
from headrace.domain.pipeline.workspace import Workspace
from headrace.domain.revisions.former import pipeline_of
from headrace.domain.revisions.revision import ABANDONED, BUILDING, FIRST, SWITCHING, Revisions, digest_of
from headrace.errors import ConfigurationError
from headrace.operations.local.fleet import GRACE_S
from headrace.operations.local.home import SUPERVISOR, home
from headrace.operations.local.pipeline_file import STARTED
from headrace.operations.services import SERVICES, needed

LOOK_S = 0.2


class Drained(Protocol):
    """What is looked at of a member."""

    @property
    def name(self) -> str:
        """Of the member."""

    @property
    def pid(self) -> int | None:
        """None while it does not run."""

    @property
    def over(self) -> bool:
        """It will not be started again."""


def key_of(name: str, revision: int) -> str:
    """What runs here of a revision is called so: its supervisor, and its folder of logs.

    >>> key_of("card_fraud", 1), key_of("card_fraud", 2)
    ('card_fraud', 'card_fraud.r2')
    """
    return name if revision == FIRST else f"{name}.r{revision}"


def running(name: str) -> list[Process]:
    """The supervisors here of a pipeline, of whatever revision."""
    called = re.compile(re.escape(SUPERVISOR + name) + r"(\.r\d+)?")
    stems = [path.stem for path in sorted(home().glob(f"{SUPERVISOR}*.json"))]
    found = [process.find(stem, home()) for stem in stems if called.fullmatch(stem)]
    return [supervisor for supervisor in found if supervisor is not None]


def others(name: str, revision: int) -> list[Process]:
    """The supervisors here of other revisions of a pipeline."""
    return [each for each in running(name) if each.name != SUPERVISOR + key_of(name, revision)]


def started_as(supervisor: Process) -> str:
    """The pipeline file with which services were started here; empty where a former version kept none."""
    path = home() / "logs" / supervisor.name.removeprefix(SUPERVISOR) / STARTED
    return path.read_text("utf-8") if path.exists() else ""


def may_follow(path: Path, after: Pipeline, before: Sequence[Process], known: Revisions) -> bool:
    """Whether a file's services may be started beside those of the revision that answers; else they take their place.

    Args:
        path: of the file.
        after: what it says.
        before: the supervisors of other revisions.
        known: what the topic of revisions says.

    Raises:
        ConfigurationError: it is not the next revision, or nobody announced it.
        ContractError: it is not what was announced.
    """
    name, number = after.name, after.revision
    mine = known.newest.get(number)
    if mine is None or mine.state == ABANDONED:
        runs = ", ".join(each.name.removeprefix(SUPERVISOR) for each in before)
        raise ConfigurationError(
            f"{path} says something else than when its services were started: {runs} runs, and the file is revision "
            f"{number}. headrace revise {name} says what changes; once it was announced by --build, headrace up {name} "
            "starts it beside the one that runs"
        )
    known.succession(number, digest_of(after))
    return mine.state in (BUILDING, SWITCHING)


def shared_members(before: Pipeline, after: Pipeline) -> list[str]:
    """What names of members begin with whose group the next revision has, too: two files in one group would not do.

    >>> from headrace.domain.pipeline.check import load
    >>> file = load(Path("pipelines/card_fraud.yaml"))
    >>> shared_members(file, file)[:3]
    ['enrich-', 'views-terminal-', 'score-']
    """
    theirs = {group for name in needed(after) for group, _, _ in SERVICES[name].groups(after)}
    return [
        f"{name}-{view}-" if view else f"{name}-"
        for name in needed(before)
        for group, view, _ in SERVICES[name].groups(before)
        if group in theirs
    ]


def drain(
    supervisor: Process,
    after: Pipeline,
    path: Path,
    members: Callable[[Process], Sequence[Drained]],
    drain_s: float,
) -> None:
    """Have members drain whose groups the next revision has, too; those that are its own stay.

    Raises:
        ProcessDied: one did not drain in time.
    """
    before = pipeline_of(started_as(supervisor), path.name, Workspace.of(path))
    shared, told = tuple(shared_members(before, after)), set[int]()
    end = time.monotonic() + drain_s + 2 * GRACE_S
    while waiting := [each for each in members(supervisor) if each.name.startswith(shared) and not each.over]:
        for member in waiting:
            if member.pid is not None and member.pid not in told:
                told.add(member.pid)
                with suppress(ProcessLookupError):
                    os.kill(member.pid, signal.SIGTERM)
        if time.monotonic() > end:
            names = ", ".join(each.name for each in waiting)
            raise ProcessDied(f"{names} did not drain: see {home() / 'logs'}; then headrace up again")
        time.sleep(LOOK_S)


def runs_here(bootstrap: str) -> bool:
    """Whether a broker is the one of this directory."""
    return any(part.address == bootstrap for part in parts.status(home()) if part.name == "kafka")


def end_others(name: str, revision: int, drain_s: float) -> list[str]:
    """Stop what runs here of other revisions of a pipeline; which those were."""
    found = others(name, revision)
    for supervisor in found:
        supervisor.stop(grace=drain_s + 2 * GRACE_S)
    return [supervisor.name.removeprefix(SUPERVISOR) for supervisor in found]
