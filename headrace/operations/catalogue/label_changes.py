"""What labels of events were at any time: the changes that views which fold labels are told."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from headrace.domain.pipeline.spec import Labels
from headrace.domain.training.dataset import meaningful, milliseconds, source_ranks

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class LabelChanges:
    """Changes of labels, by event and time.

    Attributes:
        event: int64, the place of the event that each is of.
        known: int64, ms, from when on it holds.
        labelled, label: float64, change of the number of its labels (1 or 0), and of their sum.
    """

    event: Ints
    known: Ints
    labelled: Floats
    label: Floats


def label_changes(event_ids: pa.StringArray, times: Ints, labels: pa.Table, rule: Labels) -> LabelChanges:
    """The changes of the labels of some events.

    What holds at any time is the newest label of then; of equally new ones that whose source the pipeline file names
    first, then the larger value. Labels that come later than `expires_after` count for nothing.

    Args:
        event_ids: of the events, each once; `times`: theirs, ms.
        labels: as `dataset.truth` takes them.
    """
    labels = meaningful(labels, rule)
    place = pc.index_in(labels["event_id"].combine_chunks(), event_ids)
    labels, event = labels.filter(place.is_valid()), place.drop_null().to_numpy().astype(np.int64)
    value, when, rank = labels["value"].to_numpy(), milliseconds(labels["label_time"]), source_ranks(labels, rule)
    timely = when <= times[event] + rule.expires_after
    event, value, when, rank = event[timely], value[timely], when[timely], rank[timely]
    order = np.lexsort((value, -rank, when, event))
    event, value, when = event[order], value[order], when[order]
    holds = np.append((np.diff(event) != 0) | (np.diff(when) != 0), True)[: len(event)]  # the last one of each time
    event, value, when = event[holds], value[holds], when[holds]
    first = np.append(True, np.diff(event) != 0)[: len(event)]
    before = np.where(first, 0.0, np.append(0.0, value[:-1])[: len(value)])
    return LabelChanges(event, when, first.astype(np.float64), value - before)
