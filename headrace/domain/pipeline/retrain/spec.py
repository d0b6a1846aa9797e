"""What a pipeline file says of trainings, as values."""

from __future__ import annotations

from dataclasses import dataclass

WALL, EVENTS = "wall", "events"


@dataclass(frozen=True, slots=True)
class Retrain:
    """When and how models are trained anew; durations in milliseconds.

    Attributes:
        on: what may start a training by itself; a person always may.
        schedule: a cron expression, in UTC.
        volume: outcomes since the last training began.
        debounce: a trigger of the same kind as one before counts as told already for so long.
        cooldown: after a training ended, nothing but a person starts another for so long.
        settle: a finding about a model that a training made starts another after so long, doubled with each in a row.
        per_month: trainings in a calendar month (UTC), those of people among them; None: as many as there are.
        memory_mb, limit: what a training may take: memory, and time.
        clock: by what schedule, debounce, cooldown, settle and months go: `wall`, or `events`, event time as far as
            outcomes say that labels are known.
    """

    on: tuple[str, ...] = ()
    trainer: str = "lightgbm"
    window: int = 7 * 86_400_000
    schedule: str = ""
    volume: int | None = None
    debounce: int = 0
    cooldown: int = 0
    settle: int = 86_400_000
    per_month: int | None = None
    memory_mb: int = 4_096
    limit: int = 3_600_000
    clock: str = WALL

    @property
    def by_events(self) -> bool:
        """Whether rules go by event time."""
        return self.clock == EVENTS
