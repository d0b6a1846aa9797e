"""What every kind of control event is: a dataclass whose fields travel as the evidence of its record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

Offsets = Mapping[int, int]
"""By partition, the first offset from which something holds."""


@dataclass(frozen=True, slots=True)
class ControlFinding:
    """What an event tells; its kind is its class."""

    type: ClassVar[str] = ""
