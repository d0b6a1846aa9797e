"""Machine code that is kept on disk is that of the sources as they are."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from tests.members import ROOT
from tests.sources import name_of, sources

CALLER = """
from headrace.columnar.jit import kernel
from called import FACTOR, more

@kernel("i8")
def answer(x):
    return FACTOR * more(x)
"""
CALLED = """
from headrace.columnar.jit import kernel
from deeper import shift

FACTOR = {factor}

@kernel
def more(x):
    return x + shift()
"""
DEEPER = """
from headrace.columnar.jit import kernel

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


def ask(folder: Path, **environment: str) -> tuple[int, int]:
    """What a fresh process answers, and how many kernels it found compiled."""
    environment["PYTHONPATH"] = str(ROOT)
    ran = subprocess.run(
        [sys.executable, "-B", "-c", ASKED], cwd=folder, env=environment, capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr
    answer, hits = map(int, ran.stdout.split())
    return answer, hits


@pytest.mark.kernels
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


@pytest.mark.kernels
def test_what_changed_is_not_found_where_the_folder_asked_for_cannot_be_written(tmp_path: Path) -> None:
    """Another place is taken, but none of numba's own, where a changed callee would not be noticed."""
    write(tmp_path)
    nowhere = {"NUMBA_CACHE_DIR": "/proc/kernels", "HOME": str(tmp_path / "home")}
    assert ask(tmp_path, **nowhere) == (12, 0)
    assert ask(tmp_path, **nowhere) == (12, 1)
    write(tmp_path, shift=3)
    assert ask(tmp_path, **nowhere) == (16, 0)
    given = {"NUMBA_CACHE_DIR": str(tmp_path / "given")}
    assert [ask(tmp_path, **given) for _ in range(2)] == [(16, 0), (16, 1)]


LATE = """
import numpy as np
from headrace.columnar import jit as compiled
from headrace.columnar.jit import kernel

@kernel("i8[::1] i8")
def times(numbers, factor):
    return numbers.sum() * inner(factor)

@kernel
def inner(factor):
    return factor + 0

told = []
compiled.prepare(lambda done, total: told.append((done, total)))
before = len(told)
times(np.arange(3), 2)
print(len(times.signatures), told[-1], len(told) > 2, compiled.late())
times(np.arange(3.0), 2)
print(len(told) > before, [call.partition("(")[0] for call in compiled.late()], compiled.late())
"""


def test_kernels_are_compiled_before_they_are_called(tmp_path: Path) -> None:
    """`prepare` compiles what Python calls, with beats; a call with other types than were named is late, told once."""
    (tmp_path / "sooner.py").write_text(LATE)
    ran = subprocess.run(
        [sys.executable, "-B", "sooner.py"], cwd=tmp_path, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.splitlines() == ["1 (1, 1) True []", "True ['__main__.times'] []"]


@pytest.mark.kernels
def test_only_what_python_calls_is_kept(tmp_path: Path) -> None:
    """Numba's index of a function is not safe for two processes that keep other types of it at once: none is written of
    what only other kernels call, of which each caller asks for types of its own.
    """
    write(tmp_path)
    ask(tmp_path)
    assert [path.name.partition("-")[0] for path in tmp_path.rglob("*.nbi")] == ["caller.answer"]


SHARED = """
import sys, time
from headrace.columnar import jit as compiled
from caller import answer
from slow import begun

begun(int(sys.argv[1]))
compiled.prepare(lambda done, total: None)
print(sum(answer.stats.cache_misses.values()))
"""


@pytest.mark.kernels
def test_processes_that_start_together_share_the_work(tmp_path: Path) -> None:
    """What one process is compiling another one waits for, and finds on disk."""
    write(tmp_path)
    (tmp_path / "slow.py").write_text(
        "import time\nfrom pathlib import Path\n"
        "def begun(count):\n"
        "    import os\n"
        "    Path(f'here-{os.getpid()}').touch()\n"
        "    end = time.monotonic() + 60\n"
        "    while len(list(Path().glob('here-*'))) < count and time.monotonic() < end:\n"
        "        time.sleep(0.01)\n"
    )
    (tmp_path / "shared.py").write_text(SHARED)
    both = [
        subprocess.Popen(
            [sys.executable, "-B", "shared.py", "2"],
            cwd=tmp_path,
            env={"PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    answers = [process.communicate(timeout=300)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert sorted(map(int, answers)) == [0, 1]


DOCUMENTED = {"numba", "numba.types", "numba.extending", "numba.core.event"}
"""Modules of numba that its documentation gives to users."""


def test_only_what_numba_documents_is_used() -> None:
    """No module imports what numba may change without a word: private names, or parts of its compiler."""
    met = {}
    for path in sources():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module:
                names = [f"{node.module}.{alias.name}" for alias in node.names]
            else:
                continue
            met |= {name: path for name in names if name.split(".")[0] == "numba"}
    assert "numba" in met
    assert {name: path for name, path in met.items() if name not in DOCUMENTED} == {}


def test_kernels_that_python_calls_name_their_types() -> None:
    """Every kernel that plain Python calls says with which types: else it would be compiled in the loop."""
    bare, called = set(), {}
    for path in sources():
        tree = ast.parse(path.read_text())
        kernels = {
            node.name: node
            for node in ast.walk(tree)
            if isinstance(node, ast.FunctionDef) and any("kernel" in ast.unparse(each) for each in node.decorator_list)
        }
        module = name_of(path)
        bare |= {(module, name) for name, node in kernels.items() if ast.unparse(node.decorator_list[0]) == "kernel"}
        origins = {name: (module, name) for name in kernels} | {
            alias.asname or alias.name: (node.module, alias.name)
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom)
            for alias in node.names
        }
        inside = {id(inner) for node in kernels.values() for inner in ast.walk(node)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and id(node) not in inside:
                name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
                owner = ast.unparse(node.func.value) if isinstance(node.func, ast.Attribute) else None
                if owner in origins:
                    package, inner = origins[owner]
                    called[f"{package}.{inner}", name] = path
                elif name in origins:
                    called[origins[name]] = path
    assert len(bare) > 40
    assert {kernel: path for kernel, path in called.items() if kernel in bare} == {}
