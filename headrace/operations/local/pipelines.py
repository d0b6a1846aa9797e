"""A pipeline with all that it needs, in the background of this machine: up, down, and how it is."""

from __future__ import annotations

import json as codec
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from headrace.devparts import home as parts
from headrace.devparts import process
from headrace.devparts.lock import exclusive
from headrace.devparts.maven import Report
from headrace.devparts.process import Process, ProcessDied
from headrace.domain.pipeline.check import load
from headrace.domain.pipeline.wiring import read_contracts
from headrace.domain.pipeline.workspace import resolve
from headrace.errors import ConfigurationError
from headrace.operations.local.environment import check_settings, environment
from headrace.operations.local.fleet import GRACE_S, ask, remarks
from headrace.operations.local.home import STATE, SUPERVISOR, home
from headrace.operations.local.leftovers import Leftovers
from headrace.operations.local.leftovers import forget as forget_files
from headrace.operations.local.members import members, scales, variables
from headrace.operations.local.pipeline_file import check_answering, check_unchanged, note_started
from headrace.operations.local.revision_pair import drain, end_others, key_of, may_follow, others
from headrace.operations.local.supervisor import DRAINED, STARTING, Fate, outcome, told
from headrace.operations.progress import ProgressView, Say
from headrace.operations.revision.steps import RevisionSteps
from headrace.operations.services import needed
from headrace.operations.topics.provisioning import provision
from headrace.streaming.process.settings import Settings, read_settings

READY_S = 60.0
TURN_S = 0.3
NOTED_S = 2.0
OFTEN = 4
NO_PLAN, NO_TOPIC, COMPILING = "no plan", "no topic", "kernels are being compiled"
"""What members say of themselves that is no trouble."""
_PLACES = {"HEADRACE_TRAININGS": "trainings", "HEADRACE_MODEL_CACHE": "models"}
"""Variables that say where services keep files of their own, and the folder of the home where they do not."""
_STOPPED = "{} was stopped while it was starting, by headrace down"


@dataclass(frozen=True, slots=True)
class MemberStatus:
    """A member and what it says of itself.

    Attributes:
        ready: whether it takes records; else `missing` says what for.
        code: how it ended the last time; None before that.
        over: it will not be started again.
        failures: how often in a row it ended soon after its start.
        remarks: what it noted of records, and how often.
    """

    name: str
    service: str
    pid: int | None
    port: int
    ready: bool
    missing: str
    restarts: int
    code: int | None
    over: bool
    failures: int
    remarks: Mapping[str, int]

    @property
    def failing(self) -> bool:
        """Whether it ended so often in a row that it is not to be waited for; it is started again all the same."""
        return not self.up and self.failures >= OFTEN

    @property
    def waits_for_plan(self) -> bool:
        """Whether all that it lacks is a plan."""
        return NO_PLAN in self.missing

    @property
    def up(self) -> bool:
        """Ready, or only waiting for a plan or a producer's topic."""
        return self.ready or self.waits_for_plan or NO_TOPIC in self.missing


@dataclass(frozen=True, slots=True)
class RunningPipeline:
    """What `up` started or found: addresses of its parts (None: not started), its members, and where their logs are."""

    pipeline: str
    bootstrap: str
    redis: str
    registry: str | None
    members: Sequence[MemberStatus]
    logs: str


@dataclass(frozen=True, slots=True)
class LocalStatus:
    """What runs here: parts, and the members of each pipeline."""

    parts: Sequence[parts.PartStatus]
    pipelines: Mapping[str, Sequence[MemberStatus]]

    @property
    def ready(self) -> bool:
        """Whether anything was started, and all of it is there."""
        good = all(member.ready for found in self.pipelines.values() for member in found)
        return bool(self.parts) and good and all(part.running for part in self.parts)


