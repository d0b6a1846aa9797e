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
from dataclasses import dataclass
from pathlib import Path
from signal import Signals

from services.inference.admission import inspect
from services.inference.batching import SIZES
from services.inference.independence import check_rows
from services.inference.package import ModelPackage, load, save
from services.inference.sessions import SessionSettings, open_session
from services.kit.errors import ContractError, HeadraceError


@dataclass(frozen=True, slots=True)
class Limits:
    """What a trial may take: address space in bytes beside the libraries' own, and seconds on the clock."""

    memory: int = 1 << 30
    seconds: float = 20.0


def admit(package: ModelPackage, limits: Limits | None = None) -> None:
    """Return when the model loads and scores trial rows within the limits.

    Raises:
        ContractError: its graph is not allowed, or it fails, crashes, runs out of memory or time, or a row's score
            depends on the rows that are scored with it.
    """
    limits = limits or Limits()
    inspect(package)
    with tempfile.TemporaryDirectory() as folder:
        save(package, Path(folder))
        command = [sys.executable, "-m", __name__, folder, str(limits.memory), str(limits.seconds)]
        root = Path(__file__).resolve().parents[2]
        try:
            ran = subprocess.run(
                command, cwd=root, capture_output=True, text=True, timeout=limits.seconds + 10, check=False
            )
        except subprocess.TimeoutExpired:
            raise ContractError(f"{package.title} was still running after {limits.seconds:g} s") from None
    if ran.returncode:
        raise ContractError(f"{package.title} failed its trial: {_why(ran)}")


def _why(ran: subprocess.CompletedProcess[str]) -> str:
    if ran.returncode < 0:
        return f"it was ended by {Signals(-ran.returncode).name}"
    return ran.stdout.strip() or f"it ended with status {ran.returncode}: {ran.stderr.strip()[-200:]}"


def _try(folder: Path, memory: int, seconds: float) -> None:
    """Load and run the package at `folder` under limits, which begin once libraries and rows are in memory."""
    package = load(folder)
    rows = package.sample(SIZES[-1])
    taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (taken + memory, taken + memory))
    used = resource.getrusage(resource.RUSAGE_SELF)
    end = int(used.ru_utime + used.ru_stime + seconds) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (end, end))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    # All rows in one call: a graph whose memory grows faster than its rows shows it here.
    session = open_session(package, SessionSettings(executor="onnxruntime", device="cpu", rows=len(rows)))
    session.run(rows)
    check_rows(session.run, rows, package.title)


if __name__ == "__main__":
    try:
        _try(Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]))
    except HeadraceError as error:
        sys.stdout.write(str(error))
        sys.exit(1)
    except MemoryError:
        sys.stdout.write("it asks for more memory than it may take")
        sys.exit(1)
