"""Events of a made-up world, in a file that can be published."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq

from headrace.domain.pipeline.spec import Pipeline
from headrace.domain.simulation.simulators import World, simulate


@dataclass(frozen=True, slots=True)
class GeneratedEvents:
    """What was written; `labels` is the column that has them, None where the pipeline has none."""

    file: str
    rows: int
    columns: Sequence[str]
    labels: str | None
    seed: int


def generate_events(pipeline: Pipeline, world: World, out: Path) -> GeneratedEvents:
    """Make up events of a pipeline, with labels, in time order; the same world gives the same file."""
    table = simulate(pipeline, world)
    pq.write_table(table, out)
    label = pipeline.labels.value if pipeline.labels is not None else None
    labels = label if label in table.column_names else None
    return GeneratedEvents(str(out), table.num_rows, table.column_names, labels, world.seed)
