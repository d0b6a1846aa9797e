"""Where this directory keeps what runs on this machine."""

from __future__ import annotations

import os
from pathlib import Path

STATE = "members.json"
"""The file in a pipeline's folder of logs that says what its members are."""
SUPERVISOR = "supervisor-"
"""What the name of a process begins with that keeps a pipeline's members up."""

DEMO_ENV, DEMO_MORE = "env", "more.parquet"
"""Files by which the directory of a demo that was left up is known: its variables, and events that did not go in."""


def home() -> Path:
    """Where embedded parts, logs and state of this directory's `headrace` are: `$HEADRACE_HOME`, else `.headrace`."""
    return Path(os.environ.get("HEADRACE_HOME") or ".headrace").absolute()
