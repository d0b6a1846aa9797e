"""A person asks for something of a model's release, and waits for the answer."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from headrace.domain.control.base import ControlFinding
from headrace.domain.control.events import ControlEvent
from headrace.domain.control.release import (
    ApprovalGiven,
    PromotionAsked,
    ReleaseFinding,
    ReleaseRefused,
    ReleaseRequest,
)
from headrace.domain.control.retrain import ModelRegistered
from headrace.domain.models.package import load
from headrace.domain.models.store import ModelStore, Stored
from headrace.domain.pipeline.wiring import Contracts
from headrace.errors import ConfigurationError, Transient
from headrace.operations.control_tail import ControlTail
from headrace.operations.ledger.ledger_topic import ledger_records
from headrace.operations.models.store_access import copied
from headrace.operations.plan_changes.lookup import choose
from headrace.streaming.process.settings import Settings

FORWARD = (ApprovalGiven, PromotionAsked)
"""What lets a model go on: then it has to be the one that was judged."""
TOGETHER_S = 0.5
"""Answers of one request are written in one transaction: so long after the first one all are there."""


@dataclass(frozen=True, slots=True)
class ReleaseAnswer:
    """What became of a request.

    Attributes:
        event_id: of the request.
        refused: whether it cannot be met.
        answers: what was decided on it, in order; empty where it was taken up and nothing follows from it now.
    """

    event_id: str
    refused: bool
    answers: Sequence[ReleaseFinding]


@dataclass(frozen=True, slots=True)
class Asker:
    """Who asks, why, and when (milliseconds since the epoch)."""

    actor: str
    reason: str
    now: int


def ask_release(
    settings: Settings,
    contracts: Contracts,
    store: ModelStore,
    model: str,
    request: type[ReleaseRequest],
    asker: Asker,
    within: float,
    **fields: Any,
) -> ReleaseAnswer:
    """Ask for something of the release of a model, and wait for what is decided on it.

    Args:
        model: as `choose` takes it.
        fields: of the request beyond those that all have.
        within: seconds in which there is to be an answer.

    Raises:
        ConfigurationError: there is no such model, or no reason.
        ContractError: it is to go on, and its package is another by now than the one that was registered.
        Transient: nobody answers; the request is on the topic all the same.
    """
    _reasoned(asker)
    stored = choose(store.packages(), model)
    if request in FORWARD:
        with copied(store, stored) as folder:
            load(folder, stored.digest)
    finding = request(model=stored.title, digest=stored.digest, reason=asker.reason, **fields)
    tail = ControlTail(settings.connection, contracts.channel("control"))
    try:
        event = _said(tail, contracts, finding, asker)
        found = _answers(tail, event.event_id, within)
    finally:
        tail.close()
    if not found and not _entered(settings, contracts, event.event_id):
        name = contracts.pipeline.name
        raise Transient(
            f"the service release did not answer within {within:g} s: the request stands, and is answered when it runs "
            f"(headrace lag {name}); `headrace ledger show {name} --model {stored.title}` shows it then"
        )
    return ReleaseAnswer(event.event_id, any(isinstance(each, ReleaseRefused) for each in found), found)


def register(settings: Settings, contracts: Contracts, store: ModelStore, model: str, asker: Asker) -> Stored:
    """Tell that a package of the model store is there and may be judged; whoever registers it asks for it.

    Raises:
        ConfigurationError: there is no such model, or no reason.
        Transient: Kafka does not answer.
    """
    _reasoned(asker)
    stored = choose(store.packages(), model)
    tail = ControlTail(settings.connection, contracts.channel("control"))
    try:
        _said(tail, contracts, ModelRegistered(stored.title, stored.digest, stored.uri), asker)
    finally:
        tail.close()
    return stored


def _reasoned(asker: Asker) -> None:
    if not asker.reason.strip():
        raise ConfigurationError("say why, in a sentence: --reason")


def _said(tail: ControlTail, contracts: Contracts, finding: ControlFinding, asker: Asker) -> ControlEvent:
    identity = f"person/{asker.actor}/{finding.type}/{uuid.uuid4().hex[:12]}"
    event = ControlEvent(identity, contracts.pipeline.name, asker.now, asker.actor, finding)
    tail.say(event)
    return event


def _answers(tail: ControlTail, event_id: str, within: float) -> list[ReleaseFinding]:
    """What has the event as its cause."""
    caused = tail.gathered(lambda event: event.cause == event_id, within, TOGETHER_S)
    return [event.finding for event in caused if isinstance(event.finding, ReleaseFinding)]


def _entered(settings: Settings, contracts: Contracts, event_id: str) -> bool:
    """Whether the request is in the ledger: then it was taken up."""
    entries = ledger_records(settings, contracts).entries
    return any(entry.said().get("event_id") == event_id for _, entry in entries)
