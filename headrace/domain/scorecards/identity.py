"""Whose answers: what cards are of."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa


class Identity(NamedTuple):
    """Whose answers: a model package and the part it played."""

    name: str
    version: str
    digest: str
    arm: str

    @property
    def text(self) -> str:
        """`name@version/arm`."""
        return f"{self.name}@{self.version}/{self.arm}"

    @property
    def model(self) -> dict[str, str]:
        """The model as a record."""
        return {"name": self.name, "version": self.version, "digest": self.digest}


def identities(columns: pa.RecordBatch) -> tuple[npt.NDArray[np.int64], list[Identity]]:
    """A number for each row's identity, and the identities by number."""
    model = columns.column("model")
    parts = [model.field(name) for name in ("name", "version", "digest")] + [columns.column("arm")]
    code, words = np.zeros(len(columns), np.int64), []
    for part in parts:
        coded = part.dictionary_encode()
        words.append(coded.dictionary.to_pylist())
        code = code * max(len(words[-1]), 1) + coded.indices.to_numpy()
    found, which = np.unique(code, return_inverse=True)
    places = np.unravel_index(found, [max(len(word), 1) for word in words])
    known = [Identity(*(word[at] for word, at in zip(words, row, strict=True))) for row in zip(*places, strict=True)]
    return which, known
