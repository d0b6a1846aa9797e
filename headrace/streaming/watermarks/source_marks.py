"""How far each of several sources is, for whoever brings their rows into one order that follows from the rows alone."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from headrace.columnar import packing
from headrace.errors import ContractError
from headrace.streaming.watermarks.event_time import NEVER
from headrace.streaming.watermarks.proofs import ALL, NOTED, SourceProof, moves, prove
from headrace.streaming.watermarks.sources import ALWAYS

Ints = npt.NDArray[np.int64]
UNSEEN = 0
"""The time of a mark by who does not tell it: one of an earlier version."""


class SourceMarks:
    """The last mark of each source: rows below `next_offset` are told, and after them it is at `progress`.

    Rows are given by the progress of their source before each, those of the same progress by source and offset, once no
    source can tell an earlier one: once `bound` is beyond it. A source that is idle is not waited for, but the bound
    moves on only by what it is proven to have told by then (see `proofs`): what was written to several at once is given
    in order, whichever was read first.

        >>> marks = SourceMarks()
        >>> marks.grow(2)
        >>> marks.take(0, 3, 30, idle=False, seen=100), marks.bound()
        (-1, None)
        >>> marks.take(1, 2, 20, idle=False, seen=101), marks.bound()
        (-1, 20)
        >>> marks.take(0, 1, 10, idle=False, seen=102) is None  # it was told before
        True
        >>> for seen in (110, 115, 120):
        ...     print(marks.take(1, 2, 20, idle=True, seen=seen), marks.bound())
        2 20
        2 30
        2 30

    A mark that does not say when (UNSEEN) is one of an earlier version, and is taken as that took it: what is idle by
    such a mark is not waited for at all.

    Attributes:
        next_offset: int64 by source; -1 of one that was never heard of.
    """

    def __init__(self) -> None:
        self.next_offset, self._progress, self._idle = (np.empty(0, np.int64) for _ in range(3))
        self._proofs: list[SourceProof] = []
        self._held = self._noted = self._noted_at = NEVER
        self._all = False

    @property
    def all_awake(self) -> bool:
        """Whether all sources are waited for: then the order of rows does not depend on that of what is taken up."""
        return not self._idle.any()

    @property
    def count(self) -> int:
        """How many sources there are, as far as was told."""
        return len(self.next_offset)

    @property
    def behind(self) -> bool:
        """Whether something that was told has not its turn yet; marks of sources at their ends give it in the end."""
        bound = self.bound()
        return bool((self.next_offset > 0).any()) and (bound is None or bound != ALWAYS)

    def grow(self, count: int) -> None:
        """There are so many sources, or more: further ones are waited for from now on."""
        further = count - self.count
        if further <= 0:
            return
        self.next_offset = np.append(self.next_offset, np.full(further, -1))
        self._progress = np.append(self._progress, np.full(further, NEVER))
        self._idle = np.append(self._idle, np.zeros(further, np.int64))
        self._proofs += [_proof(NEVER, NEVER, NEVER) for _ in range(further)]

    def take(self, source: int, next_offset: int, progress: int, idle: bool, seen: int = UNSEEN) -> int | None:
        """Take a mark up: the offset below which its rows were told before, or None where all of it was.

        Args:
            seen: by the clock, in milliseconds: of one that is idle, when it was last seen at its end; else when its
                rows were sent on.
        """
        self.grow(source + 1)
        known = int(self.next_offset[source])
        if next_offset < known:
            return None
        if self._all:  # All that waited had its turn; what comes from now on is in order again.
            self._held, self._all = max(self._held, self.furthest()), False
        self.next_offset[source], self._progress[source], self._idle[source] = next_offset, progress, idle
        if seen == UNSEEN:
            self._trust(source, idle)
        else:
            prove(self._proofs[source], idle, seen)
        self._move()
        return known

    def _trust(self, source: int, idle: bool) -> None:
        """Believe a mark that proves nothing."""
        proof = self._proofs[source]
        proof.seen, proof.until = NEVER, ALWAYS if idle else NEVER

    def _move(self) -> None:
        """Go on to where that is proven."""
        reached = self._reached()
        if reached is None:
            return
        idle = self._idle.astype(bool).tolist()
        written = max((proof.written for proof in self._proofs), default=NEVER)
        proven = min((proof.until for proof, rests in zip(self._proofs, idle, strict=True) if rests), default=ALWAYS)
        self._noted_at = min(self._noted_at, written)
        what = moves(self._noted_at, written, proven)
        if what == ALL:
            self._all = all(idle)
            self._held, self._noted, self._noted_at = max(self._held, reached), NEVER, NEVER
        elif what == NOTED:
            # A source that woke up meanwhile may be further back than those that were awake then.
            self._held = max(self._held, min(self._noted, reached))
            self._noted, self._noted_at = reached, written

    def _reached(self) -> int | None:
        """How far the sources are that are awake, or the furthest where none is; None while one was never heard of."""
        awake = self._idle == 0
        if (self.next_offset[awake] < 0).any():
            return None
        return int(self._progress[awake].min()) if awake.any() else self.furthest()

    def bound(self) -> int | None:
        """Rows whose source had come less far before them are all told; ALWAYS where all sources are at their ends and
        that is proven, None while somebody was never heard of.
        """
        reached = self._reached()
        if reached is None:
            return None
        return ALWAYS if self._all else min(self._held, reached)

    def furthest(self) -> int:
        """The largest progress that any source told; NEVER of none."""
        return int(self._progress.max(initial=NEVER))

    def columns(self) -> dict[str, packing.Column]:
        """The state as columns."""
        waits = np.array([self._held, self._noted, self._noted_at, self._all], np.int64)
        known = {"next_offset": self.next_offset, "progress": self._progress, "idle": self._idle}
        proofs = [(proof.written, proof.seen, proof.until) for proof in self._proofs]
        return known | {"proofs": np.array(proofs, np.int64).ravel(), "waits": waits}

    def load(self, columns: Mapping[str, packing.Column], now: int) -> None:
        """Take over what `columns` gave; of a version that knew no proofs: what was idle is not waited for until it is
        told of anew.

        Args:
            now: how many sources there are. Raises ContractError when there are fewer than then.
        """
        known = len(columns["next_offset"])
        if known > now:
            raise ContractError(
                f"state snapshot: of {known} source partitions, now there are {now}: the topic was made anew"
            )
        self.next_offset, self._progress, self._idle = (
            columns[name].astype(np.int64) for name in ("next_offset", "progress", "idle")
        )
        if "proofs" in columns:
            self._proofs = [_proof(*numbers) for numbers in columns["proofs"].reshape(-1, 3).tolist()]
            self._held, self._noted, self._noted_at, every = columns["waits"].tolist()
            self._all = bool(every)
            return
        self._proofs = [_proof(NEVER, NEVER, NEVER) for _ in range(known)]
        for source in np.flatnonzero(self._idle):
            self._trust(int(source), idle=True)
        self._move()


def _proof(written: int, seen: int, until: int) -> SourceProof:
    found = SourceProof()
    found.written, found.seen, found.until = written, seen, until
    return found
