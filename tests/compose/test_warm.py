"""What the image brings compiled."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_no_service_meets_a_kernel_that_was_not_compiled_at_its_start() -> None:
    """All that services compile before they begin is all that events, labels and predictions need, there and back."""
    ran = subprocess.run(
        [sys.executable, "compose/warm.py"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert ran.returncode == 0, ran.stderr
    assert "kernels compiled" in ran.stderr
