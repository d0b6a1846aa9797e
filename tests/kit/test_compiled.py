"""Machine code that is kept on disk is that of the sources as they are."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.members import ROOT

CALLER = """
from services.kit.compiled import kernel
from called import FACTOR, more

@kernel
def answer(x):
    return FACTOR * more(x)
"""
CALLED = """
from services.kit.compiled import kernel
from deeper import shift

FACTOR = {factor}

@kernel
def more(x):
    return x + shift()
"""
DEEPER = """
from services.kit.compiled import kernel

@kernel
def shift():
    return {shift}
"""
ASKED = "import caller; print(caller.answer(5), sum(caller.answer.stats.cache_hits.values()))"


def write(folder: Path, factor: int = 2, shift: int = 1) -> None:
    """Three modules, each with a kernel that calls the next one's."""
    sources = {"caller": CALLER, "called": CALLED.format(factor=factor), "deeper": DEEPER.format(shift=shift)}
    for name, source in sources.items():
        (folder / f"{name}.py").write_text(source)


def ask(folder: Path) -> tuple[int, int]:
    """What a fresh process answers, and how many kernels it found compiled."""
    ran = subprocess.run(
        [sys.executable, "-B", "-c", ASKED], cwd=folder, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr
    answer, hits = map(int, ran.stdout.split())
    return answer, hits


@pytest.mark.parametrize(
    ("changed", "answer"), [({"shift": 3}, 16), ({"factor": 7}, 42)], ids=["a callee's callee", "a constant"]
)
def test_what_other_files_hold_is_part_of_a_kernel(tmp_path: Path, changed: dict[str, int], answer: int) -> None:
    """A kernel is found compiled as long as nothing changed, and compiled anew when a file beneath it did."""
    write(tmp_path)
    assert ask(tmp_path) == (12, 0)
    assert ask(tmp_path) == (12, 1)
    write(tmp_path, **changed)
    assert ask(tmp_path) == (answer, 0)
    assert ask(tmp_path) == (answer, 1)
