"""A small pipeline whose loop runs within minutes, its made-up events, and the models that are there before it runs."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from headrace.domain.drift.harm.loss_reference import chance_losses
from headrace.domain.drift.reference_bins import Floats
from headrace.domain.drift.reference_profile import ReferenceProfile, answers_of, joint_of, profile_of
from headrace.domain.models.package import Input, Manifest, ModelPackage, pack
from tests.members import ROOT
from tests.models import graphs

NAME = "loop"
PIPELINE = """\
pipeline: loop
events: {schema: card_transaction, id: transaction_id, time: tx_datetime, key: customer_id, allowed_lateness: 10m}
rules: {amount: {range: [0, 100000], else: reject}}
views:
  customer: {key: customer_id, windows: [1d], features: {nb_tx: count, avg_amount: mean(amount)}}
  terminal: {key: terminal_id, windows: [1d], delay: 1h, features: {nb_tx: count}, missing: 0}
model: {name: loop, inputs: [amount], output: probability, threshold: 0.5}
labels: {id: transaction_id, value: fraud, matures_after: 1h}
segments: {amount_band: {of: amount, cuts: [10, 50]}}
value: {true_positive: 100, false_positive: -5, false_negative: -100}
drift: {false_alarms_per_month: 1}
retrain: {on: [drift, harm], trainer: lightgbm, window: 1d, cooldown: 1d, per_month: 3, memory_mb: 2048, limit: 10m}
release:
  approvals: 1
  canary: [50%, 100%]
  each: 150m
  guard: 1h
  margin: 20%
notify:
  channels:
    team: {env: LOOP_WEBHOOK, events: [drift, approvals, rollbacks, releases, retrain]}
"""
"""Events a second apart in stages that lie three hours apart: in each all labels of the one before are mature."""
START = 1_767_571_200_000
"""A Monday, 5 January 2026, 00:00 UTC."""
SECOND, STAGE = 1_000, 3 * 3_600_000
CUSTOMERS, TERMINALS = 60, 25
MIDDLE = 3.0
SHIFT = 1.5
"""By which the logarithm of amounts moves while the process is another."""


@dataclass(frozen=True, slots=True)
class StageEvents:
    """What is published of a stage: events, and later their labels."""

    events: pa.RecordBatch
    labels: pa.RecordBatch

    def __len__(self) -> int:
        return int(self.events.num_rows)


def chances(amounts: Floats) -> Floats:
    """How likely a payment is a fraud."""
    found: Floats = 1 / (1 + np.exp(-2.5 * (np.log(amounts) - MIDDLE)))
    return found


def stage_events(number: int, first: int, count: int, shifted: bool = False) -> StageEvents:
    """The events of a stage, with ids from `first` on, and their labels: the same in every run."""
    draw = np.random.default_rng(number)
    ids = np.arange(first, first + count)
    times = START + number * STAGE + np.arange(count) * SECOND
    amounts = draw.lognormal(MIDDLE + SHIFT * shifted, 1.0, count).round(2) + 0.01
    millis = pa.timestamp("ms", tz="UTC")
    events = {
        "transaction_id": pa.array(ids),
        "tx_datetime": pa.array(times).cast(millis),
        "customer_id": pa.array(draw.integers(0, CUSTOMERS, count)),
        "terminal_id": pa.array(draw.integers(0, TERMINALS, count)),
        "amount": pa.array(amounts),
    }
    labels = {
        "event_id": pa.array(ids).cast(pa.string()),
        "value": pa.array((draw.random(count) < chances(amounts)).astype(np.float64)),
        "label_time": pa.array(times + 60 * SECOND).cast(millis),
        "source": pa.array(["told"] * count),
    }
    return StageEvents(pa.RecordBatch.from_pydict(events), pa.RecordBatch.from_pydict(labels))


def source(directory: Path) -> Path:
    """The pipeline file in a folder of its own, with the schema of its events beside it."""
    (directory / "pipelines").mkdir(parents=True)
    (directory / "schemas").mkdir()
    shutil.copy(ROOT / "schemas/card_transaction.avsc", directory / "schemas")
    path = directory / "pipelines" / f"{NAME}.yaml"
    path.write_text(PIPELINE)
    return path


def package(version: str, weight: float) -> ModelPackage:
    """A model that knows the amount alone, and weighs it too little, or the wrong way round.

    It has a reference: amounts as they are before they move.
    """
    draw = np.random.default_rng(1_000)
    fitted, held_out = (np.exp(draw.normal(MIDDLE, 1.0, (20_000, 1))) for _ in range(2))
    answers = (1 / (1 + np.exp(-weight * held_out[:, 0]))).astype(np.float64)
    truth = (draw.random(len(held_out)) < chances(held_out[:, 0])).astype(np.float64)
    matrix = fitted.astype(np.float32)
    inputs = profile_of(("amount",), matrix)
    profile = ReferenceProfile(
        inputs, answers_of(answers, truth, 0.5), joint_of(inputs, matrix), loss=chance_losses(answers, truth)
    )
    manifest = Manifest(name=NAME, version=version, inputs=(Input(name="amount"),))
    return pack(manifest, graphs.logistic((weight,)), profile)
