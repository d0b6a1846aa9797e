"""An entry of the ledger: a record of another topic as it was, its place, and the hash of the entry before.

The hash of an entry is the SHA-256 of the canonical text of all its other fields, and one of them is the hash of the
entry before: whoever changes, drops, adds or moves an entry changes all hashes behind it. A canonical text is JSON with
sorted names, without spaces, in UTF-8; numbers that JSON does not have stand as texts.

References:
    S. Haber, W. S. Stornetta: How to time-stamp a digital document. Journal of Cryptology 3, 1991.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from hashlib import sha256
from typing import Any

BEGINNING = "0" * 64
"""Stands for the hash of the entry before the first one."""


def canonical(value: Any) -> str:
    """One text for each value.

    >>> canonical({"b": [1, 0.25], "a": None, "c": float("nan")})
    '{"a":null,"b":[1,0.25],"c":"nan"}'
    """
    return json.dumps(_finite(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(name): _finite(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def digest_of(text: str) -> str:
    """Its SHA-256 in hex. A text that is none of Unicode's, such as half a character, has one as well."""
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


@dataclass(frozen=True, slots=True)
class LedgerRecord:
    """What an entry is made of.

    Attributes:
        type: kind of a control event; `plan` of a plan.
        time: when it was decided or found, milliseconds since the epoch, as the record has it.
        actor: who did.
        source, source_partition: logical topic, and its partition.
        source_offset: of the record; None where it was written in the transaction of its entry, and had none yet.
        content: the record, as canonical text.
    """

    type: str
    time: int
    actor: str
    source: str
    source_partition: int
    source_offset: int | None
    content: str

    @property
    def digest(self) -> str:
        """Of its content."""
        return digest_of(self.content)


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """A record of the ledger's topic; see `LedgerRecord` for what it is made of.

    Attributes:
        number: 1 for the first; no number is left out.
        digest: SHA-256 of the content, in hex.
        previous: hash of the entry before; BEGINNING of the first.
        hash: of all fields above.
    """

    pipeline: str
    number: int
    type: str
    time: int
    actor: str
    source: str
    source_partition: int
    source_offset: int | None
    content: str
    digest: str
    previous: str
    hash: str = ""

    def computed(self) -> str:
        """The hash that its other fields give."""
        fields = asdict(self)
        del fields["hash"]
        return digest_of(canonical(fields))

    def row(self) -> dict[str, Any]:
        """As the topic's schema has it."""
        return asdict(self)

    def said(self) -> dict[str, Any]:
        """Its content by name; empty where it is no JSON, which only a changed entry has."""
        try:
            found = json.loads(self.content)
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}


def read_entry(row: Mapping[str, Any]) -> LedgerEntry:
    """The entry in a record of the topic; times in milliseconds."""
    return LedgerEntry(**{name: row[name] for name in LedgerEntry.__dataclass_fields__})
