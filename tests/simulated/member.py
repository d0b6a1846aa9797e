"""Members: processes of the service, one life after another, as a supervisor starts them."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from headrace.errors import ConfigurationError, ContractError, Fenced, HeadraceError
from headrace.streaming.task.service import Service
from tests.simulated.consumer import MemoryConsumer
from tests.simulated.process import Killed, Process, SimulatedLibrary
from tests.simulated.producer import MemoryAdmin, MemoryProducer

if TYPE_CHECKING:
    from tests.simulated.world import World


@dataclass(frozen=True, slots=True)
class Cast:
    """What members are made of; `around` takes the service of a scene and gives another."""

    around: Callable[[Service], Any] | None = None
    consumer: Callable[[Process, dict[str, Any]], Any] = MemoryConsumer
    producer: Callable[[Process, dict[str, Any]], Any] = MemoryProducer
    admin: Callable[[Process, dict[str, Any]], Any] = MemoryAdmin


class Life:
    """One process of a member, from its start to its end.

    Attributes:
        seen: the broker's changes as of a turn in which nothing happened.
    """

    def __init__(self, world: World, name: str) -> None:
        self.world = world
        world.started += 1
        self.process = Process(name, world.started, world)
        self.seen = -1
        self.drains = False
        cast = world.cast
        library = SimulatedLibrary(self.process, cast.consumer, cast.producer, cast.admin)
        self.runner = world.scene.member(name, library, world)
        if cast.around is not None:
            self.runner.service = cast.around(self.runner.service)
        self._turns = self.runner.turns()

    def stop(self) -> None:
        """Tell it to drain."""
        self.drains = True
        self.runner.stop()

    def turn(self) -> None:
        """One turn of its loop; or its end."""
        before = self.world.broker.changes()
        try:
            next(self._turns)
            self.seen = before
        except StopIteration:
            self._ended("drained", 5.0)
        except Killed:
            self._ended("killed", 2.0)
        except Fenced:
            self._ended("fenced", 1.0)
        except (ContractError, ConfigurationError) as error:
            if not self.world.scene.lossy:
                self.world.scene.note(f"{self.process.name} refuses to go on: {error}")
            self._ended("refused", 5.0)
        except HeadraceError:
            self._ended("gave up", 1.0)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is a finding
            place = traceback.extract_tb(error.__traceback__)[-1]
            self.world.scene.note(f"crashed: {error!r} at {place.filename.rpartition('/')[2]}:{place.lineno}")
            self._ended("crashed", 1.0)

    def _ended(self, how: str, longest: float) -> None:
        self.world.ends.append(how)
        self.process.dead = True
        if self in self.world.lives:
            self.world.lives.remove(self)
        self._turns.close()
        self.world.member(self.process.name).ended(self, self.world.chance.uniform(0.05, longest))


class Member:
    """A member's name, and the process that runs under it now."""

    def __init__(self, world: World, name: str) -> None:
        self.world = world
        self.name = name
        self.life: Life | None = None
        self._start_at = world.chance.uniform(0.0, 0.5)

    def due(self, now: float) -> bool:
        """Whether a process is to be started."""
        return self.life is None and now >= self._start_at

    def start(self) -> None:
        """Start a process."""
        self.life = Life(self.world, self.name)
        self.world.lives.append(self.life)
        self.life.turn()

    def ended(self, life: Life, pause: float) -> None:
        """A process is no more."""
        if self.life is life:
            self.life, self._start_at = None, self.world.now + pause

    def replace(self, process: Process) -> None:
        """Take a process for dead that is not."""
        if self.life is not None and self.life.process is process:
            self.ended(self.life, 0.0)
