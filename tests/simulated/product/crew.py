"""How processes of a service of the product are made: members of its group, and one that nothing happens to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from headrace.streaming.process.settings import Settings
from headrace.streaming.task.runner import Runner
from headrace.streaming.task.service import Service
from tests.simulated.plan import Plan
from tests.simulated.process import SimulatedLibrary
from tests.simulated.product.contracts import PIPELINE, contracts
from tests.simulated.settings import SESSION_MS, Simulated, of_member


class Crew:
    """Processes of a service in a scene.

    Parameters:
        build: of the service's `app.py`.
        settings: that it takes.
        pipeline: its file.
        least_rows: of a member's batches.
        own: settings that all of them have.
    """

    def __init__(
        self,
        build: Callable[..., Runner],
        settings: type[Settings],
        pipeline: Path = PIPELINE,
        least_rows: int = 1,
        **own: Any,
    ) -> None:
        self._build = build
        self._contracts = contracts(pipeline)
        self._least_rows = least_rows
        self._plain = settings(pipeline=str(pipeline), **own)
        self._settings = simulated(settings)(pipeline=str(pipeline), session_timeout_ms=SESSION_MS, **own)

    def member(self, plan: Plan, name: str, library: SimulatedLibrary, *parts: Any) -> Runner:
        """A member of a schedule; `parts`: what else the service is given, such as a store."""
        return self._build(self.settings(plan, name, library), self._contracts, *parts)

    def settings(self, plan: Plan, name: str, library: SimulatedLibrary) -> Settings:
        """Of a member of a schedule."""
        own = of_member(plan, name, library)
        own["batch_rows"] = max(own["batch_rows"], self._least_rows)
        return self._settings.model_copy(update=own)

    def undisturbed(self, partitions: Mapping[str, int], *parts: Any) -> Service:
        """The service, of a process that nothing happens to. `partitions`: of all topics, by logical name."""
        service = self._build(self._plain, self._contracts, *parts).service
        service.start(partitions)
        return service


@cache
def simulated(settings: type[Settings]) -> type[Settings]:
    """These settings, of a member whose library is the simulator's."""
    return type(f"Simulated{settings.__name__}", (Simulated, settings), {"__doc__": simulated.__doc__})
