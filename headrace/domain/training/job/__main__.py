"""The process of a training: `python -m headrace.domain.training.job ORDER.json`.

Standard output is JSON, a line each: `{"progress": ...}`, `{"order": ...}` once it is fixed, and last
`{"result": ...}` or `{"failure": ...}`. The log is standard error, and so is what libraries print. Settings are the
services' own (`HEADRACE_*`). Exit code 0 with a result, 1 with a failure.
"""

from __future__ import annotations

import os
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TextIO

from headrace.domain.training.job import limits
from headrace.domain.training.job.messages import Writer, failure_of
from headrace.domain.training.job.order import TrainingFailure, TrainingOrder, TrainingResult, parse_order
from headrace.errors import HeadraceError
from headrace.streaming.process.logs import configure, logger

WITH_PARENT = "--with-parent"


def main(arguments: list[str]) -> int:
    """Carry out the order of a file."""
    began = time.monotonic()
    paths = [argument for argument in arguments if argument != WITH_PARENT]
    if len(paths) != 1:
        sys.stderr.write("usage: python -m headrace.domain.training.job ORDER.json\n")
        return 2
    if WITH_PARENT in arguments:
        limits.end_with_parent()
    configure("json", service="training")
    log = logger("training")
    told = Writer(_own_output())
    try:
        order = parse_order(Path(paths[0]).read_bytes())
        limits.set_threads(order.limits)
        limits.set_limits(order.limits)
        result = _work(order, told)
    except (HeadraceError, MemoryError, OSError) as error:
        return _failed(failure_of(error), told)
    except Exception as error:
        log.exception("crashed")
        return _failed(failure_of(error), told)
    took = replace(
        result,
        cpu_s=round(limits.cpu_seconds(), 3),
        wall_s=round(time.monotonic() - began, 3),
        peak_memory=limits.peak_memory(),
    )
    told.end(took)
    log.info("done", model=f"{took.model}@{took.version}", digest=took.digest, cpu_s=took.cpu_s)
    return 0


def _work(order: TrainingOrder, told: Writer) -> TrainingResult:
    # Libraries are imported once it is said how many threads they may take.
    from headrace.domain.models.settings import PackageSettings
    from headrace.domain.models.store import ModelStore
    from headrace.domain.pipeline.wiring import read_contracts
    from headrace.domain.training.job.work import carry_out
    from headrace.streaming.process.settings import read_settings

    settings = read_settings(PackageSettings, pipeline=order.pipeline)
    assert isinstance(settings, PackageSettings)
    contracts = read_contracts(settings)
    store = ModelStore(settings.models, settings.model_cache)
    return carry_out(order, settings.connection, contracts, store, told)


def _failed(failure: TrainingFailure, told: Writer) -> int:
    logger("training").error("failed", kind=failure.kind, reason=failure.reason)
    told.end(failure)
    return 1


def _own_output() -> TextIO:
    """Standard output for us alone: whatever else is written there goes to the log."""
    own = os.dup(1)
    os.dup2(2, 1)
    return os.fdopen(own, "w")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
