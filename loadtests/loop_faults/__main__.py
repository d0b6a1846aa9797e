"""The loop with faults, held against the loop in peace.

    python -m loadtests.loop_faults [--runs calm,halves,jobs,freeze] [--freeze SECONDS] [--known FILE] [--short]

Each run has a broker of its own and plays the same story (`story`). Runs:

- `calm`: no fault; the first one is what all others have to be like.
- `halves`: as each control event appears, every second service is killed, at the next one the others;
  `other-halves` begins with the others, so that after both each service was killed between any two events.
- `one-N`: as event i appears, the service of number i + N is killed: N from 0 to 9 kills each alone at each event.
- `jobs`: the process of the training, and that of the evaluation, are killed in their middle.
- `people`: people's commands are killed between the request and the answer.
- `freeze`: the broker stands still for `--freeze` seconds when the incident opens, and when the canary begins.

Ends with 1 where a run is not what the first one was, and says how.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from loadtests.loop_faults.faults import Done, JobKiller, Watcher, freeze_at, kill_some
from loadtests.loop_faults.loop import Loop, parts
from loadtests.loop_faults.normal_form import NormalForm, normal_form
from loadtests.loop_faults.story import Story
from tests.forkserver import Popen

RUNS = "calm,calm,halves,other-halves,jobs,people,freeze"
FROZEN_AT = ("drift_opened", "release_advanced")


def run(name: str, freeze_s: float, short: bool) -> tuple[NormalForm, Done]:
    """One run, and what was done to it."""
    directory = Path(tempfile.mkdtemp(prefix=f"headrace-loop-{name}-"))
    begun = time.monotonic()

    def say(what: str) -> None:
        print(f"{name} {time.monotonic() - begun:7.1f} s  {what}", flush=True)

    done = Done()
    try:
        with parts(directory) as loop:
            story = Story(loop, say, kill_people=name == "people")
            watcher = _watcher(name, loop, done, freeze_s)
            try:
                story.play(short)
            finally:
                if watcher is not None:
                    watcher.close()
            found = normal_form(loop)
            say(f"over: {len(found.parts['kinds'])} control events, {done.count} kills, {loop.restarts} restarts")
            return found, done
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _watcher(name: str, loop: Loop, done: Done, freeze_s: float) -> Watcher | None:
    members = loop.members
    fault = None
    if name.endswith("halves"):
        turn = name == "other-halves"
        fault = kill_some(loop, done, lambda number: members[(number + turn) % 2 :: 2])
    elif name.startswith("one-"):
        shift = int(name.removeprefix("one-"))
        fault = kill_some(loop, done, lambda number: (members[(number + shift) % len(members)],))
    elif name == "freeze":
        fault = freeze_at(loop, done, FROZEN_AT, freeze_s)
    elif name == "jobs":
        loop.watch = JobKiller(done, 1.0)
    if fault is None:
        return None
    watcher = Watcher(loop, fault)
    watcher.start()
    return watcher


def main() -> int:
    """Run, print, and say by the exit code whether all were alike."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--runs", default=RUNS, help=f"names, comma separated ({RUNS})")
    parser.add_argument("--freeze", type=float, default=300, help="seconds that the broker stands still (300)")
    parser.add_argument("--known", type=Path, help="JSON of a calm run: read if there, else written")
    parser.add_argument("--short", action="store_true", help="up to the new champion alone")
    options = parser.parse_args()
    subprocess.Popen = Popen  # type: ignore[misc]  # services are forks of a process that has imported them all
    first = None
    if options.known and options.known.exists():
        first = NormalForm(json.loads(options.known.read_text()))
    wrong = 0
    for name in options.runs.split(","):
        found, done = run(name, options.freeze, options.short)
        found = NormalForm(json.loads(json.dumps(found.parts)))
        if first is None:
            first = found
            if options.known:
                options.known.write_text(json.dumps(found.parts, indent=1))
            continue
        apart = first.differences(found)
        print(f"{name}: {'as in peace' if not apart else f'{len(apart)} differences'}; {done}", flush=True)
        for each in apart:
            print(f"  {each}", flush=True)
        wrong += bool(apart)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
