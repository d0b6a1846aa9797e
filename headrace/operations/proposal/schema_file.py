"""The Avro schema of events that are proposed, with the examples that it is held against."""

from __future__ import annotations

import json
from typing import Any

from headrace.operations.proposal.proposal import Proposal, ProposedField


def schema_text(proposal: Proposal) -> str:
    """The schema file: a field a line."""
    fields = [json.dumps(_field(one), ensure_ascii=False) for one in proposal.fields]
    head = {"type": "record", "name": proposal.schema, "doc": f"One row of {proposal.sample.source}, as an event."}
    return json.dumps(head, ensure_ascii=False)[:-1] + ', "fields": [\n  ' + ",\n  ".join(fields) + "\n]}\n"


def _field(one: ProposedField) -> dict[str, Any]:
    kind: Any = {"type": "long", "logicalType": "timestamp-millis"} if one.type == "time" else one.type
    if one.nullable:
        return {"name": one.name, "type": ["null", kind], "default": None, "doc": one.doc}
    return {"name": one.name, "type": kind, "doc": one.doc}


def examples(proposal: Proposal) -> dict[str, str]:
    """Examples by their file below `examples/`: the first row, and two that are to be refused."""
    first = {one.name: one.example for one in proposal.fields}
    lacking = {name: value for name, value in first.items() if name != proposal.id}
    strange = {**first, proposal.time: "yesterday"}
    name = proposal.schema
    return {
        f"good/{name}/first_row.json": _json(first),
        f"bad/{name}/{proposal.id}_missing.json": _json({"json": lacking, "why": "an event without an id is none"}),
        f"bad/{name}/{proposal.time}_is_text.json": _json({"json": strange, "why": "a text is no time"}),
    }


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, indent=1) + "\n"
