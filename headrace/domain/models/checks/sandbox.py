"""A candidate's first run, in a process of its own that may not take more memory or time than it is given.

`admission` reads a graph; some harm shows only when it runs (a product of broadcasts, a slow load). So whoever puts a
model forward tries it here first: loaded once, run at the largest inner batch, and held to giving every row a score of
its own (`independence`), under limits of the kernel's.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from signal import Signals

from headrace.domain.models.batch_tuning import SIZES
from headrace.domain.models.checks.graph_policy import inspect
from headrace.domain.models.checks.row_independence import check_rows
from headrace.domain.models.package import ModelPackage, load, save
from headrace.domain.models.positive_class import scored
from headrace.domain.models.sessions import SessionSettings, open_session
from headrace.errors import ContractError, HeadraceError


@dataclass(frozen=True, slots=True)
class Limits:
    """What a trial may take: address space in bytes beside the libraries' own, and seconds on the clock."""

    memory: int = 1 << 30
    seconds: float = 20.0


STATM = Path("/proc/self/statm")
"""Where Linux tells a process how much address space it takes; other systems have no such place."""
UNLIMITED = "memory was not limited: this system does not tell how much a process takes"


def admit(package: ModelPackage, limits: Limits | None = None, statm: Path = STATM, classes: Sequence[str] = ()) -> str:
    """Return when the model loads and scores trial rows within the limits; what could not be limited, or an empty text.

    Args:
        package: the model.
        limits: of its process.
        statm: where the system tells how much a process takes.
        classes: of the pipeline, where it has several; without it, those that the package says that it scores.

    Raises:
        ContractError: its graph is not allowed, or it fails, crashes, runs out of memory or time, or a row's score
            depends on the rows that are scored with it.
    """
    limits = limits or Limits()
    inspect(package)
    with tempfile.TemporaryDirectory() as folder:
        save(package, Path(folder))
        command = [sys.executable, "-m", __name__, folder, str(limits.memory), str(limits.seconds), str(statm)]
        command += classes
        root = Path(__file__).resolve().parents[4]
        try:
            ran = subprocess.run(
                command, cwd=root, capture_output=True, text=True, timeout=limits.seconds + 10, check=False
            )
        except subprocess.TimeoutExpired:
            raise ContractError(f"{package.title} was still running after {limits.seconds:g} s") from None
    if ran.returncode:
        raise ContractError(f"{package.title} failed its trial: {_why(ran)}")
    return ran.stdout.strip()


def _why(ran: subprocess.CompletedProcess[str]) -> str:
    if ran.returncode < 0:
        return f"it was ended by {Signals(-ran.returncode).name}"
    return ran.stdout.strip() or f"it ended with status {ran.returncode}: {ran.stderr.strip()[-200:]}"


def _limit_memory(memory: int, statm: Path) -> str:
    """Take no more than `memory` bytes beside what is taken now; why that could not be said to the kernel, if so."""
    try:
        taken = int(statm.read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (taken + memory, taken + memory))
    except (OSError, ValueError):
        return UNLIMITED
    return ""


def _try(folder: Path, memory: int, seconds: float, statm: Path, classes: tuple[str, ...]) -> str:
    """Load and run the package at `folder` under limits, which begin once libraries and rows are in memory."""
    package = load(folder)
    rows = package.sample(SIZES[-1])
    unlimited = _limit_memory(memory, statm)
    used = resource.getrusage(resource.RUSAGE_SELF)
    end = int(used.ru_utime + used.ru_stime + seconds) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (end, end))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    # All rows in one call: a graph whose memory grows faster than its rows shows it here.
    classes = classes or scored(package.manifest)
    settings = SessionSettings(executor="onnxruntime", device="cpu", rows=len(rows), classes=classes)
    session = open_session(package, settings)
    session.run(rows)
    check_rows(session.run, rows, package.title)
    return unlimited


if __name__ == "__main__":
    try:
        asked, most, longest, told, *names = sys.argv[1:]
        sys.stdout.write(_try(Path(asked), int(most), float(longest), Path(told), tuple(names)))
    except HeadraceError as error:
        sys.stdout.write(str(error))
        sys.exit(1)
    except MemoryError:
        sys.stdout.write("it asks for more memory than it may take")
        sys.exit(1)
