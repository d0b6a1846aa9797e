"""What a person wants replayed: which events, by which model, and what the replay is called for it."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

from headrace.domain.models.model_loader import OpenArm
from headrace.errors import ConfigurationError
from headrace.operations.time_spans import TimeSpan
from headrace.streaming.kafka.reader import Range

RUN = 12
"""Hex digits of a run's name."""
_OFFSETS = re.compile(r"(\d+):(\d+)-(\d+)")


@dataclass(frozen=True, slots=True)
class ReplayRequest:
    """Which events, by which model.

    Attributes:
        model: as `arm.replayed_arm` takes it.
        span: event times.
        offsets: of the features topic; nothing: all of it that may hold the span.
    """

    model: str
    span: TimeSpan
    offsets: tuple[Range, ...] = ()


def run_of(pipeline: str, opened: OpenArm, request: ReplayRequest) -> str:
    """The name of a replay: the same for whoever asks for the same events of the same model, whenever.

    It is the beginning of a SHA-256 over the pipeline, the model's digest, the threshold, the event times and offsets.
    """
    asked = {
        "pipeline": pipeline,
        "digest": opened.arm.digest,
        "threshold": float(opened.threshold),
        "span": [request.span.start, request.span.stop],
        "offsets": [[part.partition, part.start, part.stop] for part in request.offsets],
    }
    canonical = json.dumps(asked, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:RUN]


def offsets_of(texts: Sequence[str]) -> tuple[Range, ...]:
    """Ranges of offsets as a person writes them, by partition.

    >>> offsets_of(["1:0-50", "0:100-200"])
    (Range(partition=0, start=100, stop=200), Range(partition=1, start=0, stop=50))

    Raises:
        ConfigurationError: one is no range, or a partition has two.
    """
    found: dict[int, Range] = {}
    for text in texts:
        match = _OFFSETS.fullmatch(text.strip())
        part = Range(*map(int, match.groups())) if match else None
        if part is None or part.start >= part.stop:
            raise ConfigurationError(f"--offsets {text}: write PARTITION:FROM-TO, TO not included, such as 0:100-200")
        if part.partition in found:
            raise ConfigurationError(f"--offsets names partition {part.partition} twice: give it one range")
        found[part.partition] = part
    return tuple(found[partition] for partition in sorted(found))


def span_of(start: int | None, stop: int | None) -> TimeSpan:
    """Event times between two ends, milliseconds, None for an open one. ConfigurationError when there are none."""
    open_ended = TimeSpan()
    span = TimeSpan(open_ended.start if start is None else start, open_ended.stop if stop is None else stop)
    if span.start >= span.stop:
        raise ConfigurationError("--from must be before --to, which is not included")
    return span
