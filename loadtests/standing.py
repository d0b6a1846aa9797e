"""What models reached, beside what was published of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass, fields

import numpy as np
import numpy.typing as npt

from loadtests.campaign import Played
from loadtests.entrants import Entry
from loadtests.protocol import Contender, Figures, judged

ROUNDING = 5e-4
"""Published figures have three digits."""
NAMES = {"auc_roc": "AUC ROC", "average_precision": "average precision", "card_precision": "card precision@100"}


@dataclass(frozen=True, slots=True)
class Result:
    """A contender's figures.

    Attributes:
        reached: by seed.
    """

    contender: Contender
    reached: tuple[Figures, ...]

    @property
    def spread(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Least, mean and most over seeds; each of the three figures."""
        table = np.array([astuple(figures) for figures in self.reached])
        return table.min(axis=0), table.mean(axis=0), table.max(axis=0)

    @property
    def published(self) -> tuple[float, ...] | None:
        """The Handbook's three figures; None where it has none."""
        return None if self.contender.published is None else astuple(self.contender.published)

    @property
    def within(self) -> tuple[bool, ...]:
        """Whether each published figure lies between our least and our most, to its last digit."""
        if self.published is None:
            return (True,) * len(NAMES)
        least, _, most = self.spread
        wanted = np.array(self.published)
        return tuple(((least - ROUNDING <= wanted) & (wanted <= most + ROUNDING)).tolist())

    def lines(self) -> Iterator[tuple[str, str, str, str]]:
        """For each figure: its name, as published, ours with the spread, and whether the former is in the latter."""
        least, mean, most = self.spread
        for place, field in enumerate(fields(Figures)):
            ours = f"{mean[place]:.4f}"
            if len(self.reached) > 1:
                ours += f" ({least[place]:.4f} to {most[place]:.4f})"
            if self.published is None:
                yield NAMES[field.name], "none", ours, ""
            else:
                told = "yes" if self.within[place] else "no"
                yield NAMES[field.name], f"{self.published[place]:.3f}", ours, told


def results(played: Played, entries: Sequence[Entry]) -> list[Result]:
    """The figures of each contender, over its seeds; in the table's order."""
    by_contender: dict[str, tuple[Contender, list[Figures]]] = {}
    for entry in entries:
        _, reached = by_contender.setdefault(entry.contender.title, (entry.contender, []))
        scores = played.scores[entry.version]
        reached.append(judged(played.times, played.customers, scores, played.fraud, entry.seed))
    return [Result(contender, tuple(reached)) for contender, reached in by_contender.values()]
