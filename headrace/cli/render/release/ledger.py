"""The ledger on paper."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.markup import escape

from headrace.domain.control.events import read_event
from headrace.domain.ledger.entry import LedgerEntry
from headrace.domain.ledger.ledger_check import LedgerCheck
from headrace.domain.ledger.sources import PLAN
from headrace.domain.notification.texts import message_of
from headrace.errors import InvalidRecord
from headrace.operations.plan_changes.lookup import percent
from headrace.operations.time_spans import moment

MOST_TEXT, MOST_FAULTS, MOST_BEHIND = 200, 20, 5
ABOUT = ("model", "verdict", "because", "reason", "champion", "stage", "source", "run", "why")
"""What is shown of an event that nobody is told a sentence of."""


def ledger_sheet(pipeline: str, entries: Sequence[LedgerEntry]) -> Iterator[str]:
    """An entry a line."""
    if not entries:
        yield f"nothing of that is in the ledger of {escape(pipeline)}"
    width = len(str(entries[-1].number)) if entries else 0
    for entry in entries:
        number = f"#{entry.number}".rjust(width + 1)
        yield f"[bold]{number}[/]  {moment(entry.time)}  [cyan]{escape(entry.actor)}[/]  {summary(entry)}"


def summary(entry: LedgerEntry) -> str:
    """What an entry says, in a line of rich markup."""
    said = entry.said()
    if entry.type == PLAN:
        return f"[bold]plan {said.get('plan_version')}[/]: {arms_line(said)}; {escape(str(said.get('reason')))}"
    return f"[bold]{escape(entry.type)}[/]: {escape(_told(entry, said))}"


def _told(entry: LedgerEntry, said: Mapping[str, Any]) -> str:
    """The sentence that people are told of such an event, or else what it is about."""
    evidence = {name: str(value) for name, value in said.get("evidence", {}).items() if value}
    try:
        event = read_event({**said, "type": entry.type, "evidence": evidence, "time": entry.time})
        message = None if event is None else message_of(event)
    except (InvalidRecord, KeyError, ValueError):  # of a changed entry: `verify` says so, here it is shown as it is
        message = None
    if message is not None:
        title = message.title.removeprefix(f"{said.get('pipeline')}: ")
        return f"{title}. {message.happened}"
    about = [name for name in ABOUT if name in evidence] or list(evidence)
    return ", ".join(f"{name} {_short(evidence[name])}" for name in about)


def arms_line(plan: Mapping[str, Any]) -> str:
    """The arms of a plan, as the ledger has it."""
    told = []
    for arm in plan.get("arms", []):
        share = f" {percent(arm['share'])}" if arm["arm"] == "canary" else ""
        told.append(f"{arm['arm']} {arm['model']}@{arm['version']}{share}")
    return escape(", ".join(told))


def entry_sheet(entry: LedgerEntry) -> Iterator[str]:
    """An entry with all that it says."""
    yield f"[bold]#{entry.number}[/]  {moment(entry.time)}  [cyan]{escape(entry.actor)}[/]  {summary(entry)}\n"
    said = entry.said()
    for name, value in said.items():
        inner = value.items() if isinstance(value, Mapping) else [("", value)]
        yield from (f"  {escape(f'{name}.{key}' if key else name)}: {escape(str(each))}" for key, each in inner)
    where = "written with this entry" if entry.source_offset is None else f"offset {entry.source_offset}"
    yield f"\nfrom {entry.source}, {where}"
    yield f"digest    {entry.digest}"
    yield f"previous  {entry.previous}"
    yield f"hash      {entry.hash}"


def check_sheet(found: LedgerCheck) -> Iterator[str]:
    """What a check found."""
    for fault in found.faults[:MOST_FAULTS]:
        number = "the ledger" if fault.number is None else f"entry {fault.number}"
        offset = "" if fault.offset is None else f", at offset {fault.offset}"
        yield f"[red]{fault.kind}[/]: {number}{offset}: {escape(fault.what)}"
    if len(found.faults) > MOST_FAULTS:
        yield f"... and {len(found.faults) - MOST_FAULTS} more"
    if found.whole:
        yield f"[green]whole[/]: {found.entries} entries, each bound to the one before, and each record has its own"
    if found.head is not None:
        yield f"the last hash is {found.head}"
    if found.behind:
        yield (
            f"[yellow]{len(found.behind)} records behind the last entries have none yet[/]: `release` is behind or "
            f"does not run (headrace lag {escape(found.pipeline)})"
        )
        yield from (f"  {escape(each)}" for each in found.behind[:MOST_BEHIND])


def _short(text: str) -> str:
    return text if len(text) <= MOST_TEXT else f"{text[:MOST_TEXT]}..."
