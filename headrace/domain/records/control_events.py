"""What a member says on the control topic: which dark model is missing, from where on, and why.

| type | said when | evidence beside model, arm, digest, plan_version, member |
|---|---|---|
| `model_shed` | a model is left out to catch up, or a partition comes while it is out | lag_s, bound_s, offsets |
| `model_restored` | it is scored again | lag_s, bound_s, offsets |
| `model_failed` | it does not load or does not run; a partition comes while it is out | problem, offsets |
| `model_recovered` | it does after all | offsets |
| `model_unanswered` | its first rows without a finite score under a plan | rows, offsets |

`offsets` is JSON, partition to the first offset from which this holds. A gap that began at an offset ends at that of
the next restored or recovered event for the partition, or where another member, or a new life of this one, takes over.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from headrace.domain.plans.plans import Arm
from headrace.streaming.records.batch import Emit

NO_PARTITION = -1
"""The source of events that are the member's own: they stay when any of its partitions goes."""


class News:
    """Gathers events until they are emitted.

    Args:
        pipeline, member: who speaks.
        schema: of the control topic's columns.
    """

    def __init__(self, pipeline: str, member: str, schema: pa.Schema) -> None:
        self._pipeline = pipeline
        self._member = member
        self._schema = schema
        self._rows: list[dict[str, Any]] = []
        self._said = 0

    def say(
        self, kind: str, arm: Arm, plan: int, offsets: Mapping[int, int], now: float, **evidence: str | float
    ) -> None:
        """Keep an event for the next `emit`."""
        self._said += 1
        named = {"model": arm.title, "arm": arm.arm, "digest": arm.digest, "plan_version": str(plan)}
        places = {str(partition): offset for partition, offset in sorted(offsets.items())}
        told = {name: f"{value:.3f}" if isinstance(value, float) else value for name, value in evidence.items()}
        time = int(now * 1000)
        self._rows.append(
            {
                "event_id": f"shadow/{self._member}/{kind}/{arm.place}/{time}/{self._said}",
                "pipeline": self._pipeline,
                "type": kind,
                "time": time,
                "actor": "shadow",
                "evidence": [*{**named, "member": self._member, "offsets": json.dumps(places), **told}.items()],
            }
        )

    def emit(self) -> tuple[Emit, ...]:
        """What was said since the last call."""
        if not self._rows:
            return ()
        columns = pa.RecordBatch.from_pylist(self._rows, schema=self._schema)
        self._rows = []
        source = np.full(columns.num_rows, NO_PARTITION, np.int32)
        return (Emit("control", columns, columns["pipeline"], source),)
