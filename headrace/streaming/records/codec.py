"""How the values of a topic are written: what every codec promises, a batch at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from headrace.streaming.contracts.schemas import Schema


@dataclass(frozen=True, slots=True)
class Bad:
    """A message that can never be read.

    Attributes:
        row: its index among the values.
        reason: a short stable slug, the same for every codec.
        detail: where it went wrong, never the payload.
    """

    row: int
    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class Decoded:
    """What became of a batch of values; every one is either in `rows` or in `bad`, or counted in `skipped`.

    Attributes:
        columns: the good records in the reader's Arrow schema, in the order of the values.
        rows: int64 [columns.num_rows], ascending: the index of each among the values.
        bad: the others, by ascending row.
        skipped: how many are in neither because the pipeline file says so, by the remark that counts them.
    """

    columns: pa.RecordBatch
    rows: npt.NDArray[np.int64]
    bad: list[Bad]
    skipped: Mapping[str, int] = field(default_factory=dict)


class Codec(Protocol):
    """Reads and writes the values of one topic.

    Exact: what is decoded of what was encoded is the same to the bit, and what cannot be said exactly is refused. The
    verdict is for each record alone, and what the bytes of strangers say costs memory within a small multiple of them.

    Attributes:
        subject: the topic's name on the broker with `-value`.
        reader: the schema that the columns have.
        max_bytes: longer values are `oversize`.
    """

    @property
    def subject(self) -> str: ...
    @property
    def reader(self) -> Schema: ...
    @property
    def max_bytes(self) -> int: ...

    def encode(self, columns: pa.RecordBatch) -> list[bytes]:
        """One message a row. Columns are taken by name; a type that casts to the schema's without loss will do.

        Raises:
            ContractError: a column is missing, of another type, or null without leave.
        """
        ...

    def decode(self, values: Sequence[bytes | None]) -> Decoded:
        """Read a batch; `Transient` when something outside is needed that does not answer."""
        ...
