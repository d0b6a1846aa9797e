"""How estimates without labels did, once labels came: every estimator over the same windows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from headrace.domain.scorecards.card import ESTIMATED, FARED, SHIFTED, SHIFTED_FARED, Card

ESTIMATORS: Mapping[str, str] = {ESTIMATED: FARED, SHIFTED: SHIFTED_FARED}
"""How names of an estimator's figures begin, and how names of their errors do."""


@dataclass(frozen=True, slots=True)
class EstimateError:
    """How estimates of one figure did, once outcomes came: over `windows`, mean error, mean size of it, and how often
    the 95% interval held the truth.
    """

    windows: int
    bias: float
    mean_absolute: float
    within: float | None


def judged(cards: Sequence[Card], together: bool = False) -> dict[str, dict[str, EstimateError]]:
    """Errors of each estimator's figures (`ESTIMATED`, `SHIFTED`), by the figure's name; without any, it is left out.

    Args:
        cards: of windows of one model, arm and group; those that are not mature have nothing to say.
        together: only windows count in which every estimator told the figure, so that they can be compared.
    """
    found: dict[str, dict[str, EstimateError]] = {}
    for estimator, prefix in ESTIMATORS.items():
        for name in dict.fromkeys(n for card in cards for n in card.figures if n.startswith(prefix)):
            figure = name.removeprefix(prefix)
            error = _error([card for card in cards if not together or _by_all(card, figure)], name)
            if error is not None:
                found.setdefault(estimator, {})[figure] = error
    return found


def _error(cards: Sequence[Card], name: str) -> EstimateError | None:
    errors = [f for card in cards if (f := card.figures.get(name)) is not None and f.value is not None]
    if not errors:
        return None
    values = [figure.value for figure in errors if figure.value is not None]
    banded = [f.low <= 0 <= f.high for f in errors if f.low is not None and f.high is not None]
    return EstimateError(
        len(values),
        math.fsum(values) / len(values),
        math.fsum(map(abs, values)) / len(values),
        sum(banded) / len(banded) if banded else None,
    )


def _by_all(card: Card, figure: str) -> bool:
    errors = (card.figures.get(prefix + figure) for prefix in ESTIMATORS.values())
    return all(error is not None and error.value is not None for error in errors)
