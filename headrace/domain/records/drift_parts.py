"""drift_part records: what one partition of a topic means to whoever watches all of them for drift."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from headrace.columnar import packing
from headrace.domain.records.watched_columns import STREAMS, ModelIdentity
from headrace.errors import ContractError

PARTS, DECISIONS = "drift-parts", "decisions"
"""The topic, and the source of what people decide: it stands among the rows, so that it holds from a place on."""
REFUSED = "dead-letters"
"""The topic that tells how much is refused, and of what: in the place of a model stands what is refused for one reason,
(logical topic, reason, nothing)."""
SOURCES = (*STREAMS, REFUSED)
"""All topics that are watched, each by itself."""
CLOCKS = ("progress", "seen")
"""Fields of a part that are times."""
Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]
Bytes = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True, eq=False)
class ModelRows:
    """Rows of one model.

    Attributes:
        progress: int64, how far the event time of their partition had come before each, milliseconds; never falls
            within a partition.
        source: int64, number of the partition among those of its topic.
        offset: int64.
        places: uint8, rows x columns that the model's profile knows, see `WatchedColumns`.
        values: float64, rows x other columns.
    """

    progress: Ints
    source: Ints
    offset: Ints
    places: Bytes
    values: Floats

    def __len__(self) -> int:
        return len(self.offset)

    def take(self, rows: Ints | Flags | slice) -> ModelRows:
        """Some of them, in this order."""
        return ModelRows(*(getattr(self, field.name)[rows] for field in fields(self)))


@dataclass(frozen=True, slots=True)
class Acceptance:
    """Somebody takes what changed in an incident for what is usual from now on.

    Attributes:
        incident: its identity; where it is not open any more, nothing follows.
        actor, reason: who decided so, and why.
    """

    incident: str
    actor: str
    reason: str

    def row(self) -> dict[str, Any]:
        """As the topic's schema has it."""
        return {
            "source": DECISIONS,
            "source_partition": 0,
            "next_offset": 0,
            "progress": 0,
            "idle": False,
            "models": [],
            "partitions": 0,
            "seen": 0,
            "payload": json.dumps(asdict(self)).encode(),
        }

    @classmethod
    def of(cls, payload: bytes) -> Acceptance:
        """What a row has. Raises ContractError for anything else."""
        try:
            said = json.loads(payload)
            return cls(*(str(said[field.name]) for field in fields(cls)))
        except (ValueError, KeyError, TypeError) as error:
            raise ContractError(f"no decision: {error}") from None


def joined(parts: Iterable[ModelRows]) -> ModelRows:
    """All of them, one after the other; at least one."""
    told = list(parts)
    return ModelRows(*(np.concatenate([getattr(part, field.name) for part in told]) for field in fields(ModelRows)))


def pack(rows: Mapping[ModelIdentity, ModelRows]) -> bytes:
    """Rows of several models as bytes, without the models: those stand beside, in this order."""
    columns: dict[str, packing.Column] = {}
    for number, each in enumerate(rows.values()):
        columns |= {f"{number}.{name}": column for name, column in columns_of(each).items()}
    return packing.pack(columns, level=1)


def unpack(models: Iterable[ModelIdentity], payload: bytes) -> dict[ModelIdentity, ModelRows]:
    """What `pack` took. Raises ContractError where it does not fit the models."""
    columns = packing.unpack(payload)
    try:
        return {
            model: rows_of({name: columns[f"{number}.{name}"] for name in NAMES}) for number, model in enumerate(models)
        }
    except (KeyError, ValueError) as error:
        raise ContractError(f"a drift part is damaged: {error}") from None


NAMES = (*(field.name for field in fields(ModelRows)), "shape")


def columns_of(rows: ModelRows) -> dict[str, packing.Column]:
    """Rows as one-dimensional columns; a matrix column by column, which packs best."""
    plain = {name: getattr(rows, name) for name in ("progress", "source", "offset")}
    shape = np.array([rows.places.shape[1], rows.values.shape[1]])
    return plain | {"places": rows.places.T.ravel(), "values": rows.values.T.ravel(), "shape": shape}


def rows_of(columns: Mapping[str, packing.Column]) -> ModelRows:
    """The inverse of `columns_of`. Raises ValueError where lengths do not fit."""
    progress, source, offset = (columns[name].astype(np.int64) for name in ("progress", "source", "offset"))
    known, unknown = columns["shape"].tolist()
    places = columns["places"].astype(np.uint8).reshape(known, len(offset)).T
    values = columns["values"].astype(np.float64).reshape(unknown, len(offset)).T
    return ModelRows(progress, source, offset, places, values)
