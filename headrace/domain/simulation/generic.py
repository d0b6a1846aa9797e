"""Plausible random events for any pipeline, from its event schema and rules alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from headrace.domain.pipeline.classes.names import whole
from headrace.domain.pipeline.spec import Field, Pipeline, Rule
from headrace.errors import ConfigurationError

DAY = 86_400_000  # milliseconds
DAILY = 2.0  # events of an entity a day, on average
CATEGORIES = 10  # values of a text field without a rule


def generate(pipeline: Pipeline, entities: int, days: int, start: int, seed: int) -> pa.Table:
    """Events in time order that pass the pipeline's rules; the same arguments give the same table.

    Numbers are uniform within the rule's range, else lognormal; categories are uniform over `one_of`, else ten made-up
    words. Where the pipeline has labels, the column it names for their value is 1 for the tenth of the events whose
    numbers, standardised and summed with noise, are the largest: something that a model can learn. Of several classes
    as many events are of each, in the order of that sum.

    Args:
        pipeline: whose events.
        entities: how many entities there are.
        days: length of the whole.
        start: first moment, milliseconds since the epoch.
        seed: of the random numbers.

    Raises:
        ConfigurationError: a field's type cannot be made up.
    """
    rng = np.random.default_rng(seed)
    rows = int(rng.poisson(DAILY * entities * days))
    rules = {rule.field: rule for rule in pipeline.rules}
    signal = rng.normal(size=rows)
    columns: dict[str, Any] = {}
    for name, field in pipeline.events.fields.items():
        if name == pipeline.events.id:
            columns[name] = _named("event", np.arange(rows), field)
        elif name == pipeline.events.time:
            moments: Any = pa.array(np.sort(rng.integers(start, start + days * DAY, rows)))
            columns[name] = moments.cast(pa.timestamp("ms", "UTC"))
        elif name == pipeline.events.key:
            columns[name] = _named("entity", rng.integers(0, entities, rows), field)
        else:
            values = _values(field, rules.get(name), rows, rng)
            columns[name] = values
            if isinstance(values, np.ndarray) and values.dtype.kind in "if" and values.std() > 0:
                signal += (values - values.mean()) / values.std()
    if pipeline.labels is not None and pipeline.labels.value not in columns and rows:
        columns[pipeline.labels.value] = _truth(signal, pipeline.labels.names)
    return pa.table(columns)


def _truth(signal: npt.NDArray[np.float64], names: Sequence[str]) -> Any:
    """What came true, as a person writes it."""
    if not names:
        return (signal > np.quantile(signal, 0.9)).astype(np.int8)
    places = np.searchsorted(np.quantile(signal, np.arange(1, len(names)) / len(names)), signal)
    told: Any = pa.array(list(names)).take(pa.array(places))
    return told.cast(pa.int64()) if all(map(whole, names)) else told


def _named(kind: str, numbers: npt.NDArray[np.int64], field: Field) -> Any:
    if field.type in ("integer", "number"):
        return numbers
    names: Any = np.char.add(f"{kind}-", numbers.astype(str))
    return pa.array(names, pa.string())


def _values(field: Field, rule: Rule | None, rows: int, rng: np.random.Generator) -> Any:
    if rule is not None and rule.one_of:
        allowed: Any = pa.array(rule.one_of)
        return allowed.take(rng.integers(0, len(rule.one_of), rows))
    if field.type == "boolean":
        return pa.array(rng.random(rows) < 0.5)
    if field.type == "string":
        words: Any = pa.array([f"{field.name}-{number}" for number in range(CATEGORIES)])
        return words.take(rng.integers(0, CATEGORIES, rows))
    if field.type not in ("integer", "number"):
        raise ConfigurationError(
            f"events of type {field.avro} cannot be made up (field {field.name}); write a simulator"
        )
    low, high = rule.range if rule is not None and rule.range is not None else (-np.inf, np.inf)
    if np.isfinite(low) and np.isfinite(high):
        drawn = rng.uniform(low, high, rows)
    else:
        drawn = np.clip(rng.lognormal(3.0, 1.0, rows), low, high)
    return np.clip(np.round(drawn), np.ceil(low), np.floor(high)).astype(np.int64) if field.type == "integer" else drawn
