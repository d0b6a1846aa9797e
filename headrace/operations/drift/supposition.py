"""When drift would have been seen: recorded predictions, replayed with a change that somebody supposes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from headrace.domain.drift.alarms import Alarm
from headrace.domain.drift.allowance import months, threshold
from headrace.domain.drift.model_monitor import ModelMonitor
from headrace.domain.drift.reference_bins import Bytes, Floats
from headrace.domain.pipeline.document import closest
from headrace.domain.pipeline.wiring import Contracts
from headrace.domain.records.watched_columns import PREDICTIONS, ModelIdentity
from headrace.errors import ConfigurationError
from headrace.operations.drift.model_rows import model_rows, watched_of
from headrace.operations.plan_changes.plan_history import plan_history
from headrace.operations.progress import ProgressView
from headrace.streaming.process.settings import Settings

_WRITTEN = re.compile(r"^\s*(?P<column>\S+)\s*(?P<operator>[*+=-])\s*(?P<by>\S+)\s*$")
MISSING = "missing"
LAST = 1 / 3
"""The part of the recorded time, at its end, in which a change is supposed where nobody says when."""


@dataclass(frozen=True, slots=True)
class Supposition:
    """A change of one input.

    Attributes:
        column: its name.
        operator: `*`, `+`, `-` or `=`.
        by: a number; NaN: missing.
        text: as it was written.
    """

    column: str
    operator: str
    by: float
    text: str

    def __call__(self, values: Floats) -> Floats:
        """The values as they would be."""
        if self.operator == "=":
            return np.full(len(values), self.by)
        changed: Floats = {"*": values * self.by, "+": values + self.by, "-": values - self.by}[self.operator]
        return changed


@dataclass(frozen=True, slots=True)
class SupposedAlarm:
    """An alarm of the replay: its event time (ms), how many rows after the change, and what it names."""

    time: int
    rows: int
    columns: Sequence[str]


@dataclass(frozen=True, slots=True)
class SupposedDrift:
    """What would have been seen of a change.

    Attributes:
        supposed: the change, as it was written.
        model: `name@version` that answered the rows.
        rows: recorded ones that the model was not fitted on.
        since: event time of the first row that is changed, milliseconds; `changed`: how many are.
        seen: the first alarm from then on that names the column; None: there is none.
        others: alarms that the same rows give without the change.
    """

    supposed: str
    model: str
    rows: int
    since: int
    changed: int
    seen: SupposedAlarm | None
    others: Sequence[SupposedAlarm]


def supposition(text: str) -> Supposition:
    """What `amount * 1.5`, `amount + 20` or `amount = missing` says. ConfigurationError says how to write it.

    >>> supposition("amount * 1.5")(np.array([2.0])).tolist()
    [3.0]
    """
    said = _WRITTEN.match(text)
    try:
        if said is None:
            raise ValueError
        by = float("nan") if (said["operator"], said["by"]) == ("=", MISSING) else float(said["by"])
    except ValueError:
        raise ConfigurationError(
            f"--suppose {text!r}: write an input and what becomes of it, such as 'amount * 1.5', 'amount + 20', "
            "'amount = 0' or 'amount = missing'"
        ) from None
    return Supposition(said["column"], said["operator"], by, text)


def suppose(
    settings: Settings, contracts: Contracts, change: Supposition, since: int | None, progress: ProgressView
) -> SupposedDrift:
    """Replay what the champion answered, with a change of one of its inputs; scores stay what they were.

    Args:
        since: event time from which on, milliseconds; None: the last third of what there is.

    Raises:
        ConfigurationError: no plan, no such input, or nothing recorded of the champion.
        Transient: Kafka, or the model store, does not answer.
    """
    pipeline = contracts.pipeline
    held = plan_history(settings, contracts).held
    if held is None or held.plan is None:
        raise ConfigurationError(f"{pipeline.name} has no plan, so nothing is watched: headrace train {pipeline.name}")
    arm = held.plan.champion
    model = ModelIdentity(arm.model, arm.version, arm.digest)
    watched = watched_of(settings, contracts, PREDICTIONS, model)
    inputs = watched.inputs
    if change.column not in inputs:
        raise ConfigurationError(f"{model.title} has no input {change.column}: {closest(change.column, inputs)}")
    if change.column in watched.categories and (change.operator, str(change.by)) != ("=", "nan"):
        raise ConfigurationError(f"{change.column} is a category, not a number: suppose '{change.column} = missing'")
    whole, times = model_rows(settings, contracts, PREDICTIONS, model, watched, progress)
    if since is None:
        since = int(times[-1] - (times[-1] - times[0]) * LAST)
    first = int(np.searchsorted(times, since))
    allowed = threshold(pipeline.drift.false_alarms_per_month, PREDICTIONS, pipeline.labels is not None)

    def alarms(places: Bytes, values: Floats) -> list[SupposedAlarm]:
        monitor = ModelMonitor(
            watched.names, watched.profiles, allowed, watched.weights(), watched.proved, watched.categories
        )
        found = monitor.fold(places, values, times, months(None, times))
        return [
            SupposedAlarm(each.time, each.event - first, [changed.column for changed in each.changes])
            for each in found
            if isinstance(each, Alarm)
        ]

    with progress.stage("replaying"):
        places, values = watched.read(whole)
        others = alarms(places, values)
        if first < len(times):
            places[first:], values[first:] = watched.read(whole.slice(first), {change.column: change})
        supposed = alarms(places, values)
    of_it = (each for each in supposed if each.rows > 0 and change.column in each.columns)
    return SupposedDrift(change.text, model.title, len(times), since, len(times) - first, next(of_it, None), others)
