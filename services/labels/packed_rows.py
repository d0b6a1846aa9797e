"""How rows were packed that a join keeps: a revision of the pipeline packs other features than the one before it.

What an event's predictions share is packed once, with the first of them, and stays as it is for months. So each model
that a join knows says how its rows are packed, by a digest; a checkpoint has what the digests stand for.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from headrace.columnar import packing
from headrace.columnar.avro.compatibility import incompatibilities
from headrace.columnar.avro.resolution import Resolution
from headrace.errors import ContractError
from headrace.streaming.contracts.schemas import load_schema, load_writer
from headrace.streaming.records.rows import Packed, unpacked
from services.labels.exchange_batch import IDENTITY

Columns = dict[str, packing.Column]
PACKED, FORMER = "packed", "shared"
"""Columns of a snapshot that say how its rows are packed: in several ways; all alike, and then models do not say so."""


class PackedRows:
    """Reads what a join keeps of predictions as this revision of the pipeline has it, whichever one packed it.

    Parameters:
        packed: how rows are packed now.
        entities: the views whose entities are kept.
    """

    def __init__(self, packed: Packed, entities: Sequence[str]) -> None:
        self._packed = packed
        self._entities = list(entities)
        self._definitions = {packed.digest: packed.definition}
        self._reader = load_schema(json.loads(packed.definition)).record
        self._former: dict[str, Resolution] = {}

    def take_out(self, columns: Columns) -> None:
        """Take what says how rows are packed out of a snapshot's columns, and remember it.

        ContractError where it is no snapshot of `labels`, or this revision cannot read its rows.
        """
        entities, definitions = taken_out(columns)
        faults = [] if entities == self._entities else [f"entities of {entities}, now of {self._entities}"]
        for digest, definition in definitions.items():
            writer = load_writer(json.loads(definition)).record
            faults += incompatibilities(writer, self._reader)
            if not faults and digest not in self._definitions:
                self._definitions[digest] = definition
                self._former[digest] = Resolution(writer, self._reader)
        if faults:
            raise ContractError(
                "state snapshot: its predictions have other features than the pipeline file says now, and cannot be "
                f"read as these ({'; '.join(faults)}): change the file back, or make the change a revision "
                "(`headrace revise`)"
            )

    def put_in(self, columns: Columns, identities: Sequence[Sequence[object]]) -> Columns:
        """A snapshot's columns with what says how the rows of these models are packed."""
        known = {str(identity[-1]) for identity in identities} | {self._packed.digest}
        return put_in(columns, self._entities, {name: self._definitions[name] for name in sorted(known)})

    def unpack(
        self, values: pa.BinaryArray, which: npt.NDArray[np.int64], identities: Sequence[Sequence[object]]
    ) -> pa.RecordBatch:
        """Rows in the columns of this revision. `which`: the number of each one's model among `identities`."""
        digests = [str(identity[-1]) for identity in identities]
        if all(digest == self._packed.digest for digest in digests):
            return self._packed.unpack(values)
        names = sorted(set(digests))
        forms = np.array([names.index(digest) for digest in digests])[which]
        parts, order = [], np.argsort(forms, kind="stable")
        for form in np.unique(forms).tolist():
            own = values.take(pa.array(np.flatnonzero(forms == form)))
            former = self._former.get(names[form])
            parts.append(self._packed.unpack(own) if former is None else unpacked(former, own))
        return pa.concat_batches(parts).take(pa.array(np.argsort(order, kind="stable")))


def taken_out(columns: Columns) -> tuple[list[str], dict[str, str]]:
    """Take out of a snapshot's columns whose entities are kept, and how rows are packed, by digest."""
    if PACKED in columns:
        said = packing.json_of(columns.pop(PACKED))
        return said["entities"], said["definitions"]
    if FORMER not in columns:
        raise ContractError(f"state snapshot: holds {sorted(columns)}, which is no state of labels")
    definition, _, entities = columns.pop(FORMER).tobytes().decode().rpartition(" (")
    digest = load_writer(json.loads(definition)).fingerprint
    labellers, models = packing.json_of(columns["names"])
    told = [[*model, digest] if len(model) < len(IDENTITY) else model for model in models]
    columns["names"] = packing.json_column([labellers, told])
    return list(ast.literal_eval(f"({entities}")), {digest: definition}


def put_in(columns: Columns, entities: Sequence[str], definitions: Mapping[str, str]) -> Columns:
    """Columns from which `taken_out` takes that out; where all rows are packed alike, as a former version has them."""
    if len(definitions) > 1:
        return {**columns, PACKED: packing.json_column({"entities": entities, "definitions": definitions})}
    [definition] = definitions.values()
    labellers, models = packing.json_of(columns["names"])
    names = packing.json_column([labellers, [model[: len(IDENTITY) - 1] for model in models]])
    form = f"{definition} {tuple(entities)}".encode()
    return {**columns, "names": names, FORMER: np.frombuffer(form, np.uint8)}
