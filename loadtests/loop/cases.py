"""What is played: events and their labels in time order, when the loop begins, and what the pipeline file says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import csv

from headrace.domain.training.dataset import milliseconds
from loadtests.campaign import Weeks
from loadtests.drift.streams import ELECTRICITY
from loadtests.stream import DATA
from tests.project import handbook_labels, handbook_transactions
from tests.sources import ROOT

DAY = 86_400_000
MILLIS = pa.timestamp("ms", tz="UTC")
LATE = 48
"""Half hours until a label of elec2 is there."""
FIRST_HALF_HOUR, HALF_HOUR = 831_427_200_000, 1_800_000
"""Tuesday, 1996-05-07, 00:00."""


def at(text: str) -> int:
    """Milliseconds since the epoch of a moment in UTC.

    >>> at("2018-07-01")
    1530403200000
    """
    return int(np.datetime64(text, "ms").astype(np.int64))


@dataclass(frozen=True, slots=True)
class LoopCase:
    """A data set and what is done with it; all times in milliseconds since the epoch.

    Attributes:
        name, title: for figures, and for people.
        source: the pipeline file that is played, and `changes` of it: what stands there, and what is played instead.
        key: column that keys the events.
        given: events from `first` on, and all their labels with the times at which they were known.
        first: where events begin that only fill windows.
        trained: where those begin that the first champion is trained on.
        opens, ends: the span of the loop; at `opens` the champion is trained, by what was known then.
        step: event time that is played at once.
        partitions: of topics.
    """

    name: str
    title: str
    source: Path
    changes: tuple[tuple[str, str], ...]
    key: str
    given: Weeks
    first: int
    trained: int
    opens: int
    ends: int
    step: int = DAY
    partitions: int = 4

    def text(self) -> str:
        """The pipeline file as it is played. AssertionError when a line that is to be changed is not there."""
        text = self.source.read_text()
        for old, new in self.changes:
            assert text.count(old) == 1, f"{self.source.name} has no line {old!r} any more"
            text = text.replace(old, new)
        return text

    def changed(self) -> list[str]:
        """Lines of the pipeline file that are not as they stand in the repository."""
        known = set(self.source.read_text().splitlines())
        return [line for line in self.text().splitlines() if line and line not in known]

    def brief(self, days: int, sample: int) -> LoopCase:
        """The first days of it alone, and each `sample`-th customer of them."""
        ends = min(self.ends, self.opens + days * DAY)
        given = self.given
        if sample > 1:
            kept = pa.array(given.events[self.key].to_numpy() % sample == 0)
            events, labels = given.events.filter(kept), given.labels.filter(kept)
            given = Weeks(events, labels, given.times[kept.to_numpy(zero_copy_only=False)])
        return replace(self, ends=ends, given=given)


RETRAIN = "retrain: {on: [drift, schedule], "
RELEASED = """
retrain:
  on: [drift, harm, schedule]
  schedule: "0 3 1 * *"
  clock: events
  window: 56d
  cooldown: 7d
  per_month: 2

release:
  gates: {average_precision: better}
  minimum: 336
  approvals: 0
  canary: [100%]
  each: 1d
"""


STRICT = "  gates: {average_precision: better}\n  fairness: {segment: amount_band, gap: 0.05}\n"
PIPELINE = ROOT / "pipelines/card_fraud.yaml"


def fraud() -> LoopCase:
    """July to September of the Handbook's transactions, labels a week late; the champion is of June."""
    first, opens, ends = at("2018-04-25"), at("2018-07-01"), at("2018-10-01")
    path = TRANSACTIONS
    clock = pq.read_table(path, columns=["tx_datetime"])["tx_datetime"].cast(pa.timestamp("ms")).cast(pa.int64())
    low, high = np.searchsorted(clock.to_numpy(), (first, ends)).tolist()
    events, labels = (read(path, slice(low, high)) for read in (handbook_transactions, handbook_labels))
    return LoopCase(
        name="fraud",
        title="Card fraud",
        source=PIPELINE,
        changes=(
            (RETRAIN, f"{RETRAIN}clock: events, "),
            ("  approvals: 1\n", "  approvals: 0\n"),
            ("    delay: 7d\n", "    idle_after: 2s\n    delay: 7d\n"),
        ),
        key="customer_id",
        given=Weeks(events, labels, milliseconds(events["tx_datetime"])),
        first=first,
        trained=at("2018-06-01"),
        opens=opens,
        ends=ends,
    )


def fraud_strict() -> LoopCase:
    """The same, with gates that ask for what a week's training cannot show, or no model has."""
    gates = next(line for line in PIPELINE.read_text().splitlines(keepends=True) if line.startswith("  gates: "))
    case = fraud()
    return replace(
        case, name="fraud_strict", title="Card fraud, strict gates", changes=(*case.changes, (gates, STRICT))
    )


def electricity() -> LoopCase:
    """All of elec2, labels 48 half hours late; the champion is of the first twelve weeks."""
    table = csv.read_csv(ELECTRICITY)
    number = np.arange(len(table))
    times = FIRST_HALF_HOUR + number * HALF_HOUR
    events = {"interval": number, "begins_at": pa.array(times).cast(MILLIS), "market": ["nsw"] * len(number)}
    events |= {name: table[name].combine_chunks() for name in table.column_names[1:-1]}
    labels = {
        "event_id": number.astype(str),
        "value": table["class"].to_numpy().astype(float),
        "label_time": pa.array(times + LATE * HALF_HOUR).cast(MILLIS),
        "source": ["market"] * len(number),
    }
    return LoopCase(
        name="elec2",
        title="Electricity prices (elec2)",
        source=ROOT / "pipelines/electricity.yaml",
        changes=(("drift: {false_alarms_per_month: 1}\n", "drift: {false_alarms_per_month: 1}\n" + RELEASED),),
        key="market",
        given=Weeks(pa.RecordBatch.from_pydict(events), pa.RecordBatch.from_pydict(labels), times),
        first=FIRST_HALF_HOUR,
        trained=FIRST_HALF_HOUR,
        opens=FIRST_HALF_HOUR + 84 * DAY,
        ends=int(times[-1]) + HALF_HOUR,
        step=7 * DAY,
        partitions=1,
    )


CASES: dict[str, Callable[[], LoopCase]] = {
    "fraud": fraud,
    "fraud_strict": fraud_strict,
    "elec2": electricity,
}
TRANSACTIONS = DATA / "transactions.parquet"
PLACES = {"fraud": TRANSACTIONS, "fraud_strict": TRANSACTIONS, "elec2": ELECTRICITY}
