"""What is left to look at after the demo: its system stays up, and a page says what to try."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from headrace.operations.local.home import DEMO_ENV, DEMO_MORE

KEPT = ("HOME", "SCHEMA_IDS", "MODELS", "MODEL_CACHE", "TRAININGS")
FROM_OUTSIDE = ("BOOTSTRAP", "REDIS", "REGISTRY", "KAFKA", "SCHEMA_IDS", "MODELS", "MODEL_CACHE", "TRAININGS")
"""HEADRACE_* variables of the shell that say where another system is."""


@dataclass(frozen=True, slots=True)
class KeptSystem:
    """A demo's broker and store, which run on, and what is to be known of them.

    Attributes:
        directory: where they lie.
        pipeline: its file.
        env: variables of its services.
        rest: the events that were made up and did not go in.
        event: id of one of the last that were answered; None where none was.
        models: NAME@VERSION by arm.
    """

    directory: Path
    pipeline: str
    env: Mapping[str, str]
    rest: pa.Table
    event: str | None
    models: Mapping[str, str]


def take_down(directory: Path) -> None:
    """Stop what an earlier demo left up in this directory; nothing happens where it left nothing."""
    if directory.is_dir():
        env = {**os.environ, "HEADRACE_HOME": str(directory)}
        subprocess.run([sys.executable, "-m", "headrace.cli", "down"], env=env, capture_output=True, check=False)


def leave_up(kept: KeptSystem) -> bool:
    """Start the services again under a supervisor of their own, which outlives this process; whether that went well.

    The events that did not go in lie beside it as `DEMO_MORE`, and the variables that say where it is as `DEMO_ENV`.
    """
    pq.write_table(kept.rest, kept.directory / DEMO_MORE)
    variables = {**os.environ, **kept.env, "HEADRACE_HOME": str(kept.directory)}
    up = subprocess.run([sys.executable, "-m", "headrace.cli", "up", kept.pipeline], env=variables, check=False)
    told = {name: variables[name] for name in (f"HEADRACE_{name}" for name in KEPT) if name in variables}
    lines = [f"unset {' '.join(f'HEADRACE_{name}' for name in FROM_OUTSIDE)}"]
    lines += [f"export {name}={shlex.quote(value)}" for name, value in sorted(told.items())]
    lines += [f"export PATH={shlex.quote(str(Path(sys.executable).parent))}:$PATH"]
    (kept.directory / DEMO_ENV).write_text("\n".join(lines) + "\n")
    return up.returncode == 0
