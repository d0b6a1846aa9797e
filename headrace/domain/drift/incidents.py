"""What changes together is one incident: it opens, grows, and is over when nothing of it is left."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from headrace.domain.drift.alarms import Alarm, DriftEnd

Step = Literal["opened", "grew", "closed"]


@dataclass(frozen=True, slots=True)
class IncidentStep:
    """What became of an incident.

    Attributes:
        step: what.
        number: of the incident, from 1.
        model: whose columns it is about; of the end, the last.
        event: number of the model's event at which it did.
        reached: event time, milliseconds.
        alarm: with which it opened or grew.
        because: of an end.
    """

    step: Step
    number: int
    model: str
    event: int
    reached: int
    alarm: Alarm | None = None
    because: str = ""


@dataclass(slots=True)
class Incidents:
    """A fold of alarms and their ends, of all models of a stream: at most one incident is open.

    Attributes:
        count: incidents so far.
        changed: of the open incident, the columns of each model that are not as before; empty: none is open.
        opened: event time at which the newest was opened, milliseconds; None: there was none, or nobody knows.
    """

    count: int = 0
    changed: dict[str, set[str]] = field(default_factory=dict)
    opened: int | None = None

    @property
    def open(self) -> bool:
        """Whether one is."""
        return bool(self.changed)

    def alarmed(self, model: str, alarm: Alarm) -> IncidentStep:
        """An alarm opens an incident, or is part of the open one."""
        step: Step = "grew" if self.open else "opened"
        if step == "opened":
            self.count += 1
            self.opened = alarm.time
        self.changed.setdefault(model, set()).update(change.column for change in alarm.changes)
        return IncidentStep(step, self.count, model, alarm.event, alarm.time, alarm)

    def ended(self, model: str, end: DriftEnd) -> IncidentStep | None:
        """Columns are as before; with the last of them the incident is over."""
        if model not in self.changed:
            return None
        self.changed[model] -= set(end.columns)
        return self._closed(model, end.event, end.time, "as before")

    def gone(
        self, model: str, event: int, time: int, because: str = "its model answers no more"
    ) -> IncidentStep | None:
        """A model answers no more, or is watched anew: what changed of it is of no account any more."""
        if model not in self.changed:
            return None
        self.changed[model] = set()
        return self._closed(model, event, time, because)

    def accepted(self, model: str, event: int, time: int, because: str) -> IncidentStep:
        """Somebody takes what changed in the open one for what is usual from now on."""
        self.changed = {}
        return IncidentStep("closed", self.count, model, event, time, None, because)

    def _closed(self, model: str, event: int, time: int, because: str) -> IncidentStep | None:
        if not self.changed[model]:
            del self.changed[model]
        return None if self.open else IncidentStep("closed", self.count, model, event, time, None, because)

    def dump(self) -> str:
        """As JSON."""
        changed = {model: sorted(columns) for model, columns in self.changed.items()}
        return json.dumps({"count": self.count, "changed": changed, "opened": self.opened})

    @classmethod
    def of(cls, text: str) -> Incidents:
        """What `dump` wrote."""
        said: Mapping[str, Any] = json.loads(text)
        changed = {model: set(columns) for model, columns in said["changed"].items()}
        return cls(said["count"], changed, said.get("opened"))
