"""What is told of rules over figures."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

from headrace.domain.control.base import ControlFinding
from headrace.domain.control.kpi import KpiBreached, KpiFinding, KpiRecovered, KpiUnknown
from headrace.domain.notification.message import Message
from headrace.domain.pipeline.notification.spec import SEVERITIES
from headrace.domain.pipeline.units import moment


def breached(pipeline: str, finding: KpiBreached) -> Message:
    """It is beyond its bounds."""
    since = "" if finding.since is None else f", since {moment(finding.since)} UTC"
    asks = " It asks for a training." if finding.retrain else ""
    return Message(
        _severity(finding),
        f"{pipeline}: {finding.rule} is breached",
        f"{finding.figure} is {finding.value}{_whose(finding)}: {finding.because}{since}.{asks}",
        f"headrace kpi {pipeline}",
    )


def unknown(pipeline: str, finding: KpiUnknown) -> Message:
    """Its figure is not known."""
    return Message(
        _severity(finding),
        f"{pipeline}: the figure of {finding.rule} is not known",
        f"{finding.figure} has to be not {finding.condition}; nobody can say whether it is: {finding.because}.",
        f"headrace kpi {pipeline}",
    )


def recovered(pipeline: str, finding: KpiRecovered) -> Message:
    """It is over."""
    value = f"{finding.figure} is {finding.value}{_whose(finding)}: " if finding.value else ""
    what = "is not breached any more" if finding.was == "breached" else "is known again"
    return Message(_severity(finding), f"{pipeline}: {finding.rule} {what}", f"{value}{finding.because}.")


KPI_TEXTS: Mapping[type[ControlFinding], Callable[..., Message]] = {
    KpiBreached: breached,
    KpiUnknown: unknown,
    KpiRecovered: recovered,
}


def named_channels(finding: ControlFinding) -> tuple[str, ...]:
    """The channels that are to be told whatever they want otherwise; none of most findings.

    >>> named_channels(KpiBreached(tell='["oncall"]')), named_channels(KpiBreached())
    (('oncall',), ())
    """
    if not isinstance(finding, KpiFinding):
        return ()
    try:
        return tuple(map(str, json.loads(finding.tell)))
    except (ValueError, TypeError):
        return ()


def _severity(finding: KpiFinding) -> str:
    """As the rule has it: who is told of a breach is told of its end."""
    return finding.severity if finding.severity in SEVERITIES else "warning"


def _whose(finding: KpiFinding) -> str:
    rows = f" ({finding.rows:,} rows)" if finding.rows else ""
    return (f", {finding.model}" if finding.model else "") + rows
