"""kpi_part records: all that rules are judged by, scorecards and what else there is, in one order."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from headrace.errors import ContractError

PARTS = "kpi-parts"
"""The topic."""
RULES, CLOCK, CARD, DRIFT_ROW, READ = "rules", "clock", "card", "drift", "read"
REQUIRED: Mapping[str, frozenset[str]] = {
    RULES: frozenset({"time", "window", "matures_after", "rules"}),
    CLOCK: frozenset({"time", "topics", "lags"}),
    CARD: frozenset(
        {"arm", "segment", "group", "start", "digest", "model", "predictions", "outcomes", "mature", "figures", "notes"}
    ),
    DRIFT_ROW: frozenset(
        {"stream", "digest", "model", "column", "time", "reached", "state", "learnt", "events", "figures", "why"}
    ),
    READ: frozenset({"topic", "partition", "spans", "until"}),
}
"""What a part of each kind has at the least."""


def record_part(kind: str, source: str, said: Mapping[str, Any]) -> dict[str, Any]:
    """A record; `source`: the logical topic that it is of, or `kpi`."""
    return {"kind": kind, "source": source, "payload": json.dumps(said, separators=(",", ":")).encode()}


def content_of(part: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """(kind, what it says) of a record. Raises ContractError for one that nobody of ours wrote."""
    kind = part["kind"]
    try:
        said = json.loads(part["payload"])
    except ValueError as error:
        raise ContractError(f"no part: {error}") from None
    if kind not in REQUIRED or not isinstance(said, dict) or not said.keys() >= REQUIRED[kind]:
        raise ContractError(f"no part of a kind that there is: {str(kind)[:60]}")
    return kind, said
