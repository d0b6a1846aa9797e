"""Where a view's values stand in the online store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import pyarrow as pa

from headrace.domain.features.window_pool import Ints
from headrace.domain.pipeline.spec import View
from headrace.errors import ContractError
from headrace.stores.online import RESERVED
from headrace.streaming.watermarks.sources import ALWAYS

PROGRESS = RESERVED + b"progress"
"""Field of a shelf: how far every source is as far as this partition knows; see `write_progress`."""


@dataclass(frozen=True, slots=True)
class Shelves:
    """Keys of one version of a view: `card_fraud:terminal.v1:3/12` is the fourth of twelve partitions. `revision`: of
    the pipeline since which the view is as it is.

    A shelf has a field for each entity, its timeline, and `PROGRESS`. The number of partitions belongs to the key:
    with another one entities belong to other partitions.
    """

    pipeline: str
    view: str
    version: int = 1
    revision: int = 1

    @classmethod
    def of_view(cls, pipeline: str, view: View) -> Shelves:
        """Those of a view of a pipeline."""
        return cls(pipeline, view.name, view.version, view.revision)

    @property
    def prefix(self) -> bytes:
        """What all its keys begin with."""
        revised = f".r{self.revision}" if self.revision > 1 else ""
        return f"{self.pipeline}:{self.view}.v{self.version}{revised}:".encode()

    def of(self, partition: int, partitions: int) -> bytes:
        """The key of one of so many partitions."""
        return self.prefix + f"{partition}/{partitions}".encode()


def fields_of(entities: pa.StringArray) -> list[bytes]:
    """The fields of entities' timelines: their names."""
    return cast(list[bytes], entities.cast(pa.binary()).to_numpy(zero_copy_only=False).tolist())


@dataclass(frozen=True, slots=True)
class Truth:
    """How far labels are told, as all partitions of a view know; milliseconds.

    Attributes:
        known: all labels up to this label time are told, but for those that idle sources may hold.
        seen: by the clock; when idle sources were last seen at their end, ALWAYS when none is idle.
        alive: by the clock; all that could be read then is told.
        sure: all labels up to this label time are told, whatever idle sources hold.
    """

    known: int
    seen: int
    alive: int
    sure: int


@dataclass(frozen=True, slots=True)
class ViewProgress:
    """How far the sources of a view are, as all partitions of the view know.

    Attributes:
        passed: int64, by source partition; the event time up to which everything is known that its own rows may wait
            for: told by it and by all that are not idle. Its own mark counts even when it is idle in the view: it has
            rows, so the mark that says so is on its way.
        others: int64, the same without its own mark: what all others that are not idle have told.
        offsets: int64, by source partition; its records below this offset are told.
        seen: milliseconds of the clock; when each idle source was still seen at its end. ALWAYS when none is idle.
        labels: the same of labels; None for a view that folds none.
    """

    passed: Ints
    others: Ints
    offsets: Ints
    seen: int
    labels: Truth | None = None


def write_progress(reached: Ints, seen: Ints, offsets: Ints, labels: Sequence[int] = ()) -> bytes:
    """What a partition of the view knows: of each source the event time reached, when it was last seen at its end, and
    the offset below which its records are told.

    `seen` is ALWAYS for a source that is not idle; `labels` is what `Sources.told` says of those of labels. Eight bytes
    a number, little-endian.
    """
    return np.concatenate([reached, seen, offsets, np.array(labels, np.int64)]).astype("<i8", copy=False).tobytes()


def read_progress(values: Sequence[bytes | None], sources: int, labels: bool = False) -> ViewProgress | None:
    """Join what all partitions of a view wrote, with or without labels; None while one of them has nothing, or nothing
    of as many sources as there are: events got more partitions, and views has not written since.
    """
    known = [value for value in values if value is not None]
    if len(known) < len(values):
        return None
    size, own = 24 * sources, 32 if labels else 0
    if any((len(value) - own) % 24 and (len(value) - own) % 16 for value in known):
        raise ContractError(f"online store: a progress has not the {size + own} bytes of {sources} sources")
    if any(len(value) != size + own for value in known):
        return None  # Told of fewer sources than there are, or by a version that said less: it is told anew.
    numbers = np.frombuffer(b"".join(known), "<i8").reshape(len(known), -1)
    reached, seen, offsets = (numbers[:, part * sources : (part + 1) * sources] for part in range(3))
    awake = np.append(np.where(seen == ALWAYS, reached, ALWAYS).min(axis=0), ALWAYS)
    order = np.argsort(awake, kind="stable")
    others = np.full(sources, awake[order[0]])
    others[order[0]] = awake[order[1]]
    truth = Truth(*numbers[:, 3 * sources :].min(axis=0).tolist()) if labels else None
    passed = np.minimum(reached.min(axis=0), awake.min())
    return ViewProgress(passed, others, offsets.min(axis=0), int(seen.min()), truth)
