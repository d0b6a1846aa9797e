"""What processes cost, as the kernel counts it, and what services say of themselves."""

from __future__ import annotations

import json
import os
import time
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from tests.project import Project

TICKS = os.sysconf("SC_CLK_TCK")
MIB = 1024 * 1024


def cpu_seconds(pid: int) -> float:
    """User and system time of a process since its start, all threads, dead ones too; in steps of 10 ms."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def resident_mib(pid: int) -> float:
    """Memory that a process holds in RAM, shared pages included."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise ProcessLookupError(pid)


def log_lines(path: Path) -> list[dict[str, Any]]:
    """The JSON lines of a service's log; tracebacks and half lines are passed over."""
    found = []
    for line in path.read_text().splitlines():
        if line.startswith("{") and line.endswith("}"):
            found.append(json.loads(line))
    return found


def moment(line: Mapping[str, Any]) -> float:
    """When a log line was written, seconds since the epoch."""
    return datetime.fromisoformat(line["timestamp"]).timestamp()


@dataclass(frozen=True, slots=True)
class Sample:
    """A process at a moment.

    Attributes:
        at: `time.monotonic` seconds.
        cpu: seconds since its start.
        records: records that it has processed; 0 while it does not answer yet.
        stages: seconds that its loop spent, by stage.
        batches, rows: polls that gave records, and the records in them.
    """

    at: float
    cpu: float
    records: float = 0.0
    stages: Mapping[str, float] = field(default_factory=dict)
    batches: float = 0.0
    rows: float = 0.0


class Meter:
    """Reads one member of a project, from outside.

    Args:
        member: one that was started just now, or
        whole_log: one that has said in its log already where it listens.
    """

    def __init__(self, project: Project, member: str, whole_log: bool = False) -> None:
        self.member = member
        self.service = member.partition("-")[0]
        self.pid = project.processes[member].pid
        self.log = project.directory / f"{member}.log"
        # A log goes on over restarts: what an earlier process said is not this one's.
        self._skip = 0 if whole_log or not self.log.exists() else len(log_lines(self.log))
        self._url: str | None = None
        self._trace: list[tuple[float, float]] = []

    def trace(self) -> None:
        """Note the CPU time now; cheap, and unseen by the process."""
        self._trace.append((time.time(), cpu_seconds(self.pid)))

    def cpu_when_assigned(self) -> float:
        """CPU seconds that the process had used when it was first given partitions, by the trace: start-up's share."""
        lines = log_lines(self.log)[self._skip :]
        given = next(moment(line) for line in lines if line["event"] == "assigned" and line["partitions"])
        return next((cpu for at, cpu in reversed(self._trace) if at <= given), 0.0)

    def sample(self) -> Sample:
        """The process now. What it says of itself costs it a few milliseconds, so ask no more than twice a second."""
        metrics = self.metrics()
        processed = metrics.get(("headrace_records_total", "processed"), 0.0)
        stages = {label: value for (name, label), value in metrics.items() if name == "headrace_stage_seconds_total"}
        batches = metrics.get(("headrace_batch_rows_count", ""), 0.0)
        rows = metrics.get(("headrace_batch_rows_sum", ""), 0.0)
        return Sample(time.monotonic(), cpu_seconds(self.pid), processed, stages, batches, rows)

    def metrics(self) -> dict[tuple[str, str], float]:
        """By name and label value (the first label's; "" where there is none); nothing while it does not listen."""
        if self._url is None:
            for line in log_lines(self.log)[self._skip :]:
                if line["event"] == "listening":
                    self._url = f"http://127.0.0.1:{line['port']}/metrics"
        if self._url is None:
            return {}
        with urllib.request.urlopen(self._url, timeout=30) as answer:
            text = answer.read().decode()
        return {
            (sample.name, next(iter(sample.labels.values()), "")): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }


def watched(
    meters: list[Meter], done: Callable[[list[Sample]], bool], within: float, logs: Callable[[], str]
) -> list[list[Sample]]:
    """Samples of each meter, twice a second, from now until `done` says so of the newest ones.

    Raises:
        AssertionError: that took longer than `within` seconds, with the logs.
    """
    found: list[list[Sample]] = [[] for _ in meters]
    end = time.monotonic() + within
    while True:
        for samples, meter in zip(found, meters, strict=True):
            samples.append(meter.sample())
        if done([samples[-1] for samples in found]):
            return found
        assert time.monotonic() < end, f"not done within {within:g} s: {[s[-1].records for s in found]}\n{logs()}"
        for _ in range(25):  # 0.5 s, the grain of the samples; 20 ms is that of the trace.
            for meter in meters:
                meter.trace()
            time.sleep(0.02)
