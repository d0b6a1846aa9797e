"""What is left to look at after the demo: its system stays up, and a page says what to try."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from rich.console import Console

ENV, MORE = "env", "more.parquet"
KEPT = ("HOME", "SCHEMA_IDS", "MODELS", "MODEL_CACHE")
FROM_OUTSIDE = ("BOOTSTRAP", "REDIS", "REGISTRY", "KAFKA", "SCHEMA_IDS", "MODELS", "MODEL_CACHE")
"""HEADRACE_* variables of the shell that say where another system is."""


def take_down(directory: Path) -> None:
    """Stop what an earlier demo left up in this directory; nothing happens where it left nothing."""
    if directory.is_dir():
        env = {**os.environ, "HEADRACE_HOME": str(directory)}
        subprocess.run([sys.executable, "-m", "headrace.cli", "down"], env=env, capture_output=True, check=False)


def leave_up(directory: Path, pipeline: str, env: Mapping[str, str], console: Console) -> bool:
    """Start the services again under a supervisor of their own, which outlives this process; whether that went well."""
    console.print("\nstarting the services again, to stay", style="dim")
    variables = {**os.environ, **env, "HEADRACE_HOME": str(directory)}
    up = subprocess.run([sys.executable, "-m", "headrace.cli", "up", pipeline], env=variables, check=False)
    kept = {name: variables[name] for name in (f"HEADRACE_{name}" for name in KEPT) if name in variables}
    lines = [f"unset {' '.join(f'HEADRACE_{name}' for name in FROM_OUTSIDE)}"]
    lines += [f"export {name}={shlex.quote(value)}" for name, value in sorted(kept.items())]
    lines += [f"export PATH={shlex.quote(str(Path(sys.executable).parent))}:$PATH"]
    (directory / ENV).write_text("\n".join(lines) + "\n")
    return up.returncode == 0


def keep_rest(directory: Path, rest: pa.Table) -> None:
    """Write the events that did not go in any more, to be published later."""
    pq.write_table(rest, directory / MORE)


def say_what_next(
    console: Console, directory: Path, pipeline: str, event: str | None, models: Mapping[str, str], rest: int
) -> None:
    """The page.

    Args:
        event: id of one that was answered.
        models: NAME@VERSION by arm.
        rest: how many events are in the file of the rest.
    """
    console.print(f"\nThe demo's system is up, in {directory}. What to try, in any shell:\n", style="bold")
    console.print(f"  source {shlex.quote(str(directory / ENV))}\n", style="cyan", highlight=False, soft_wrap=True)
    more = shlex.quote(str(directory / MORE))
    lines = [
        ("headrace status", "what runs, and where its metrics are"),
        (f"headrace lag {pipeline}", "how far each service is"),
    ]
    if rest:
        lines += [
            (f"headrace publish {pipeline} {more} --rate 100", f"{rest:,} events more; in another shell:"),
            (f"headrace predictions {pipeline} --follow", "answers as they come"),
            (f"headrace publish {pipeline} {more} --to labels", "what became of them"),
        ]
    if event is not None:
        lines.append((f"headrace why {event} --pipeline {pipeline}", "all that is known of one event"))
    lines += [
        (f"headrace scorecard {pipeline}", "how good the models are"),
        (f"headrace plan show {pipeline}", "who scores what"),
    ]
    champion, challenger = models.get("champion"), models.get("challenger")
    if champion and challenger:
        lines += [
            (f"headrace duel {pipeline} champion challenger", "which of the two is better"),
            (
                f"headrace plan set {pipeline} --champion {challenger} --challenger {champion} --reason 'it is better'",
                "let them change places",
            ),
        ]
    lines.append(("headrace down --forget", "stop it all and delete its data"))
    for command, meaning in lines:
        console.print(f"  # {meaning}", style="dim", highlight=False)
        # Not wrapped: it is there to be pasted.
        console.print(f"  {command}", style="cyan", highlight=False, soft_wrap=True)
