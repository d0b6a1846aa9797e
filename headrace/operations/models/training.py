"""A model from the features and labels on the topics."""

from __future__ import annotations

import subprocess

import numpy as np
import pyarrow as pa

from headrace.domain.training import dataset


def between(features: pa.Table, start: int | None, stop: int | None) -> pa.Table:
    """Rows with start <= event time < stop, milliseconds; None leaves an end open."""
    times = dataset.milliseconds(features["event_time"])
    kept = np.ones(len(times), np.bool_)
    kept &= times >= start if start is not None else True
    kept &= times < stop if stop is not None else True
    return features.filter(pa.array(kept))


def used(rows: pa.Table) -> dict[int, tuple[int, int]]:
    """For each partition the half-open range of offsets that the rows of a read topic lie in."""
    partitions, offsets = rows["_partition"].to_numpy(), rows["_offset"].to_numpy()
    return {
        int(p): (int(offsets[partitions == p].min()), int(offsets[partitions == p].max()) + 1)
        for p in np.unique(partitions)
    }


def revision() -> str | None:
    """The git revision of the working directory, with `+changes` when it is not clean; None outside of git."""

    def git(*arguments: str) -> str | None:
        try:
            ran = subprocess.run(["git", *arguments], capture_output=True, text=True, timeout=10, check=True)
        except (OSError, subprocess.SubprocessError):
            return None
        return ran.stdout.strip()

    head = git("rev-parse", "HEAD")
    return f"{head}+changes" if head and git("status", "--porcelain", "--untracked-files=no") else head
