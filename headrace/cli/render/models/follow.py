"""A look at a registry of others, in words."""

from __future__ import annotations

from collections.abc import Iterator

from rich.markup import escape

from headrace.operations.registry.follower import RegistryLook
from headrace.operations.registry.teller import lines


def look_lines(look: RegistryLook, before: RegistryLook | None = None) -> Iterator[str]:
    """What came of a look; `before`: the one before it, of which nothing is repeated."""
    if before is None or _state(look) != _state(before):
        yield from _inward(look)
    for told in look.told.versions:
        because = f": {escape(told.because)}" if told.because else ""
        more = f" ({told.decisions} decisions)" if told.decisions > 1 else ""
        yield f"told MLflow, {escape(told.version)} is {escape(told.state)}{because}{more}, ledger entry {told.ledger}"
    for moved in look.told.aliases:
        where = "none of its versions" if moved.version is None else f"version {moved.version}"
        yield f"told MLflow, {escape(moved.alias)} of {escape(moved.model)} is {where}, ledger entry {moved.ledger}"
    if before is None or look.told.problems != before.told.problems:
        yield from (f"[yellow]{escape(problem)}[/]" for problem in look.told.problems)
    if before is None or lines(look.told) != lines(before.told):
        yield from (f"[red]{escape(line)}[/]" for line in lines(look.told))
        if before is not None and before.told.away and not look.told.away:
            yield "MLflow answers again; nothing waits"
    if before is None or look.left_out != before.left_out:
        yield from (f"[yellow]left out: {escape(each)}[/]" for each in look.left_out)


def _state(look: RegistryLook) -> tuple[str | None, ...]:
    # Registered now and known from before are one thing to whoever reads along.
    outcome = {"registered": "known", "refused": "refused before"}.get(look.outcome, look.outcome)
    return look.version, outcome, look.because


def _inward(look: RegistryLook) -> Iterator[str]:
    source, version, model = escape(look.source), escape(look.version or ""), escape(look.model or "")
    if look.outcome == "registered":
        yield f"{source} is {version}: it is {model} here now, and registered"
        yield from (f"  {escape(note)}" for note in look.notes)
    elif look.outcome == "known":
        yield f"{source} is {version}: {model}, brought in before"
    elif look.outcome in ("refused", "refused before"):
        yield f"[red]{source} is {version}, which does not fit: {escape(look.because or '')}[/]"
    elif look.outcome == "waits":
        yield f"{source} is {version}: {escape(look.because or '')}"
    elif look.outcome == "away":
        yield f"[red]{escape(look.because or '')}[/]"
    else:
        yield f"[yellow]{source}: {escape(look.because or '')}[/]"
