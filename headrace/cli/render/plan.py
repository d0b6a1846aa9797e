"""A plan on paper."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from rich.console import RenderableType
from rich.markup import escape
from rich.table import Table

from headrace.domain.models.ensembles import WEIGHTED
from headrace.domain.plans.plan_log import PlanFact
from headrace.domain.plans.plans import CANARY, CHAMPION, DARK, Plan
from headrace.operations.plan_changes.lookup import percent, short
from headrace.operations.time_spans import moment
from headrace.operations.topics.tail import plain

COLOURS = {"+": "green", "-": "red", "~": "yellow"}


def told(fact: PlanFact) -> dict[str, Any]:
    """A fact as JSON has it; a fact that makes no plan has a fault and no arms."""
    own = {"plan_version": fact.version, "actor": fact.actor, "reason": fact.reason}
    time = plain(datetime.fromtimestamp(fact.time / 1000, UTC))
    if fact.plan is None:
        return {**own, "time": time, "fault": fact.fault}
    return {**fact.plan.fact(fact.time, fact.actor, fact.reason), "time": time}


def plan_sheet(fact: PlanFact) -> Iterator[RenderableType]:
    """A fact that makes a plan, in parts."""
    plan = fact.plan
    assert plan is not None
    yield f"[bold]{escape(plan.pipeline)}, plan {plan.version}[/]"
    yield f"{moment(fact.time)} by {escape(fact.actor)}: {escape(fact.reason)}"
    yield f"salt: {escape(plan.salt) if plan.salt else f'{escape(plan.pipeline)} (the pipeline has none of its own)'}\n"
    yield _arms(plan)


def _arms(plan: Plan) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("part")
    table.add_column("model", overflow="fold")
    for name in ("answers", "threshold", "priority"):
        table.add_column(name, justify="right")
    table.add_column("digest", no_wrap=True)
    answers = {
        CHAMPION: 1 - (plan.canary.share if plan.canary else 0.0),
        CANARY: plan.canary.share if plan.canary else 0,
    }
    for arm in plan.arms:
        table.add_row(
            arm.arm,
            escape(arm.title) + (f", {arm.combination} of" if arm.members else ""),
            percent(round(answers[arm.arm], 6)) if arm.arm in answers else "",
            "its own" if arm.threshold is None else f"{arm.threshold:g}",
            str(arm.priority) if arm.arm in DARK else "",
            short(arm.digest),
        )
        for member in arm.members:
            weight = f"{member.weight:g} " if arm.combination == WEIGHTED else ""
            table.add_row("", f"  {weight}{escape(member.title)}", "", "", "", short(member.digest))
    return table
