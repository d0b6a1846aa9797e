"""`headrace up`, `down` and `status`: a pipeline with all that it needs, in the background of this machine."""

from __future__ import annotations

import json as codec
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from headrace.cli.options import Json, PipelineName, pipeline_of
from headrace.devparts import home as running
from headrace.devparts import process
from headrace.devparts.lock import exclusive
from headrace.devparts.process import Process, ProcessDied
from headrace.devparts.progress import bars
from headrace.domain.pipeline.workspace import resolve
from headrace.errors import ConfigurationError
from headrace.operations.local.environment import check_settings, environment
from headrace.operations.local.fleet import GRACE_S, ask, remarks
from headrace.operations.local.home import STATE, SUPERVISOR, home
from headrace.operations.local.members import members, scales, variables
from headrace.operations.local.supervisor import DRAINED, STARTING, Fate, outcome, told
from headrace.operations.remarks import REMARKS, WORDS
from headrace.operations.services import needed
from headrace.operations.topics.provisioning import provision
from headrace.streaming.process.settings import Settings, read_settings

READY_S = 60.0
TURN_S = 0.3
NOTED_S = 2.0
NO_PLAN, COMPILING = "no plan", "kernels are being compiled"
"""What members say of themselves that is no trouble."""
_STOPPED = "{} was stopped while it was starting, by headrace down"


def up(
    pipeline: PipelineName,
    scale: Annotated[
        list[str] | None, typer.Option(metavar="SERVICE=N", help="Members of a service; of views: for each view.")
    ] = None,
    registry: Annotated[bool, typer.Option("--registry", help="A schema registry too, and ids from it.")] = False,
    partitions: Annotated[int | None, typer.Option(min=1, help="Of topics that are new.")] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="A setting of all services.")
    ] = None,
    json: Json = False,
) -> None:
    """Start a broker, a store and the pipeline's services in the background, with its schemas and topics.

    Returns when every service is ready; `score` also counts as up while no plan says which model to play. When one is
    not, and nothing changed for a minute, the exit code is 3. A repeat finds what runs. Logs are below .headrace/logs.
    """
    spec = pipeline_of(pipeline)
    path = str(resolve(pipeline, Path.cwd()))
    services = needed(spec)
    protocol = read_settings(Settings, pipeline=path).connection.properties.get("security.protocol", "plaintext")
    if protocol.lower() != "plaintext":
        raise ConfigurationError(
            f"HEADRACE_KAFKA asks for {protocol}, which is for a cluster of yours: the broker that `up` starts listens "
            "on this machine alone and asks for no password. Unset it, or start services with: headrace run"
        )
    members(spec, services, scales(scale or []))  # a wrong --scale is said before anything starts
    with _alone(json):
        with bars(Console(stderr=True, quiet=json)) as report:
            parts = running.up(home(), registry, report=report)
        env = environment(path, parts.bootstrap, parts.redis, None, variables(set_ or []))
        if parts.registry is not None:
            env["HEADRACE_REGISTRY"] = parts.registry
        check_settings(env)
        own = read_settings(Settings, pipeline=path, bootstrap=parts.bootstrap, registry=parts.registry)
        provision(own, partitions)
        supervisor = process.find(SUPERVISOR + spec.name, home())
        if supervisor is None:
            logs = home() / "logs" / spec.name
            (logs / STATE).unlink(missing_ok=True)
            options = [f"--scale={pair}" for pair in scale or []]
            argv = [
                sys.executable,
                "-m",
                "headrace.cli",
                "run",
                *services,
                f"--pipeline={path}",
                f"--logs={logs}",
                *options,
            ]
            supervisor = process.start(SUPERVISOR + spec.name, argv, home(), env=env)
    with Console(stderr=True, quiet=json).status("starting services") as status:
        found = _when_ready(spec.name, supervisor, status.update)
    code = 0 if all(map(_up, found)) else 3
    if json:
        typer.echo(codec.dumps({"pipeline": spec.name, **asdict(parts), "members": found}))
        raise typer.Exit(code)
    console = Console(highlight=False, soft_wrap=True)
    console.print(f"kafka     {parts.bootstrap}")
    console.print(f"redis     {parts.redis}")
    if parts.registry is not None:
        console.print(f"registry  {parts.registry}")
    for member in found:
        console.print(_line(member))
    if any(NO_PLAN in str(member["missing"]) for member in found):
        console.print(f"[yellow]score waits for a model: headrace train {escape(pipeline)}[/]")
    if late := [member for member in found if not _up(member)]:
        names = ", ".join(str(member["name"]) for member in late)
        console.print(f"[yellow]not ready yet: {escape(names)}; headrace status says when[/]")
    raise typer.Exit(code)


def down(
    forget: Annotated[bool, typer.Option("--forget", help="Delete the broker's and the store's data too.")] = False,
    json: Json = False,
) -> None:
    """Drain all services that `up` started, then stop the broker and the stores. Nothing happens when nothing runs."""
    console = Console(stderr=True, quiet=json)
    ran = False
    if home().is_symlink() or home().exists():
        with _alone(json):
            ran = _stop_all(console, forget)
    typer.echo(codec.dumps({"stopped": True, "forgotten": forget}) if json else _stopped(ran))


