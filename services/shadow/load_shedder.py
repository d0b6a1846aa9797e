"""Which dark models are left out while the member is too far behind, and when they are taken back.

Beyond the bound, whole models go, lowest priority first, as many as measured costs say: what is left must be fast
enough to be back within `HORIZON` bounds. They come back one by one, highest priority first, once the lag has stayed
below half the bound for as long as a bound, when there is room for them; or after `PATIENCE` bounds in any case, since
a cost that was measured in bad times may be wrong. Between the two limits nothing changes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from headrace.domain.plans.plans import CHALLENGER
from services.shadow.load import Load

HORIZON = 4.0
PATIENCE = 20.0
LEAP = 0.1  # of a row's time: once so little is left, the next window is looked at before more goes; bursts pass
ROOM = 0.8  # of the time may be taken once a model is back


@dataclass(frozen=True, slots=True)
class Cost:
    """A dark model as shedding sees it.

    Attributes:
        place: `name@version/arm`.
        arm: challenger or shadow.
        priority: higher is kept longer.
        seconds_per_row: measured.
    """

    place: str
    arm: str
    priority: int
    seconds_per_row: float


def kept_first(cost: Cost) -> tuple[int, bool, float, str]:
    """Sorts models by how long they are kept: priority, challengers before shadows, quicker before slower."""
    return -cost.priority, cost.arm != CHALLENGER, cost.seconds_per_row, cost.place


@dataclass(frozen=True, slots=True)
class Verdict:
    """Places of the models to leave out and to take back, in this order."""

    shed: tuple[str, ...] = ()
    restored: tuple[str, ...] = ()


@dataclass(slots=True)
class Shedding:
    """The decisions of one member.

    Args:
        bound: seconds of lag; 0 never sheds.
    """

    bound: float
    _calm_since: float | None = None
    _shed_at: float = 0.0
    _overhead: float = 0.0  # seconds per row and model, beside the model's own: decode, encode, send

    def turn(self, now: float, load: Load, playing: Sequence[Cost], out: Sequence[Cost]) -> Verdict:
        """What changes, after a window.

        Args:
            now: seconds.
            load: what the window showed.
            playing, out: models that are scored, and those that were shed.
        """
        if not self.bound:
            return Verdict()
        if load.lag > self.bound:
            self._calm_since = None
            return Verdict(shed=self._shed(now, load, playing))
        if load.lag > self.bound / 2:
            self._calm_since = None
        elif self._calm_since is None:
            self._calm_since = now
        elif out and now - self._calm_since >= self.bound:
            first = min(out, key=kept_first)
            if self._fits(load, [*playing, first]) or now - self._shed_at >= PATIENCE * self.bound:
                self._calm_since = now  # One at a time: the next only when this one was borne.
                return Verdict(restored=(first.place,))
        return Verdict()

    def _shed(self, now: float, load: Load, playing: Sequence[Cost]) -> tuple[str, ...]:
        own = sum(cost.seconds_per_row for cost in playing)
        self._overhead = max(load.seconds_per_row - own, 0.0) / (len(playing) + 1)
        speed = 1 + (load.lag - self.bound / 2) / (HORIZON * self.bound)
        enough = 1 / (load.rows_per_second * speed) if load.rows_per_second else load.seconds_per_row
        enough = max(enough, LEAP * load.seconds_per_row)
        left = load.seconds_per_row
        found: list[str] = []
        for cost in sorted(playing, key=kept_first, reverse=True):
            if left <= enough:
                break
            left -= cost.seconds_per_row + self._overhead
            found.append(cost.place)
        if found:
            self._shed_at = now
        return tuple(found)

    def _fits(self, load: Load, models: Sequence[Cost]) -> bool:
        seconds = sum(cost.seconds_per_row for cost in models) + self._overhead * (len(models) + 1)
        return seconds * load.rows_per_second <= ROOM
