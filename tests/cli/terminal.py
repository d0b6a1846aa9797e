"""The command line as a person uses it: a process with exit code, output and errors."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Terminal:
    """Runs `headrace` in a directory; `env` comes on top of this process's, without its HEADRACE_ variables."""

    directory: Path
    env: dict[str, str]

    def start(self, *arguments: object) -> subprocess.Popen[str]:
        """Start a command that does not end by itself."""
        clean = {name: value for name, value in os.environ.items() if not name.startswith("HEADRACE_")}
        cache = {"HEADRACE_CACHE": os.environ["HEADRACE_CACHE"]} if "HEADRACE_CACHE" in os.environ else {}
        return subprocess.Popen(
            [sys.executable, "-m", "headrace.cli", *map(str, arguments)],
            cwd=self.directory,
            env={**clean, **cache, "PYTHONPATH": str(ROOT), **self.env},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: object, timeout: float = 120) -> tuple[int, str, str]:
        """(exit code, output, errors) of a command."""
        with self.start(*arguments) as process:
            try:
                out, errors = process.communicate(timeout=timeout)
            except subprocess.TimeoutExpired:
                process.terminate()
                out, errors = process.communicate(timeout=60)
                raise AssertionError(f"{arguments} did not end within {timeout} s\n{out}\n{errors}") from None
        return process.returncode, out, errors

    def json(self, *arguments: object, timeout: float = 120) -> Any:
        """What a command prints with --json; it must succeed."""
        code, out, errors = self.run(*arguments, "--json", timeout=timeout)
        assert code == 0, f"{arguments}: exit code {code}\n{out}\n{errors}"
        return json.loads(out)
