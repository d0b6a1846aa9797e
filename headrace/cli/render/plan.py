"""Plans on paper: what holds, what is no plan, what changed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from rich.console import RenderableType
from rich.markup import escape
from rich.table import Table

from headrace.domain.models.ensembles import WEIGHTED
from headrace.domain.plans.plan_log import PlanFact
from headrace.domain.plans.plans import CANARY, CHAMPION, DARK, Plan
from headrace.operations.plan_changes.change import PlanChange
from headrace.operations.plan_changes.diff import PlanDifference
from headrace.operations.plan_changes.lookup import percent, short
from headrace.operations.plan_changes.plan_history import PlanStep
from headrace.operations.time_spans import iso, moment

COLOURS = {"+": "green", "-": "red", "~": "yellow"}


def plan_sheet(fact: PlanFact) -> Iterator[RenderableType]:
    """A fact that makes a plan, in parts."""
    plan = fact.plan
    assert plan is not None
    yield f"[bold]{escape(plan.pipeline)}, plan {plan.version}[/]"
    yield f"{moment(fact.time)} by {escape(fact.actor)}: {escape(fact.reason)}"
    yield f"salt: {escape(plan.salt) if plan.salt else f'{escape(plan.pipeline)} (the pipeline has none of its own)'}\n"
    yield _arms(plan)


def refused_sheet(pipeline: str, refused: Sequence[PlanFact]) -> Iterator[str]:
    """What makes no plan, a line each, and what to do about it; nothing of nothing."""
    for fact in refused:
        yield f"[yellow]! the fact at offset {fact.offset} makes no plan: {escape(str(fact.fault))}[/]"
    if refused:
        yield f"services go on with the plan before; headrace plan set {pipeline} writes the next one"


def history_sheet(steps: Iterable[PlanStep]) -> Iterator[str]:
    """Who decided each plan, why, and what it changed."""
    yield "\n[bold]history[/], oldest first"
    for step in steps:
        fact = step.fact
        yield f"[bold]plan {fact.version}  {iso(fact.time)[:19]}  {escape(fact.actor)}: {escape(fact.reason)}[/]"
        if fact.plan is None:
            yield f"  [red]makes no plan: {escape(str(fact.fault))}[/]"
        yield from (f"  {difference_line(difference)}" for difference in step.changes)


def change_sheet(change: PlanChange) -> Iterator[str]:
    """What became of a change."""
    told = change.told
    if not told.changes:
        yield f"nothing changes: plan {change.plan.version} stays"
        return
    yield from map(difference_line, told.changes)
    yield from (f"[yellow]! {escape(warning)}[/]" for warning in told.warnings)
    if told.written:
        yield f"[green]plan {change.plan.version} written[/]; services take it up between two batches"
    else:
        version = change.before.version if change.before else 0
        yield f"nothing was written (--dry-run): it would become plan {version + 1}"


def difference_line(difference: PlanDifference) -> str:
    """A difference in a line of rich markup."""
    values = [str(value) for value in (difference.before, difference.after) if value is not None]
    return f"[{COLOURS[difference.sign]}]{difference.sign} {escape(difference.what)}[/]: {escape(' -> '.join(values))}"


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
