"""Figures of a study: how they are gathered, averaged and laid out."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import Any, Protocol, TypeVar

import numpy as np

Job = TypeVar("Job")
Answer = TypeVar("Answer")
Figures = dict[str, Any]
TOLD_EVERY_S = 15.0


class Spread(Protocol):
    """Does jobs of one kind on several cores, and says how far it is."""

    def __call__(self, what: str, work: Callable[[Job], Answer], jobs: Sequence[Job]) -> list[Answer]:
        """Answers in the order of the jobs."""
        ...


def spread_over(workers: int) -> Spread:
    """A spread over so many processes; 0 or 1: this one."""

    def spread(what: str, work: Callable[[Job], Answer], jobs: Sequence[Job]) -> list[Answer]:
        begun = told = time.monotonic()
        found: list[Answer] = []
        with ProcessPoolExecutor(max(workers, 1), initializer=os.nice, initargs=(5,)) as pool:
            for answer in pool.map(work, jobs):
                found.append(answer)
                now = time.monotonic()
                if now - told > TOLD_EVERY_S:
                    told = now
                    print(f"{what}: {len(found)} of {len(jobs)}, {now - begun:.0f} s", flush=True)
        print(f"{what}: {len(jobs)} in {time.monotonic() - begun:.0f} s", flush=True)
        return found

    return spread


def mean_and_bound(counts: Sequence[float]) -> tuple[float, float]:
    """The mean over runs, and the upper end of its 95% interval: 1.96 standard errors."""
    mean = float(np.mean(counts))
    error = float(np.std(counts, ddof=1) / np.sqrt(len(counts))) if len(counts) > 1 else float("inf")
    return mean, mean + 1.96 * error


def markdown(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of a page."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def delay_cell(delays: Sequence[int], missed: int) -> str:
    """The median, and the share without an alarm; that alone where it is most of them."""
    share = float(np.mean([delay >= missed for delay in delays]))
    if share >= 0.5:
        return f"{share:.0%} missed"
    median = f"{float(np.median(delays)):,.0f}"
    return f"{median} ({share:.0%} missed)" if share else median
