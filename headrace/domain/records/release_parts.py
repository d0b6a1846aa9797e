"""release_part records: all that `release` decides on, in one order."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from headrace.errors import ContractError

PARTS, OUTCOMES = "release-parts", "outcomes"
"""The topic, and the source of parts that tell how models fared (`outcome_parts`)."""
MOST = 100_000
"""Partitions of a topic."""


def record_part(source: str, partition: int, offset: int, content: str) -> dict[str, Any]:
    """A record of another topic, as it is.

    Args:
        source: logical topic.
        content: JSON.
    """
    return {
        "source": source,
        "source_partition": partition,
        "next_offset": offset + 1,
        "progress": 0,
        "idle": False,
        "partitions": 0,
        "seen": 0,
        "payload": content.encode("utf-8", "surrogatepass"),
    }


def content_of(part: Mapping[str, Any]) -> dict[str, Any]:
    """The record that `record_part` took. Raises ContractError for anything else."""
    try:
        found = json.loads(part["payload"])
    except ValueError as error:
        raise ContractError(f"no record: {error}") from None
    if not isinstance(found, dict):
        raise ContractError("no record: JSON without names")
    return found
