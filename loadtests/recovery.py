"""Recovery: from the restart of a killed member to its first new answer that a read_committed reader sees."""

from __future__ import annotations

import signal
import time
from typing import Any

from loadtests.arena import PARTITIONS, SERVING, Arena, alive, begin
from loadtests.following import Follower
from loadtests.latency import await_rows
from loadtests.living import live, remember, trickle
from loadtests.load import LEAD_S, started, write_events
from loadtests.meters import Meter, log_lines, moment
from loadtests.stream import A_DAY
from tests.project import Project

RATE = 500
BETWEEN_S = 8.0
"""Time between two kills, for the member to catch up."""
PATIENCE_S = 90.0
ANSWERS = {"enrich-0": "features", "score-0": "predictions"}


def measure(ground: Arena, days: int, trials: int, checkpointed: bool = True) -> dict[str, Any]:
    """Seconds by killed member, one entry a trial, each with its phases, under `trials`.

    Events of now go on at 500 a second all the while, after a past that ends now. The member is restarted at once under
    its own name. `cold` is an enrich that was killed before its first checkpoint and folds everything again.

    Args:
        checkpointed: wait for enrich's first checkpoints before the other trials, as after the first half minute.
    """
    _, _ = ground.model
    rows = days * A_DAY
    seconds = LEAD_S + 2 * PATIENCE_S + len(ANSWERS) * trials * (PATIENCE_S / 3 + BETWEEN_S)
    stream = ground.stream(rows + int(RATE * seconds))
    path = write_events(ground.directory / "recovery.arrow", stream.events)
    figures: dict[str, Any] = {"state_events": rows, "days": days, "rate": RATE, "source": stream.source}
    found: dict[str, list[dict[str, float]]] = {"cold": [], **{member: [] for member in ANSWERS}}
    with ground.project() as project:
        ground.plan(project)
        past = remember(ground, project, stream, rows)
        begin(project, SERVING)
        ground.say(f"{rows:,} events of state")
        with trickle(project, past, 2 * PATIENCE_S + seconds):
            await_rows(project, rows)
            generator = started(live(project, path, rows, int(RATE * seconds), RATE, time.monotonic() + LEAD_S))
            try:
                trials_of(ground, project, found, trials, checkpointed)
            finally:
                generator.terminate()
                generator.join()
    return {**figures, "trials": found}


def trials_of(
    ground: Arena, project: Project, found: dict[str, list[dict[str, float]]], trials: int, checkpointed: bool
) -> None:
    """Kill one member after the other; into `found` goes what each trial gave."""
    settle(project, LEAD_S + BETWEEN_S)
    ground.say("kill -9 enrich-0 before its first checkpoint")
    found["cold"].append(killed(project, "enrich-0"))
    settle(project, BETWEEN_S)
    if checkpointed:
        ground.say("waiting for checkpoints")
        await_checkpoints(project, "enrich-0")
    for member in ANSWERS:
        for trial in range(trials):
            ground.say(f"kill -9 {member}, {trial + 1} of {trials}")
            found[member].append(killed(project, member))
            settle(project, BETWEEN_S)


def await_checkpoints(project: Project, member: str) -> None:
    """Wait until a member has checkpointed every partition."""
    meter = Meter(project, member, whole_log=True)
    end = time.monotonic() + PATIENCE_S
    while meter.metrics().get(("headrace_checkpoints_total", ""), 0.0) < PARTITIONS:
        alive(project)
        assert time.monotonic() < end, f"{member} wrote no checkpoints within {PATIENCE_S:g} s\n{project.logs()}"
        time.sleep(0.5)  # The grain of the metric's reading.


def settle(project: Project, seconds: float) -> None:
    """Let it run for a while."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        alive(project)
        time.sleep(0.1)  # The load is the event that is waited out.


def killed(project: Project, member: str) -> dict[str, float]:
    """Kill and restart a member.

    Returns seconds from its restart: `listening_s` (interpreter and imports are done), `assigned_s` (it has its
    partitions and their state), `plan_s` (score: the model is loaded), `answer_s` (the first new output is readable);
    `restore_s`, the part of it that state took; and `replayed`, the records that it folded again.
    """
    with Follower(project.connection, project.contracts.channel(ANSWERS[member]), from_end=True) as follower:
        follower.poll(0.1)
        before = len(log_lines(project.directory / f"{member}.log"))
        project.stop(member, signal.SIGKILL)
        restarted = time.time()
        project.start(member)
        meter = Meter(project, member)
        end = time.monotonic() + PATIENCE_S
        while True:
            now, intake = follower.poll(0.05)
            # A record's own time stamp is its producer's: only the restarted process can have written later ones.
            if intake is not None and intake.batch.timestamp.max() > restarted * 1000:
                answer = time.time() - restarted
                break
            alive(project)
            assert now < end, f"{member} gave nothing within {PATIENCE_S:g} s\n{project.logs()}"
        found: dict[str, float] = {"answer_s": answer}
        for line in log_lines(meter.log)[before:]:
            name = {"listening": "listening_s", "assigned": "assigned_s", "plan taken up": "plan_s"}.get(line["event"])
            if name is not None:
                found[name] = moment(line) - restarted
        metrics = meter.metrics()
        found["replayed"] = metrics.get(("headrace_records_replayed_total", ""), 0.0)
        found["restore_s"] = metrics.get(("headrace_restore_seconds_sum", ""), 0.0)
    return found
