"""Python in which no kernel may reach beyond what it was given."""

from __future__ import annotations

import os
import subprocess
import sys

from tests.members import ROOT


def checked(*words: str) -> subprocess.CompletedProcess[str]:
    """A Python process with bounds checks."""
    environment = {**os.environ, "NUMBA_BOUNDSCHECK": "1", "PYTHONPATH": str(ROOT)}
    return subprocess.run([sys.executable, *words], cwd=ROOT, env=environment, capture_output=True, text=True)
