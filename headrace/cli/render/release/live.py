"""What was live, on paper."""

from __future__ import annotations

from collections.abc import Iterator

from rich.markup import escape

from headrace.operations.ledger.live_plan import LivePlan
from headrace.operations.plan_changes.lookup import percent, short


def live_sheet(found: LivePlan) -> Iterator[str]:
    """The plan that held, its arms, and who let each of them in."""
    yield f"[bold]{escape(found.pipeline)} at {found.at[:19]}[/]: plan {found.plan_version} (entry {found.entry})"
    yield f"decided {found.time[:19]} by [cyan]{escape(found.actor)}[/]: {escape(found.reason)}"
    if found.decision is not None:
        yield f"  {escape(found.decision.type)}, entry {found.decision.number}"
    for arm in found.arms:
        share = f" {percent(arm.share)}" if arm.arm == "canary" else ""
        yield (
            f"[bold]{arm.arm}{share}[/] {escape(arm.model)} {short(arm.digest)}, since {arm.since[:19]} "
            f"(entry {arm.entry})"
        )
        for each in arm.people:
            reason = each.content.get("evidence", {}).get("reason", "")
            yield f"  {escape(each.type)} by [cyan]{escape(each.actor)}[/], entry {each.number}: {escape(reason)}"
