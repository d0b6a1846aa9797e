"""What a job's process does around its work: the order is read, limits are set, and how it went is the last line.

Standard output is JSON, a line each: `{"progress": ...}`, and last `{"result": ...}` or `{"failure": ...}`. The log is
standard error, and so is what libraries print. Exit code 0 with a result, 1 with a failure, 2 without an order.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TextIO, TypeVar

if TYPE_CHECKING:
    from headrace.domain.models.store import ModelStore
    from headrace.domain.pipeline.wiring import Contracts
    from headrace.streaming.kafka.connection import Connection

from headrace.domain.training.job import limits
from headrace.domain.training.job.messages import Writer, failure_of
from headrace.domain.training.job.order import JobLimits, TrainingFailure
from headrace.errors import HeadraceError
from headrace.streaming.process.logs import configure, logger

WITH_PARENT = "--with-parent"


class JobOrder(Protocol):
    """What all orders have."""

    @property
    def pipeline(self) -> str:
        """A pipeline file, or the name of a built-in one."""

    @property
    def limits(self) -> JobLimits:
        """Of the process."""

    def dump(self) -> str:
        """As JSON."""


@dataclass(frozen=True, slots=True)
class JobPlace:
    """Where the topics of a job's pipeline are, and where packages lie."""

    connection: Connection
    contracts: Contracts
    store: ModelStore


Order = TypeVar("Order", bound=JobOrder)


@dataclass(frozen=True, slots=True)
class JobCost:
    """Seconds of processors and on the clock, and the most bytes that were in memory at once."""

    cpu_s: float
    wall_s: float
    peak_memory: int


def serve_job(
    arguments: list[str],
    name: str,
    module: str,
    parse: Callable[[bytes], Order],
    work: Callable[[Order, JobPlace, Writer], Any],
    close: Callable[[Any, JobCost], str],
) -> int:
    """Carry out the order of a file; the exit code.

    Args:
        arguments: the file, and `WITH_PARENT` where the process is to end with whoever holds its standard input.
        name: of the job, for the log.
        module: that `python -m` runs, for whoever calls it wrongly.
        parse: reads an order; raises ConfigurationError.
        work: carries it out; libraries that train are to be imported there, once it is said how many threads they take.
        close: the result as JSON, with what it cost.
    """
    began = time.monotonic()
    paths = [argument for argument in arguments if argument != WITH_PARENT]
    if len(paths) != 1:
        sys.stderr.write(f"usage: python -m {module} ORDER.json\n")
        return 2
    if WITH_PARENT in arguments:
        limits.end_with_parent()
    configure("json", service=name)
    log = logger(name)
    told = Writer(_own_output())
    try:
        order = parse(Path(paths[0]).read_bytes())
        limits.set_threads(order.limits)
        limits.set_limits(order.limits)
        result = work(order, _place(order.pipeline), told)
    except (HeadraceError, MemoryError, OSError) as error:
        return _failed(name, failure_of(error), told)
    except Exception as error:
        log.exception("crashed")
        return _failed(name, failure_of(error), told)
    cost = JobCost(round(limits.cpu_seconds(), 3), round(time.monotonic() - began, 3), limits.peak_memory())
    told.say("result", close(result, cost))
    log.info("done", cpu_s=cost.cpu_s, wall_s=cost.wall_s)
    return 0


def _place(pipeline: str) -> JobPlace:
    # Imported here, for the same reason.
    from headrace.domain.models.settings import PackageSettings
    from headrace.domain.models.store import ModelStore
    from headrace.domain.pipeline.wiring import read_contracts
    from headrace.streaming.process.settings import read_settings

    settings = read_settings(PackageSettings, pipeline=pipeline)
    store = ModelStore(settings.models, settings.model_cache)
    return JobPlace(settings.connection, read_contracts(settings), store)


def _failed(name: str, failure: TrainingFailure, told: Writer) -> int:
    logger(name).error("failed", kind=failure.kind, reason=failure.reason)
    told.end(failure)
    return 1


def _own_output() -> TextIO:
    """Standard output for us alone: whatever else is written there goes to the log."""
    own = os.dup(1)
    os.dup2(2, 1)
    return os.fdopen(own, "w")