def _stop_all(console: Console, forget: bool) -> bool:
    """Drain services, stop parts; whether anything ran."""
    supervisors = _supervisors()
    for supervisor in supervisors:
        with console.status(f"draining {supervisor.name.removeprefix(SUPERVISOR)}"):
            drain = read_settings(Settings, pipeline=supervisor.name).drain_s
            supervisor.stop(grace=drain + 2 * GRACE_S)
        for name, how in _undrained(supervisor.name.removeprefix(SUPERVISOR)):
            console.print(f"[yellow]{escape(name)} {escape(how)}; its log is in {home() / 'logs'}[/]")
    ran = bool(supervisors) or any(part.pids for part in running.status(home()))
    with console.status("stopping broker and stores"):
        running.down(home(), forget=forget)
    return ran


@contextmanager
def _alone(quiet: bool) -> Iterator[None]:
    """Against another `up` or `down` of this home: each begins with what the other has left, whole."""
    with ExitStack() as held:
        with Console(stderr=True, quiet=quiet).status("waiting for another headrace up or down to be done"):
            held.enter_context(exclusive(home() / "up.lock"))
        yield


def _stopped(ran: bool) -> str:
    return "stopped" if ran else f"nothing was running in {home()}"


def _undrained(pipeline: str) -> list[tuple[str, str]]:
    """Members of a supervisor that has ended which did not drain, and what they did instead."""
    try:
        noted = codec.loads((home() / "logs" / pipeline / STATE).read_text())
    except FileNotFoundError:
        return []
    fates = [(member["name"], Fate(**member["fate"])) for member in noted]
    return [(name, outcome(fate)) for name, fate in fates if fate.code not in (DRAINED, STARTING)]


def status(json: Json = False) -> None:
    """Say what runs here: broker, stores and services; exit code 3 when something that was up is not ready."""
    parts = running.status(home())
    pipelines = {supervisor.name.removeprefix(SUPERVISOR): _members(supervisor) for supervisor in _supervisors()}
    if json:
        typer.echo(codec.dumps({"parts": [asdict(part) for part in parts], "pipelines": pipelines}))
    elif not parts:
        typer.echo("nothing was started here; start it with: headrace up PIPELINE")
    else:
        console = Console(highlight=False, soft_wrap=True)
        for part in parts:
            console.print(f"{part.name:<24} {'running' if part.running else '[red]stopped[/]':<10} {part.address}")
        rows = [{**member, "name": f"{name} {member['name']}"} for name, found in pipelines.items() for member in found]
        width = max((len(str(member["name"])) for member in rows), default=24)
        for member in rows:
            console.print(_line(member, width))
    ready = all(member["ready"] for found in pipelines.values() for member in found)
    raise typer.Exit(0 if parts and ready and all(part.running for part in parts) else 3)


def _when_ready(pipeline: str, supervisor: Process, say: Callable[[str], None]) -> list[dict[str, Any]]:
    """The members once all are ready or wait for a plan, or gave up, or nothing changed for a minute."""
    deadline, before = time.monotonic() + READY_S, [""]
    pause = threading.Event()
    while True:
        found = _members(supervisor)
        if found and all(member["over"] or _up(member) for member in found):
            break
        now = [str(member["missing"]) for member in found]
        if any(COMPILING in missing for missing in now):  # One of them may take long; a member that hangs ends itself.
            deadline = time.monotonic() + READY_S
        if now != before:
            deadline, before = time.monotonic() + READY_S, now
            say("starting services; " + "; ".join(_waits(member) for member in found if not _up(member)))
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
    gave_up = [member for member in found if member["over"]]
    if gave_up and all(member["code"] in (DRAINED, STARTING) for member in gave_up):
        raise ProcessDied(_STOPPED.format(pipeline))
    if gave_up:
        logs = home() / "logs" / pipeline
        why = "; ".join(
            f"{member['name']}: {told(member['code'])}, see {logs}/{member['name']}.log" for member in gave_up
        )
        raise ConfigurationError(f"{why}; then: headrace down")
    return found


def _waits(member: dict[str, Any]) -> str:
    return f"{escape(str(member['name']))}: {escape(str(member['missing']) or 'starting')}"


def _up(member: dict[str, Any]) -> bool:
    return bool(member["ready"]) or NO_PLAN in str(member["missing"])


def _members(supervisor: Process) -> list[dict[str, Any]]:
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
            {
                "name": member["name"],
                "service": member["service"],
                "pid": member["pid"],
                "port": member["port"],
                "ready": code == 200,
                "missing": missing,
                "restarts": fate["restarts"],
                "code": fate["code"],
                "over": fate["over"],
                "remarks": remarks(member["port"]) if code else {},
            }
        )
    return found


def _line(member: dict[str, Any], width: int = 24) -> str:
    state = "[green]ready[/]" if member["ready"] else f"[yellow]{escape(member['missing'])}[/]"
    again = f", started again {member['restarts']} times" if member["restarts"] else ""
    noted = "".join(f", {count:,} {WORDS[REMARKS].get(remark, remark)}" for remark, count in member["remarks"].items())
    return f"{escape(member['name']):<{width}} {state}  http://127.0.0.1:{member['port']}/metrics{again}{noted}"


def _supervisors() -> list[Process]:
    found = (process.find(path.stem, home()) for path in sorted(home().glob(f"{SUPERVISOR}*.json")))
    return [supervisor for supervisor in found if supervisor is not None]
