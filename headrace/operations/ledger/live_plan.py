"""What was live at a time, who decided so, and why: from the ledger alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from headrace.domain.control.kinds import KINDS
from headrace.domain.control.release import ReleaseRequest
from headrace.domain.ledger.entry import LedgerEntry
from headrace.domain.ledger.sources import PLAN
from headrace.domain.pipeline.wiring import Contracts
from headrace.domain.plans.plans import CHAMPION
from headrace.errors import ConfigurationError
from headrace.operations.ledger.ledger_query import ToldEntry, told
from headrace.operations.ledger.ledger_topic import ledger_records
from headrace.operations.time_spans import iso, moment
from headrace.streaming.process.settings import Settings


@dataclass(frozen=True, slots=True)
class LiveArm:
    """A model's part.

    Attributes:
        arm, model, digest, share: as the plan has them.
        since: when the first plan in a row came that has it there, ISO 8601; `entry`: that plan's entry.
        people: what people said of its package until then, also what was refused: kind, who and why, the oldest first.
    """

    arm: str
    model: str
    digest: str
    share: float
    since: str
    entry: int
    people: Sequence[ToldEntry]


@dataclass(frozen=True, slots=True)
class LivePlan:
    """What was live.

    Attributes:
        at: the time that was asked for, ISO 8601.
        plan_version: of the plan that held; `entry`: its entry; `time`, `actor`, `reason`: of its decision.
        arms: of the plan.
        decision: the entry of the decision that made it; None of a plan that somebody wrote by hand.
    """

    pipeline: str
    at: str
    plan_version: int
    entry: int
    time: str
    actor: str
    reason: str
    arms: Sequence[LiveArm]
    decision: ToldEntry | None


def live_plan(settings: Settings, contracts: Contracts, at: int) -> LivePlan:
    """The plan that held at a time: the one of the highest version that was decided by then.

    Args:
        at: milliseconds since the epoch.

    Raises:
        ConfigurationError: there was none yet.
        Transient: Kafka does not answer.
    """
    entries = [entry for _, entry in ledger_records(settings, contracts).entries]
    plans = sorted(_plans(entries), key=lambda entry: _version(entry))
    held = [entry for entry in plans if entry.time <= at]
    name = contracts.pipeline.name
    if not held:
        first = f"the first is of {moment(plans[0].time)}" if plans else "nobody wrote one, or `release` has not run"
        raise ConfigurationError(f"the ledger of {name} has no plan of {moment(at)} or before: {first}")
    entry = held[-1]
    said = entry.said()
    arms = tuple(_arm(arm, held, entries) for arm in said["arms"])
    decision = next((told(each) for each in entries if _made(each, said["plan_version"])), None)
    return LivePlan(
        name, iso(at), said["plan_version"], entry.number, iso(entry.time), entry.actor, said["reason"], arms,
        decision if entry.actor == "release" else None,
    )  # fmt: skip  # which first, then who and what


def people_on(entries: Sequence[LedgerEntry], digest: str, until: int | None = None) -> list[LedgerEntry]:
    """What people asked of a package, or registered, up to an entry; the oldest first."""
    found = (entry for entry in entries if until is None or entry.number < until)
    return [entry for entry in found if _asked(entry) and entry.said().get("evidence", {}).get("digest") == digest]


def _asked(entry: LedgerEntry) -> bool:
    kind = KINDS.get(entry.type)
    return kind is not None and issubclass(kind, ReleaseRequest)


def _plans(entries: Sequence[LedgerEntry]) -> Iterator[LedgerEntry]:
    """Entries of what makes a plan: it has one champion."""
    for entry in entries:
        arms = entry.said().get("arms", []) if entry.type == PLAN else []
        if [arm["arm"] for arm in arms].count(CHAMPION) == 1:
            yield entry


def _version(entry: LedgerEntry) -> int:
    return int(entry.said()["plan_version"])


def _made(entry: LedgerEntry, version: int) -> bool:
    """Whether it is the decision that a plan follows from."""
    return entry.actor == "release" and entry.said().get("evidence", {}).get("plan") == str(version)


def _arm(arm: Mapping[str, Any], plans: Sequence[LedgerEntry], entries: Sequence[LedgerEntry]) -> LiveArm:
    """An arm of the last of these plans."""
    since = plans[-1]
    for plan in reversed(plans):
        if not any((each["arm"], each["digest"]) == (arm["arm"], arm["digest"]) for each in plan.said()["arms"]):
            break
        since = plan
    people = [told(entry) for entry in people_on(entries, arm["digest"], since.number)]
    title = f"{arm['model']}@{arm['version']}"
    return LiveArm(arm["arm"], title, arm["digest"], arm["share"], iso(since.time), since.number, people)
