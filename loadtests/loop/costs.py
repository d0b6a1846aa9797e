"""What a span of a replay costs: CPU time of each service, as the kernel counts it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from tests.project import Project

TICKS = os.sysconf("SC_CLK_TCK")
JOBS = "jobs"
"""Trainings and evaluations, which are processes of `retrain`."""


def cpu_with_children(pid: int) -> tuple[float, float]:
    """User and system time of a process since its start, and of children that it has waited for; seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    own, waited = int(fields[11]) + int(fields[12]), int(fields[13]) + int(fields[14])
    return own / TICKS, waited / TICKS


class CostMeter:
    """Counts from now on.

    Args:
        beside: further processes by name, that do not end.
    """

    def __init__(self, project: Project, beside: Mapping[str, int]) -> None:
        self._project = project
        self._beside = dict(beside)
        self._seen: dict[int, tuple[float, float]] = {}
        self.spent: dict[str, float] = {}
        for pid in self._pids().values():
            self._seen[pid] = cpu_with_children(pid)

    def note(self) -> None:
        """Add what was spent since the last call; what a process spent after that until it died is not seen."""
        for name, pid in self._pids().items():
            try:
                now = cpu_with_children(pid)
            except FileNotFoundError:
                continue
            before = self._seen.get(pid, (0.0, 0.0))
            self._seen[pid] = now
            for part, seconds in (
                (name, now[0] - before[0]),
                (JOBS if name == "retrain" else name, now[1] - before[1]),
            ):
                self.spent[part] = self.spent.get(part, 0.0) + seconds

    def _pids(self) -> dict[str, int]:
        members = {name.partition("-")[0]: process.pid for name, process in self._project.processes.items()}
        return members | self._beside
