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

ENV, MORE = "env", "more.parquet"
KEPT = ("HOME", "SCHEMA_IDS", "MODELS", "MODEL_CACHE")
FROM_OUTSIDE = ("BOOTSTRAP", "REDIS", "REGISTRY", "KAFKA", "SCHEMA_IDS", "MODELS", "MODEL_CACHE")
"""HEADRACE_* variables of the shell that say where another system is."""


def take_down(directory: Path) -> None:
    """Stop what an earlier demo left up in this directory; nothing happens where it left nothing."""
    if directory.is_dir():
        env = {**os.environ, "HEADRACE_HOME": str(directory)}
        subprocess.run([sys.executable, "-m", "headrace.cli", "down"], env=env, capture_output=True, check=False)


def keep_rest(directory: Path, rest: pa.Table) -> None:
    """Write the events that did not go in any more, to be published later."""
    pq.write_table(rest, directory / MORE)


def leave_up(directory: Path, pipeline: str, env: Mapping[str, str]) -> bool:
    """Start the services again under a supervisor of their own, which outlives this process; whether that went well."""
    variables = {**os.environ, **env, "HEADRACE_HOME": str(directory)}
    up = subprocess.run([sys.executable, "-m", "headrace.cli", "up", pipeline], env=variables, check=False)
    kept = {name: variables[name] for name in (f"HEADRACE_{name}" for name in KEPT) if name in variables}
    lines = [f"unset {' '.join(f'HEADRACE_{name}' for name in FROM_OUTSIDE)}"]
    lines += [f"export {name}={shlex.quote(value)}" for name, value in sorted(kept.items())]
    lines += [f"export PATH={shlex.quote(str(Path(sys.executable).parent))}:$PATH"]
    (directory / ENV).write_text("\n".join(lines) + "\n")
    return up.returncode == 0
