"""Where a view's values stand in the online store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import pyarrow as pa
import pyarrow.compute as pc

from services.kit.errors import ContractError


@dataclass(frozen=True, slots=True)
class Shelf:
    """Keys of one version of a view: `card_fraud:terminal.v1:` and what follows."""

    pipeline: str
    view: str
    version: int = 1

    @property
    def prefix(self) -> str:
        """What all its keys begin with."""
        return f"{self.pipeline}:{self.view}.v{self.version}:"

    def guard(self, partition: int) -> bytes:
        """Offset of the view topic's partition up to which its timelines are folded, in decimal."""
        return f"{self.prefix}offset:{partition}".encode()

    def progress(self, partition: int) -> bytes:
        """Event time that all sources have passed as far as this partition knows; see `read_progress`."""
        return f"{self.prefix}progress:{partition}".encode()

    def timelines(self, entities: pa.StringArray) -> list[bytes]:
        """Keys of entities' timelines."""
        named = pc.binary_join_element_wise(pa.scalar(f"{self.prefix}of:"), entities, "")
        return cast(list[bytes], named.cast(pa.binary()).to_numpy(zero_copy_only=False).tolist())


def write_progress(progress: int) -> bytes:
    """Progress as a value: eight bytes, little-endian."""
    return progress.to_bytes(8, "little", signed=True)


def read_progress(values: Sequence[bytes | None]) -> int | None:
    """The least progress of all partitions of a view; None while one of them has none."""
    least: int | None = None
    for value in values:
        if value is None:
            return None
        if len(value) != 8:
            raise ContractError(f"online store: a progress has {len(value)} bytes, 8 are right")
        progress = int.from_bytes(value, "little", signed=True)
        least = progress if least is None else min(least, progress)
    return least
