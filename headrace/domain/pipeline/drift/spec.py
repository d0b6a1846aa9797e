"""The section of drift as frozen values."""

from __future__ import annotations

from dataclasses import dataclass

DRIFT_MODES = ("measured", "proved")
"""How the promise on false alarms is kept: by what was measured, or by bounds for which there is a proof."""


@dataclass(frozen=True, slots=True)
class Drift:
    """How often the detectors may cry wolf, by what that is held to, when a change is taken for what is usual.

    `mode`: of `DRIFT_MODES`. `accept_after`: milliseconds of event time that an incident stays open; None: until it is
    over, or accepted. `tolerance`: the share by which a model's loss may exceed its reference's without being harm.
    """

    false_alarms_per_month: float = 1
    mode: str = DRIFT_MODES[0]
    accept_after: int | None = None
    tolerance: float = 0.1
