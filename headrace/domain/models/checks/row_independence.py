"""Whether a model's score of a row is that of the row alone.

Who is scored together is an accident of the moment: a maximum over the rows, or a softmax along them, would make a
score depend on it, and a repeat would get another one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

from headrace.errors import ContractError

Rows = npt.NDArray[np.float32]
Score = Callable[[Rows], npt.NDArray[np.float64]]
"""[n], or [n, classes]."""

ENOUGH = 512
"""Rows by which a service holds a model to it, whose plan may never have seen a trial."""
ALONE = 64
"""Rows that are scored by themselves."""
SIZES = (1, 2, 3, 7, 16, 33)
"""Rows of a call, beside one and all."""
NEAR = 1e-4
"""By how much, of a score's size or of 1, kernels for few rows and for many may differ: sums of 32 bits."""
REMEDY = (
    "every operator must keep rows apart: look for a Reduce, Softmax, ArgMax, Concat or MatMul along the first axis"
)


def check_rows(score: Score, rows: Rows, title: str) -> None:
    """Return when rows get one score together, alone, in another order, in any number and beside strange ones.

    Args:
        score: scores all rows that it is given in one call.
        rows: [n, inputs], plausible ones.
        title: of the model, for the message.

    Raises:
        ContractError: a score depends on the rows beside it; says how, and what to look for.
    """
    some = rows[: max(ALONE, len(rows) // 8)]
    alone = np.concatenate([_scored(score, some[place : place + 1], title, "alone") for place in range(ALONE)])
    for how, given, places in _companies(rows, some):
        found = _scored(score, given, title, how)[places]
        wanted = alone[: len(found)]
        gap = np.abs(found - wanted) > NEAR * np.maximum(1, np.abs(wanted))
        with np.errstate(invalid="ignore"):
            wrong = np.where(np.isfinite(found) & np.isfinite(wanted), gap, _differs(found, wanted))
        if wrong.any():
            place = int(np.argmax(wrong))
            raise ContractError(
                f"{title}: a row's score depends on the rows beside it: {wanted.flat[place]:g} alone, "
                f"{found.flat[place]:g} "
                f"{how}; {REMEDY}"
            )


def _differs(found: npt.NDArray[np.float64], wanted: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    same: npt.NDArray[np.bool_] = (found == wanted) | (np.isnan(found) & np.isnan(wanted))
    return ~same


def _companies(rows: Rows, some: Rows) -> Iterator[tuple[str, Rows, npt.NDArray[np.int64]]]:
    """(in what company, the rows of a call, the places in it of the first rows of `some`, in their order)."""
    first = np.arange(ALONE)
    for size in SIZES:
        yield f"among {size}", some[:size], first[:size]
    yield f"among {len(rows):,}", rows, first
    backwards = rows[::-1]
    yield f"among {len(rows):,} in another order", backwards, len(rows) - 1 - first
    for name, value in (("large", 1e30), ("small", -1e30), ("infinite", np.inf), ("missing", np.nan), ("zero", 0.0)):
        strange = np.concatenate([np.full_like(some[:2], value), some[:ALONE], np.full_like(some[:1], value)])
        yield f"beside {name} values", strange, 2 + first
    yield "among copies of itself", np.repeat(some[:1], 5, axis=0), first[:1]


def _scored(score: Score, given: Rows, title: str, how: str) -> npt.NDArray[np.float64]:
    try:
        found = score(np.asfortranarray(given))
    except ContractError as fault:
        # In a service it would take all rows of its batch along, and stop it.
        raise ContractError(f"{fault}, when rows are scored {how}; have the graph clip what it cannot take") from fault
    if len(found) != len(given):
        raise ContractError(f"{title} gives {len(found)} scores for {len(given)} rows {how}; {REMEDY}")
    return found
