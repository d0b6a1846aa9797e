"""Who gives topics more partitions: publishers wait, all is answered, all members stop, and their state is moved."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from headrace.errors import HeadraceError
from tests.simulated.process import Killed, Process, SimulatedLibrary

if TYPE_CHECKING:
    from tests.simulated.world import World


class Operator:
    """Does what `docs/operations.md` says under More partitions, for a scene that has asked for it.

    The command that moves state is a process like others: it is killed, frozen and cut off, and begun anew then.

    Attributes:
        publishers_wait, members_wait: whether nobody publishes, or is started.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self.publishers_wait = self.members_wait = False
        self._next_at = 0.0
        self._acts: Callable[[], None] = self._wait_for_answers

    def due(self, now: float) -> bool:
        """Whether there is something to do."""
        return self._world.scene.growing and now >= self._next_at

    def turn(self) -> None:
        """One step."""
        self._acts()

    def _wait_for_answers(self) -> None:
        self.publishers_wait = True
        if self._world.scene.done():
            self.members_wait = True
            self._acts = self._wait_for_the_end

    def _wait_for_the_end(self) -> None:
        for life in self._world.lives:
            if not life.drains:
                life.stop()
        if not self._world.lives and not self._world.broker.transactions.unsettled:
            self._world.scene.add_partitions()
            self._acts = self._move

    def _move(self) -> None:
        world = self._world
        world.started += 1
        process = Process("operator", world.started, world)
        cast = world.cast
        try:
            world.scene.move(SimulatedLibrary(process, cast.consumer, cast.producer, cast.admin))
        except (Killed, HeadraceError) as error:
            world.ends.append(f"operator: {type(error).__name__}")
            self._next_at = world.now + world.chance.uniform(0.5, 5.0)
        else:
            self.publishers_wait = self.members_wait = world.scene.growing = False
        process.dead = True
