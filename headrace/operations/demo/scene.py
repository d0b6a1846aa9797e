"""What a demo plays: the world, how much of it is history, and the first models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from headrace.domain.plans.plans import CHALLENGER, CHAMPION
from headrace.domain.simulation.simulators import World

EVENTS_A_DAY = 1.8
"""Of an entity, at the least; a world that makes fewer ends the show early."""
DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class Contender:
    """A first model: its version, trainer and parameters, and the arm that it has in the first plan; None: none."""

    arm: str | None
    version: str
    trainer: str
    parameters: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Setting:
    """What is played.

    Attributes:
        world: made up; of its days there are as many as events are needed.
        history_days: go in at once, before the live events.
        learnt_days: of the history, its first part: what comes after is judged by models that have not seen it.
        unseen_days: at the beginning of the world, in which it comes to a state that lasts: they are left out.
        unlearnt_days: of the history, its beginning, in which windows are not full yet: models do not learn from it,
            and have their thresholds chosen by it.
        contenders: are trained from that part.
    """

    world: World
    history_days: int
    learnt_days: int
    contenders: Sequence[Contender]
    unseen_days: int = 0
    unlearnt_days: int = 0

    @property
    def begin(self) -> int:
        """When the history begins, milliseconds."""
        return self.world.start + self.unseen_days * DAY_MS

    @property
    def live(self) -> int:
        """When live events begin, milliseconds."""
        return self.begin + self.history_days * DAY_MS

    @property
    def shift(self) -> int:
        """From when on the process is another one, milliseconds; where it stays, when the world begins."""
        return self.world.start + (self.world.shift_day or 0) * DAY_MS


TWO_MODELS = Setting(
    World(entities=2_000, others=4_000),
    history_days=30,
    learnt_days=16,
    contenders=(
        Contender(CHAMPION, "first", "decision_tree", {"max_depth": 3}),
        Contender(CHALLENGER, "rival", "lightgbm"),
    ),
)
"""The simpler one answers, the other one is scored in the dark."""
