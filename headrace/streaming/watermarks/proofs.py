"""What sources prove by being seen at their end, again and again; and what may move on by it.

That a source is idle says nothing of records that were written since it was looked at. So what others tell moves
nothing on before every idle source is proven complete up to when that was sent on. A source that is seen at its end at
s, and then at t, is complete up to s - (t - s): it says so again every half `idle_after`, so what is written up to
`idle_after` after a record was sent on has been read before that record moves anything.

Beside sources that never rest such a moment would never come. So it is noted how far they are, and what time that asks
proof for; what was noted holds once it is proved, and then the next is noted. One note at a time: further records put
nothing off. No setting has a part in it: who folds the same records finds the same.

A clock that is off does harm for as long as it is: what a source says later holds, and that it is idle is told after
its records.

These are plain functions of numbers: `labels` compiles them into its kernels, `SourceMarks` calls them as they are.
"""

from __future__ import annotations

from headrace.columnar.structs import i8, kind_of
from headrace.streaming.watermarks.event_time import NEVER

WAITS, NOTED, ALL = 0, 1, 2
"""What may move on: nothing, as far as was noted, or as far as all sources are."""


class SourceProof:
    """What a source proves of itself, by the clock of whoever told of it last."""

    written: i8
    """When its newest record was sent on, at the latest; NEVER without any."""
    seen: i8
    """When it was last seen at its end; NEVER: it is not there."""
    until: i8
    """Up to when it is complete; NEVER: it is not at its end, or that was told only once."""


PROOF = kind_of(SourceProof)
"""How proofs lie in memory."""


def prove(proof: SourceProof, idle: bool, time: int) -> None:
    """Take up when a source had a record, or was at its end.

        >>> proof = SourceProof()
        >>> proof.written = proof.seen = proof.until = NEVER
        >>> for idle, time in [(False, 10), (True, 20), (True, 25), (True, 30)]:
        ...     prove(proof, idle, time)
        >>> proof.written, proof.seen, proof.until
        (10, 30, 20)

    Args:
        time: of the clock, by whoever told it.
    """
    if not idle:
        proof.written, proof.seen, proof.until = time, NEVER, NEVER
        return
    if proof.seen == NEVER or time < proof.seen:
        proof.until = NEVER
    elif time > proof.seen:
        proof.until = max(proof.until, 2 * proof.seen - time)
    proof.seen = time
    proof.written = min(proof.written, time)


def moves(noted: int, written: int, proven: int) -> int:
    """What may move on: WAITS, NOTED or ALL.

        >>> moves(noted=10, written=30, proven=20) == NOTED
        True

    Args:
        noted: the time that the note asks proof for; NEVER: there is no note.
        written: when the newest record of any source was sent on.
        proven: up to when all idle sources are complete.
    """
    if proven >= written:
        return ALL
    return NOTED if proven >= noted else WAITS
