"""What `kpi` says of the rules of a pipeline file.

| type | said when |
|---|---|
| `kpi_breached` | a figure has been beyond its bounds for as long as its rule says; once for each breach |
| `kpi_unknown` | it has been unknown for longer than its rule takes |
| `kpi_recovered` | one of the two is over |
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from headrace.domain.control.base import ControlFinding


@dataclass(frozen=True, slots=True)
class KpiFinding(ControlFinding):
    """What is found of a rule.

    Attributes:
        rule: what the file calls it.
        source: `scorecard`, `drift` or `operational`.
        figure: its name, and what it is of.
        condition, held: as the file has them, such as `below 0.5` and `3 windows`.
        value: the newest that is known, six digits; empty: none is.
        at: when that was, milliseconds: the start of its window, event time of drift, the clock of operational ones.
        since: since when it has been beyond its bounds, as `at`; None: it is not.
        rows: that it is made of; 0: it is not of rows.
        model, digest, arm: whose it is; empty where it is of no model.
        severity: `info`, `warning` or `critical`.
        tell: JSON, the channels that the rule names; an empty list: those that want such events.
        because: a sentence; of what is unknown why, and until when.
        number: of the breach, or the time it was unknown, among those of the rule.
    """

    rule: str = ""
    source: str = ""
    figure: str = ""
    condition: str = ""
    held: str = ""
    value: str = ""
    at: int = 0
    since: int | None = None
    rows: int = 0
    model: str = ""
    digest: str = ""
    arm: str = ""
    severity: str = "warning"
    tell: str = "[]"
    because: str = ""
    number: int = 0


@dataclass(frozen=True, slots=True)
class KpiBreached(KpiFinding):
    """Beyond its bounds for long enough; `retrain`: 1 asks for a training."""

    type: ClassVar[str] = "kpi_breached"

    retrain: int = 0


@dataclass(frozen=True, slots=True)
class KpiUnknown(KpiFinding):
    """Unknown for too long."""

    type: ClassVar[str] = "kpi_unknown"


@dataclass(frozen=True, slots=True)
class KpiRecovered(KpiFinding):
    """What `was` so, `breached` or `unknown`, is so no more."""

    type: ClassVar[str] = "kpi_recovered"

    was: str = ""


KPI_KINDS = (KpiBreached, KpiUnknown, KpiRecovered)
