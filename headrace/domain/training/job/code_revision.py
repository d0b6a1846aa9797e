"""Which code trains."""

from __future__ import annotations

import subprocess
from pathlib import Path

from headrace.domain.pipeline.wiring import code_version

HERE = Path(__file__).resolve()


def code_revision() -> str:
    """The git revision of this code, with `+changes` when it is not as committed; outside of git its version.

    It is of the code's own directory, whatever directory a command runs in.
    """

    def git(*arguments: str) -> str | None:
        command = ["git", "-C", str(HERE.parent), *arguments]
        try:
            return subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout.strip()
        except (OSError, subprocess.SubprocessError):
            return None

    # A package in an environment below somebody's project lies in their repository and is no part of it.
    head = git("rev-parse", "HEAD") if git("ls-files", "--error-unmatch", str(HERE)) else None
    if not head:
        return f"headrace {code_version()}"
    return f"{head}+changes" if git("status", "--porcelain", "--untracked-files=no") else head
