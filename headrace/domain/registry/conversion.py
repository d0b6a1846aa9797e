"""A model of MLflow as an ONNX graph, made in a process of its own that may harm nothing."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from headrace.domain.models.checks.graph_policy import LARGEST_GRAPH
from headrace.domain.registry.logged_model import LoggedModel
from headrace.errors import ContractError

ROOT = Path(__file__).resolve().parents[3]
ORDER, ANSWER, GRAPH = "order.json", "answer.json", "model.onnx"
MODULE = "headrace.domain.registry"
LARGEST_ANSWER = 1 << 20
PASSED_ON = ("LANG", "LC_ALL", "LD_LIBRARY_PATH")
"""Variables that the process is told; no other, for they hold passwords and keys."""


@dataclass(frozen=True, slots=True)
class ConversionLimits:
    """Of the process: bytes beside its libraries, seconds of processors, seconds on the clock."""

    memory: int = 4 << 30
    cpu_s: int = 240
    wall_s: float = 300.0


@dataclass(frozen=True, slots=True)
class ConvertedModel:
    """A graph, and what was understood.

    Attributes:
        graph: ONNX; taken as a stranger's, and not admitted yet.
        dtype: of its inputs.
        output: name of the output that is the score, or the probabilities of the classes.
        libraries: what it was read and converted by, name -> version.
        notes: what people should know, a sentence each.
        parity: largest difference between the graph's scores and the library's; None where no library was asked.
        rows: on so many rows.
    """

    graph: bytes
    dtype: str
    output: str
    libraries: dict[str, str]
    notes: tuple[str, ...]
    parity: float | None
    rows: int


def convert_logged(
    folder: Path,
    logged: LoggedModel,
    columns: Sequence[str],
    features: Sequence[str],
    positive: Any,
    own: Path,
    limits: ConversionLimits | None = None,
) -> ConvertedModel:
    """Convert the model in a directory.

    Args:
        folder: of the model; only read.
        logged: what it says of itself.
        columns: its signature's names, in order; empty where it has none.
        features: what feeds it, in that order.
        positive: the class whose probability is the score; None where the model leaves no doubt.
        own: a directory that the process may write to.
        limits: of the process.

    Raises:
        ContractError: it cannot be converted, differs from its library, or takes more than it may; with the remedy.
    """
    limits = limits or ConversionLimits()
    order = {
        "folder": str(folder),
        "reads": [str(folder)],
        "logged": asdict(logged),
        "columns": list(columns),
        "features": list(features),
        "positive": positive,
        "limits": asdict(limits),
    }
    graph, told = carry_out_apart(order, own, limits)
    try:
        return ConvertedModel(
            graph,
            str(told["dtype"]),
            str(told["output"]),
            {str(name): str(value) for name, value in told["libraries"].items()},
            tuple(map(str, told["notes"])),
            None if told["parity"] is None else float(told["parity"]),
            int(told["rows"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as fault:
        raise ContractError(f"the process that converts it left no answer that can be read: {fault}") from None


def carry_out_apart(order: dict[str, Any], own: Path, limits: ConversionLimits) -> tuple[bytes, dict[str, Any]]:
    """(the graph, what is told of it) that a process of its own makes of an order; both may be anybody's.

    Args:
        order: plain values, for `conversion_work`; `reads`: the directories that it reads of.
        own: a directory that the process may write to.
        limits: of the process.

    Raises:
        ContractError: it refuses, ends otherwise, or takes more than it may.
    """
    (own / ORDER).write_text(json.dumps(order))
    environment = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    environment |= {"PYTHONPATH": str(ROOT), "TMPDIR": str(own), "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    environment |= {"PYTHONDONTWRITEBYTECODE": "1", "NUMBA_CACHE_DIR": str(own)}
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", MODULE, str(own)],
        cwd=own,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        _, said = process.communicate(timeout=limits.wall_s)
    except subprocess.TimeoutExpired:
        said = b""
        raise ContractError(f"reading and converting it took longer than {limits.wall_s:g} s") from None
    finally:
        _end(process)
    return _answer(own, process.returncode, said)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Leave nothing of its group behind."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    if process.stderr is not None:
        process.stderr.close()
    process.wait()


def _answer(own: Path, code: int, said: bytes) -> tuple[bytes, dict[str, Any]]:
    """What the process left; it may have been written by anybody's code."""
    path = own / ANSWER
    told: dict[str, Any] = {}
    if path.is_file() and path.stat().st_size <= LARGEST_ANSWER:
        try:
            told = dict(json.loads(path.read_bytes()))
        except (ValueError, TypeError):
            told = {}
    if isinstance(told.get("refused"), str):
        raise ContractError(told["refused"])
    graph = own / GRAPH
    if code or not told or not graph.is_file():
        how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        tail = said.decode(errors="replace").strip()[-300:]
        raise ContractError(f"the process that reads and converts it {how}: {tail or 'it said nothing'}")
    if graph.stat().st_size > LARGEST_GRAPH:
        raise ContractError(f"its graph has {graph.stat().st_size:,} bytes; {LARGEST_GRAPH:,} are allowed")
    return graph.read_bytes(), told
