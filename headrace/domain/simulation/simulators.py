"""Which simulator makes a pipeline's events."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pyarrow as pa

from headrace.domain.pipeline.spec import Pipeline
from headrace.domain.simulation import cards, generic
from headrace.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class World:
    """How large the made-up world is.

    Attributes:
        entities: how many entities key the events (customers).
        others: how many other parties they meet, where the simulator has such (terminals).
        days: how long it lasts.
        start: first midnight, milliseconds since the epoch.
        seed: of the random numbers; the same world gives the same events.
        shift_day: from which day on, the first being 0, something else is true of the events; None: never.
    """

    entities: int = 5_000
    others: int = 10_000
    days: int = 30
    start: int = 1_522_540_800_000
    seed: int = 0
    shift_day: int | None = None


class Simulator(Protocol):
    """Makes the events of a pipeline."""

    def __call__(self, pipeline: Pipeline, world: World) -> pa.Table:
        """Events in time order, and a column with the label, 0 or 1, where the simulator knows it."""


def _cards(pipeline: Pipeline, world: World) -> pa.Table:
    return cards.generate(
        world.entities, world.others, world.days, world.start, seed=world.seed, shift_day=world.shift_day
    )


def _generic(pipeline: Pipeline, world: World) -> pa.Table:
    if world.shift_day is not None:
        raise ConfigurationError(
            f"a shift of the process is made up for {', '.join(SIMULATORS)} alone, and {pipeline.name} has events of "
            f"schema {pipeline.events.schema}: leave the day out, or write a simulator"
        )
    return generic.generate(pipeline, world.entities, world.days, world.start, world.seed)


SIMULATORS: Mapping[str, Simulator] = {"card_transaction": _cards}
"""By event schema; a pipeline with another schema gets events that follow its schema and rules."""


def simulate(pipeline: Pipeline, world: World) -> pa.Table:
    """The pipeline's events in this world, in time order, with labels as the pipeline file says that they are."""
    table, rule = SIMULATORS.get(pipeline.events.schema, _generic)(pipeline, world), pipeline.labels
    if rule is None or rule.positive is None or rule.value not in {*table.column_names} - {*pipeline.events.fields}:
        return table
    yes, no = rule.positive, 0.0 if rule.positive else 1.0
    told = np.where(table[rule.value].to_numpy() != 0, yes, no)
    return table.set_column(table.column_names.index(rule.value), rule.value, pa.array(told))
