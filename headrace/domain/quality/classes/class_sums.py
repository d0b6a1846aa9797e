"""What is counted of rows of several classes: sums that add up, whatever the order and however rows were split."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from headrace.columnar import packing
from headrace.domain.quality import score_table
from headrace.domain.quality.classes.confusion_matrix import ConfusionMatrix, matrix_of
from headrace.domain.quality.classes.losses import half_brier, surprise
from headrace.domain.quality.score_table import LEAST_CAP, ScoreTable, tabulated
from headrace.domain.quality.statistics.exact_sum import ZERO, ExactSum, summed
from headrace.errors import ContractError

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class ClassSums:
    """Sums over rows; those of other classes than each other do not add up.

    Attributes:
        classes: their names, in the order of the pipeline file; none: there are no rows.
        decided: int64 [classes], predictions by the class that was decided on.
        counts: int64 [classes, classes], labelled outcomes: row what was true, column what was decided.
        surprise: of them, the sum of minus the logarithm of the chance that the truth had.
        brier: the sum of half their Brier scores.
        tables: of each class, labelled outcomes by its chance, positive where it was true; none where classes are too
            many (see `cap_of`).
    """

    classes: tuple[str, ...] = ()
    decided: Ints = field(default_factory=lambda: np.zeros(0, np.int64))
    counts: Ints = field(default_factory=lambda: np.zeros((0, 0), np.int64))
    surprise: ExactSum = ZERO
    brier: ExactSum = ZERO
    tables: tuple[ScoreTable, ...] = ()

    @property
    def matrix(self) -> ConfusionMatrix:
        """Decisions by what turned out."""
        return ConfusionMatrix(self.counts)

    @property
    def sound(self) -> bool:
        """Whether nothing was taken back that is not there."""
        counts = [self.decided, self.counts]
        counts += [each for table in self.tables for each in (table.positives, table.negatives)]
        return all(bool(np.all(each >= 0)) for each in counts)


NO_CLASSES = ClassSums()


def cap_of(cap: int, classes: int) -> int | None:
    """Distinct scores of the table of each class, where all together may have `cap`; None: they are too many.

    >>> cap_of(65_536, 3), cap_of(65_536, 17)
    (21845, None)
    """
    each = cap // classes
    return each if each >= LEAST_CAP else None


def decided_sums(decided: Ints, classes: tuple[str, ...], sign: int = 1) -> ClassSums:
    """Of predictions, by the places of the classes that were decided on; `sign` -1 takes them back."""
    count = len(classes)
    decisions = sign * np.bincount(decided, minlength=count).astype(np.int64)
    return ClassSums(classes, decisions, np.zeros((count, count), np.int64))


def outcome_sums(chances: Floats, decided: Ints, truths: Floats, classes: tuple[str, ...], cap: int) -> ClassSums:
    """Of outcomes; rows without a truth are left out.

    Args:
        chances: float64 [rows, classes], finite.
        decided: int64 [rows], places of classes.
        truths: float64 [rows], the same of what was true; NaN where that is not known.
        classes: their names.
        cap: most distinct scores of all classes together.
    """
    known = ~np.isnan(truths)
    chances, decided, truths = np.ascontiguousarray(chances[known]), decided[known], truths[known]
    count, each = len(classes), cap_of(cap, len(classes))
    tables: list[ScoreTable] = []
    if each is not None:
        tables = [tabulated(chances[:, place], truths == place, each) for place in range(count)]
    return ClassSums(
        classes,
        np.zeros(count, np.int64),
        matrix_of(truths, decided, count),
        summed(surprise(chances, truths)),
        summed(half_brier(chances, truths)),
        tuple(tables),
    )


def less(sums: ClassSums, gone: ClassSums, cap: int) -> ClassSums:
    """Sums without rows that they hold."""
    each = cap_of(cap, len(sums.classes))
    tables = [
        score_table.replaced(table, old, score_table.EMPTY, each or LEAST_CAP)
        for table, old in zip(sums.tables, gone.tables, strict=True)
    ]
    return ClassSums(
        sums.classes,
        sums.decided - gone.decided,
        sums.counts - gone.counts,
        sums.surprise - gone.surprise,
        sums.brier - gone.brier,
        tuple(tables),
    )


def merged(parts: Iterable[ClassSums], cap: int) -> ClassSums:
    """Sums over the rows of all. Raises ContractError where they are of other classes than each other."""
    several = [part for part in parts if part.classes]
    if len(several) < 2:
        return several[0] if several else NO_CLASSES
    classes = several[0].classes
    for part in several[1:]:
        if part.classes != classes:
            one, other = (", ".join(names) for names in (classes, part.classes))
            raise ContractError(
                f"sums are of the classes {one}, and of {other}: classes of a running pipeline do not change; give "
                "the pipeline another name, or change the file back"
            )
    return ClassSums(
        classes,
        np.sum([part.decided for part in several], axis=0),
        np.sum([part.counts for part in several], axis=0),
        sum((part.surprise for part in several), ZERO),
        sum((part.brier for part in several), ZERO),
        _tables([part.tables for part in several], max(cap // len(classes), LEAST_CAP)),
    )


def _tables(several: Sequence[tuple[ScoreTable, ...]], cap: int) -> tuple[ScoreTable, ...]:
    told = [tables for tables in several if tables]  # predictions have none
    return tuple(score_table.merged(each, cap) for each in zip(*told, strict=True))


def pack(sums: ClassSums) -> bytes:
    """As bytes."""
    said = {
        "classes": sums.classes,
        "surprise": format(sums.surprise.units, "x"),
        "brier": format(sums.brier.units, "x"),
        "tables": len(sums.tables),
    }
    columns: dict[str, packing.Column] = {
        "said": packing.json_column(said),
        "decided": sums.decided,
        "counts": sums.counts.ravel(),
    }
    columns |= {
        f"table.{place}": np.frombuffer(score_table.pack(table), np.uint8) for place, table in enumerate(sums.tables)
    }
    return packing.pack(columns)


def unpack(data: bytes) -> ClassSums:
    """What `pack` took. Raises ContractError for other bytes."""
    columns = packing.unpack(data)
    try:
        said = packing.json_of(columns["said"])
        classes = tuple(map(str, said["classes"]))
        surprise_units, brier_units = int(said["surprise"], 16), int(said["brier"], 16)
        decided = columns["decided"].astype(np.int64, copy=False)
        counts = columns["counts"].astype(np.int64, copy=False).reshape(len(classes), len(classes))
        tables = [columns[f"table.{place}"].tobytes() for place in range(int(said["tables"]))]
    except (KeyError, ValueError, TypeError) as error:
        raise ContractError(f"sums of classes: damaged, or something else: {error}") from None
    if len(decided) != len(classes) or len(tables) not in (0, len(classes)):
        raise ContractError("sums of classes: of another number of classes than they name")
    made = tuple(map(score_table.unpack, tables))
    return ClassSums(classes, decided, counts, ExactSum(surprise_units), ExactSum(brier_units), made)
