"""Python in which no kernel may reach beyond what it was given."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence

from tests.members import ROOT


def checked(*words: str) -> subprocess.CompletedProcess[str]:
    """A Python process with bounds checks."""
    environment = {**os.environ, "NUMBA_BOUNDSCHECK": "1", "PYTHONPATH": str(ROOT)}
    return subprocess.run([sys.executable, *words], cwd=ROOT, env=environment, capture_output=True, text=True)


def assert_within_bounds(room: str, tests: Sequence[str]) -> None:
    """These tests of a room pass in a process in which no kernel may reach beyond what it was given."""
    ran = checked("-m", "pytest", "-q", "-p", "no:cacheprovider", *(f"tests/{room}/{each}" for each in tests))
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert " passed" in ran.stdout
