"""When releases of a pipeline decide, by the outcomes of late."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from headrace.domain.pipeline.classes.columns import SCORES, chances_of
from headrace.domain.pipeline.release.spec import DAY, Release
from headrace.domain.pipeline.wiring import Contracts
from headrace.domain.quality.classes.losses import half_brier
from headrace.domain.release.forecast import (
    DecisionForecast,
    Traffic,
    time_to_advance,
    time_to_champion,
    time_to_roll_back,
)
from headrace.domain.training.dataset import milliseconds
from headrace.domain.training.outcome_rows import events_of
from headrace.errors import ConfigurationError
from headrace.streaming.kafka.reader import Range, ranges, read_table
from headrace.streaming.process.settings import Settings
from headrace.streaming.watermarks.event_time import LATEST

Floats = npt.NDArray[np.float64]
HARMS = (0.1, 0.25, 0.5, 1.0)
"""Shares of the champion's loss that a candidate loses more, unless others are asked for."""
LEAST = 100


@dataclass(frozen=True, slots=True)
class HarmForecast:
    """When a candidate that loses a `share` of the champion's loss more is put back; `loss`: the same per event."""

    share: float
    loss: float
    found: DecisionForecast


@dataclass(frozen=True, slots=True)
class ReleaseForecast:
    """What is to be expected of a release that begins now.

    Attributes:
        pipeline: whose.
        outcomes: labelled events that were looked at.
        start, end: event times of the first and the last, milliseconds.
        loss, deviation: of the champion (or canary) at an event: Brier's score (of several classes half of it), or
            squared error.
        events_a_day: that have a label.
        matures_after: milliseconds.
        harms: of candidates that are worse.
        as_good: when evidence lets one go on that is as good as the champion.
        champion_days: until that one is champion; None where evidence does not let it go on.
    """

    pipeline: str
    outcomes: int
    start: int
    end: int
    loss: float
    deviation: float
    events_a_day: float
    matures_after: int
    harms: Sequence[HarmForecast]
    as_good: DecisionForecast
    champion_days: float | None


def forecast_releases(
    settings: Settings, contracts: Contracts, harms: Sequence[float] = (), newest: int = 100_000
) -> ReleaseForecast:
    """Look at the newest outcomes, and say when evidence decides at their traffic.

    Args:
        settings, contracts: of the pipeline.
        harms: shares of the champion's loss that a candidate loses more.
        newest: how many records of outcomes are read.

    Raises:
        ConfigurationError: the pipeline releases nothing, has no evidence, or too few outcomes.
        Transient: Kafka does not answer.
    """
    pipeline = contracts.pipeline
    rules = _rules(contracts)
    channel = contracts.channel("outcomes")
    held = ranges(settings.connection, channel.name)
    each = max(newest // max(len(held), 1), 1)
    wanted = [Range(one.partition, max(one.start, one.stop - each), one.stop) for one in held]
    rows = read_table(settings.connection, channel, wanted)
    if not rows.num_rows:
        raise ConfigurationError(f"{channel.name} has no outcomes yet: there is nothing to go by")
    events, labels = events_of(rows, pipeline.labels, LATEST)
    known = ~np.isnan(labels)
    times = milliseconds(events["event_time"])[known]
    if len(times) < LEAST:
        raise ConfigurationError(f"{len(times)} labelled outcomes are too few to go by: wait for {LEAST}")
    losses = event_losses(events, labels, rules)[known]
    days = max(int(times.max() - times.min()), 1) / DAY
    matures_after = 0 if pipeline.labels is None else pipeline.labels.matures_after
    traffic = Traffic(float(losses.mean()), float(losses.std()), len(times) / days, matures_after)
    return ReleaseForecast(
        pipeline.name,
        len(times),
        int(times.min()),
        int(times.max()),
        traffic.loss,
        traffic.deviation,
        traffic.events_a_day,
        matures_after,
        [
            HarmForecast(share, share * traffic.loss, time_to_roll_back(rules, traffic, share * traffic.loss))
            for share in harms or HARMS
        ],
        time_to_advance(rules, traffic),
        time_to_champion(rules, traffic),
    )


def event_losses(events: pa.Table, labels: Floats, rules: Release) -> Floats:
    """What evidence takes each event to lose, float64; NaN without a label."""
    if SCORES in events.column_names:
        (columns,) = events.select([SCORES]).combine_chunks().to_batches()
        return half_brier(chances_of(columns), labels)
    truths = labels if rules.bound is not None else np.where(np.isnan(labels), np.nan, labels > 0)
    losses: Floats = (events["score"].to_numpy() - truths) ** 2
    return losses if rules.bound is None else np.minimum(losses, rules.bound)


def _rules(contracts: Contracts) -> Release:
    pipeline = contracts.pipeline
    if pipeline.release is None:
        raise ConfigurationError(f"{pipeline.name} has no section release: nothing is let in by evidence")
    if pipeline.labels is None:
        raise ConfigurationError(f"{pipeline.name} has no labels, so no evidence: people decide on its releases")
    if pipeline.model.output == "value" and pipeline.release.bound is None:
        raise ConfigurationError(
            f"{pipeline.name} predicts values and release has no bound of squared errors, so there is no evidence: "
            "write release.bound"
        )
    return pipeline.release