def up(
    pipeline: str,
    *,
    scale: Sequence[str] = (),
    registry: bool = False,
    partitions: int | None = None,
    overrides: Sequence[str] = (),
    progress: ProgressView,
    starting: Callable[[], AbstractContextManager[Report]],
) -> RunningPipeline:
    """Start a broker, a store and the pipeline's services, with its schemas and topics; a repeat finds what runs.

    The file of a revision that was announced and follows the one that runs here is started beside it: what both have,
    such as `score`, goes on with the new file. Once it answers, a repeat stops what is left of the one before.

    Args:
        pipeline: a file, or the name of one.
        scale: SERVICE=N.
        registry: a schema registry too.
        partitions: of topics that are new.
        overrides: KEY=VALUE, settings of all services.
        progress: told what is waited for.
        starting: inside, parts are downloaded and started.

    Returns when every service is ready, waits for a plan or goes on failing, or when nothing changed for a minute.

    Raises:
        ConfigurationError: the pipeline, an option or a setting is wrong, a member gave up, the file is no more what
            runs here, or it is of a revision that does not answer.
        ContractError: it is of a revision that may not run.
        ProcessDied: the supervisor ended, or was stopped.
    """
    path = resolve(pipeline, Path.cwd())
    spec = load(path)
    services = needed(spec)
    protocol = read_settings(Settings, pipeline=str(path)).connection.properties.get("security.protocol", "plaintext")
    if protocol.lower() != "plaintext":
        raise ConfigurationError(
            f"HEADRACE_KAFKA asks for {protocol}, which is for a cluster of yours: the broker that `up` starts listens "
            "on this machine alone and asks for no password. Unset it, or start services with: headrace run"
        )
    members(spec, services, scales(scale))  # a wrong --scale is said before anything starts
    with _alone(progress):
        with starting() as report:
            running = parts.up(home(), registry, report=report)
        env = environment(str(path), running.bootstrap, running.redis, None, {**_places(), **variables(overrides)})
        if running.registry is not None:
            env["HEADRACE_REGISTRY"] = running.registry
        check_settings(env)
        own = read_settings(Settings, pipeline=str(path), bootstrap=running.bootstrap, registry=running.registry)
        key = key_of(spec.name, spec.revision)
        supervisor, before = process.find(SUPERVISOR + key, home()), others(spec.name, spec.revision)
        if supervisor is not None:
            check_unchanged(path, home() / "logs" / key)
        if before:
            known = RevisionSteps(own.connection, read_contracts(own)).known()
            with progress.stage(f"draining {', '.join(each.name.removeprefix(SUPERVISOR) for each in before)}"):
                if not may_follow(path, spec, before, known):
                    end_others(spec.name, spec.revision, own.drain_s)
                elif supervisor is None:
                    for each in before:
                        drain(each, spec, path, _members, own.drain_s)
        provision(own, partitions)
        if supervisor is None:
            if not before:
                check_answering(own.connection, read_contracts(own))
            supervisor = _supervise(key, path, services, scale, env)
    with progress.stage("starting services") as say:
        found = _when_ready(key, supervisor, say)
    return RunningPipeline(
        spec.name, running.bootstrap, running.redis, running.registry, found, str(home() / "logs" / key)
    )


@dataclass(frozen=True, slots=True)
class StoppedHome:
    """What `down` did.

    Attributes:
        ran: whether anything ran.
        parts: names of the parts whose data was deleted.
        forgotten: what else was deleted, and what stays; None where nothing was to be forgotten.
    """

    ran: bool
    parts: Sequence[str] = ()
    forgotten: Leftovers | None = None


def down(forget: bool, progress: ProgressView, undrained: Callable[[str, str], None]) -> StoppedHome:
    """Drain all services that `up` started, then stop broker and stores.

    Args:
        forget: delete what pipelines left here, too; see `leftovers.forget`.
        progress: told what is waited for.
        undrained: told the name of a member that did not drain, and what it did instead.
    """
    if not (home().is_symlink() or home().exists()):
        return StoppedHome(False, (), _forget() if forget else None)
    with _alone(progress):
        supervisors = _supervisors()
        for supervisor in supervisors:
            name = supervisor.name.removeprefix(SUPERVISOR)
            with progress.stage(f"draining {name}"):
                drain = read_settings(Settings, pipeline=supervisor.name).drain_s
                supervisor.stop(grace=drain + 2 * GRACE_S)
            for member, how in _undrained(name):
                undrained(member, how)
        found = parts.status(home())
        ran = bool(supervisors) or any(part.pids for part in found)
        with progress.stage("stopping broker and stores"):
            parts.down(home(), forget=forget)
        if not forget:
            return StoppedHome(ran)
        return StoppedHome(ran, [part.name for part in found], _forget())


def status() -> LocalStatus:
    """What runs here: broker, stores and services."""
    found = parts.status(home())
    pipelines = {supervisor.name.removeprefix(SUPERVISOR): _members(supervisor) for supervisor in _supervisors()}
    return LocalStatus(found, pipelines)


def _forget() -> Leftovers:
    models = os.environ.get("HEADRACE_MODELS") or str(Settings.model_fields["models"].default)
    return forget_files(home(), models, [Path(os.environ[name]) for name in _PLACES if os.environ.get(name)])


def _places() -> dict[str, str]:
    """What services keep beside the broker's data lies in the home, too, unless somebody says otherwise."""
    return {name: str(home() / folder) for name, folder in _PLACES.items() if name not in os.environ}


