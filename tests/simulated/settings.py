"""What members of a schedule are told: settings whose library is the simulator's."""

from __future__ import annotations

from typing import Any

from headrace.streaming.kafka.connection import Connection
from headrace.streaming.process.settings import Settings
from tests.simulated.plan import Plan
from tests.simulated.process import SimulatedLibrary

SESSION_MS = 6_000


class Simulated(Settings):
    """Settings of a member whose library is the simulator's."""

    library: Any = None

    @property
    def connection(self) -> Connection:
        return Connection("simulated:9092", library=self.library)


def of_member(plan: Plan, name: str, library: SimulatedLibrary) -> dict[str, Any]:
    """What a schedule's members differ in from others."""
    return {
        "library": library,
        "member": name,
        "mode": plan.mode,
        "group_protocol": plan.protocol,
        "batch_rows": plan.batch_rows,
        "commit_ms": plan.commit_ms,
        "checkpoint_rows": plan.checkpoint_rows,
    }
