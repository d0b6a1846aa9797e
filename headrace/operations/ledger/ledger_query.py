"""Entries of the ledger, as people ask for them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from headrace.domain.ledger.entry import LedgerEntry
from headrace.domain.ledger.sources import PLAN
from headrace.domain.pipeline.wiring import Contracts
from headrace.errors import ConfigurationError
from headrace.operations.ledger.ledger_topic import ledger_records
from headrace.operations.time_spans import TimeSpan, iso
from headrace.streaming.process.settings import Settings

ALWAYS = TimeSpan()


@dataclass(frozen=True, slots=True)
class LedgerWish:
    """Which entries are wanted; None for any.

    Attributes:
        model: its title, `name@version`, or its name.
        type: kind of a control event, or `plan`.
        span: when it was decided or found.
        number: of the one entry.
    """

    model: str | None = None
    type: str | None = None
    span: TimeSpan = ALWAYS
    number: int | None = None

    def takes(self, entry: LedgerEntry) -> bool:
        """Whether an entry is wanted."""
        return (
            (self.number is None or entry.number == self.number)
            and (self.type is None or entry.type == self.type)
            and self.span.start <= entry.time < self.span.stop
            and (self.model is None or any(_same(self.model, title) for title in models_of(entry)))
        )


def _same(asked: str, title: str) -> bool:
    return asked == title or ("@" not in asked and title.startswith(f"{asked}@"))


def models_of(entry: LedgerEntry) -> list[str]:
    """Titles of the models that it names."""
    said = entry.said()
    if entry.type == PLAN:
        arms = [arm for arm in said.get("arms", []) if isinstance(arm, Mapping)]
        every = [*arms, *(member for arm in arms for member in arm.get("members", []))]
        return [f"{each.get('model')}@{each.get('version')}" for each in every]
    evidence = said.get("evidence", {})
    return [value for value in evidence.values() if "@" in value and len(value) < MOST_TITLE]


MOST_TITLE = 200
"""Letters of what may be a model's title."""


@dataclass(frozen=True, slots=True)
class ToldEntry:
    """An entry with its content by name; see `domain.ledger.entry.LedgerEntry`. `time` is in ISO 8601."""

    number: int
    type: str
    time: str
    actor: str
    source: str
    source_offset: int | None
    content: Mapping[str, Any]
    digest: str
    hash: str


def told(entry: LedgerEntry) -> ToldEntry:
    """An entry as it is told."""
    return ToldEntry(
        entry.number,
        entry.type,
        iso(entry.time),
        entry.actor,
        entry.source,
        entry.source_offset,
        entry.said(),
        entry.digest,
        entry.hash,
    )


def ledger_entries(settings: Settings, contracts: Contracts, wish: LedgerWish) -> list[LedgerEntry]:
    """The entries that are wanted, the oldest first.

    Raises:
        ConfigurationError: there is no entry of that number.
        Transient: Kafka does not answer.
    """
    every = [entry for _, entry in ledger_records(settings, contracts).entries]
    found = [entry for entry in every if wish.takes(entry)]
    if wish.number is not None and not found:
        told = f"it has {every[-1].number} entries" if every else "it is empty"
        raise ConfigurationError(f"there is no entry {wish.number} in the ledger of {contracts.pipeline.name}: {told}")
    return found