def _supervise(
    pipeline: str, path: Path, services: Sequence[str], scale: Sequence[str], env: Mapping[str, str]
) -> Process:
    """A process of its own that runs the services, as `headrace run` does."""
    logs = home() / "logs" / pipeline
    (logs / STATE).unlink(missing_ok=True)
    note_started(path, logs)
    run = [sys.executable, "-m", "headrace.cli", "run", *services, f"--pipeline={path}", f"--logs={logs}"]
    return process.start(SUPERVISOR + pipeline, [*run, *(f"--scale={pair}" for pair in scale)], home(), env=env)


@contextmanager
def _alone(progress: ProgressView) -> Iterator[None]:
    """Against another `up` or `down` of this home: each begins with what the other has left, whole."""
    with ExitStack() as held:
        with progress.stage("waiting for another headrace up or down to be done"):
            held.enter_context(exclusive(home() / "up.lock"))
        yield


def _undrained(pipeline: str) -> list[tuple[str, str]]:
    """Members of a supervisor that has ended which did not drain, and what they did instead."""
    try:
        noted = codec.loads((home() / "logs" / pipeline / STATE).read_text())
    except FileNotFoundError:
        return []
    fates = [(member["name"], Fate(**member["fate"])) for member in noted]
    return [(name, outcome(fate)) for name, fate in fates if fate.code not in (DRAINED, STARTING)]


def _when_ready(pipeline: str, supervisor: Process, say: Say) -> list[MemberStatus]:
    """The members once all are ready or wait for a plan, gave up or go on failing, or nothing changed for a minute."""
    deadline, before = time.monotonic() + READY_S, [""]
    pause = threading.Event()
    while True:
        found = _members(supervisor)
        if found and all(member.over or member.up or member.failing for member in found):
            break
        now = [member.missing for member in found]
        if any(COMPILING in missing for missing in now):  # One of them may take long; a member that hangs ends itself.
            deadline = time.monotonic() + READY_S
        if now != before:
            deadline, before = time.monotonic() + READY_S, now
            late = [f"{member.name}: {member.missing or 'starting'}" for member in found if not member.up]
            say(f"starting services; {'; '.join(late)}")
        if not supervisor.alive():
            gone = time.monotonic() + NOTED_S
            while supervisor.state.exists() and time.monotonic() < gone:  # Who stops it takes its note away then.
                pause.wait(TURN_S)
            if not supervisor.state.exists():
                raise ProcessDied(_STOPPED.format(pipeline))
            raise ProcessDied(f"the supervisor of {pipeline} ended; the end of {supervisor.log}:\n{supervisor.tail()}")
        if time.monotonic() > deadline:
            break
        pause.wait(TURN_S)
    gave_up = [member for member in found if member.over]
    if gave_up and all(member.code in (DRAINED, STARTING) for member in gave_up):
        raise ProcessDied(_STOPPED.format(pipeline))
    if gave_up:
        logs = home() / "logs" / pipeline
        why = "; ".join(f"{member.name}: {told(member.code or 0)}, see {logs}/{member.name}.log" for member in gave_up)
        raise ConfigurationError(f"{why}; then: headrace down")
    return found


def _members(supervisor: Process) -> list[MemberStatus]:
    """A supervisor's members and what they say of themselves; none before it has started them."""
    state = home() / "logs" / supervisor.name.removeprefix(SUPERVISOR) / STATE
    try:
        noted = codec.loads(state.read_bytes())
        for member in noted:
            member["port"], member["pid"], member["fate"]["code"]
    except FileNotFoundError:
        return []
    except (ValueError, KeyError, TypeError, RecursionError):
        raise ConfigurationError(f"{state} is damaged: stop what runs with headrace down, and start it again") from None
    found = []
    for member in noted:
        code, body = ask(member["port"], "/readyz") if member["pid"] is not None else (0, "it does not run")
        missing = "" if code == 200 else body.strip().removeprefix("not ready: ")
        fate = member["fate"]
        found.append(
            MemberStatus(
                name=member["name"],
                service=member["service"],
                pid=member["pid"],
                port=member["port"],
                ready=code == 200,
                missing=missing,
                restarts=fate["restarts"],
                code=fate["code"],
                over=fate["over"],
                failures=fate["failures"],
                remarks=remarks(member["port"]) if code else {},
            )
        )
    return found


def _supervisors() -> list[Process]:
    found = (process.find(path.stem, home()) for path in sorted(home().glob(f"{SUPERVISOR}*.json")))
    return [supervisor for supervisor in found if supervisor is not None]
