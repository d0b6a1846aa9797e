"""What a figure has to be for a model to be let in, as people write it: `better`, `at least 0.3`."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Comparison = Literal["better", "not_worse", "at_least", "at_most"]
OF_CLASSES = (
    "average_precision", "auc_roc", "precision", "recall", "log_loss", "brier_score", "calibration_error", "value",
    "value_per_event",
)  # fmt: skip  # a row of names
OF_SEVERAL = (
    "accuracy", "macro_precision", "macro_recall", "macro_f1", "log_loss", "brier_score", "cost_per_event",
)  # fmt: skip  # a row of names
OF_EACH_CLASS = ("precision_", "recall_", "f1_")
"""Figures of one of several classes, before its name."""
OF_QUANTITIES = ("mean_absolute_error", "mean_squared_error", "root_mean_square_error", "r2")
AT_DEPTH = ("precision_at_", "entity_precision_at_")
"""Figures whose name ends with a number of rows, or entities, a day."""
LOWER = frozenset({
    "log_loss", "brier_score", "calibration_error", "mean_absolute_error", "mean_squared_error",
    "root_mean_square_error", "cost_per_event",
})  # fmt: skip  # a row of names
"""Figures of which less is better."""
HOW = "write better, better by 0.01, not worse, not worse by 0.01, at least 0.3 or at most 0.3"
_RULE = re.compile(r"(better|not worse)(?: by (\S+))?|(at least|at most) (\S+)")


@dataclass(frozen=True, slots=True)
class GateRule:
    """What one figure has to be.

    Attributes:
        comparison: with the champion on the same events (`better`, `not_worse`), or with a number.
        bound: by how much better, or how much worse at most; or the number. In the figure's unit.
    """

    comparison: Comparison
    bound: float = 0.0

    @property
    def text(self) -> str:
        """As people write it.

        >>> GateRule("not_worse", 0.01).text, GateRule("better").text
        ('not worse by 0.01', 'better')
        """
        words = self.comparison.replace("_", " ")
        if self.comparison in ("at_least", "at_most"):
            return f"{words} {self.bound:g}"
        return f"{words} by {self.bound:g}" if self.bound else words


def read_gate_rule(text: str) -> GateRule:
    """What a person wrote.

    >>> read_gate_rule("not worse by 0.01"), read_gate_rule("at least 0.3")
    (GateRule(comparison='not_worse', bound=0.01), GateRule(comparison='at_least', bound=0.3))

    Raises:
        ValueError: it is none; the message is the remedy.
    """
    match = _RULE.fullmatch(" ".join(text.split()))
    if match is None:
        raise ValueError(HOW)
    relative = match[1] is not None
    try:
        bound = float(match[2] or 0) if relative else float(match[4])
    except ValueError:
        raise ValueError(HOW) from None
    if not math.isfinite(bound) or (relative and bound < 0):
        raise ValueError(HOW)
    words: dict[str, Comparison] = {
        "better": "better", "not worse": "not_worse", "at least": "at_least", "at most": "at_most",
    }  # fmt: skip  # a row of words
    return GateRule(words[match[1] or match[3]], bound)


def figures_of(classes: bool, names: Sequence[str] = ()) -> tuple[str, ...]:
    """Names that gates may have, those at a depth with a 100 at their end; `names`: of several classes, as fields."""
    if names:
        return (*OF_SEVERAL, *(f"{each}{name}" for name in names for each in OF_EACH_CLASS))
    return (*OF_CLASSES, *(f"{each}100" for each in AT_DEPTH)) if classes else OF_QUANTITIES


def is_figure(name: str, classes: bool, names: Sequence[str] = ()) -> bool:
    """Whether a gate may have this name; `names`: of several classes, as fields.

    >>> is_figure("precision_at_50", True), is_figure("precision_at_", True), is_figure("r2", True)
    (True, False, False)
    >>> is_figure("recall_cat", True, ["cat", "dog"]), is_figure("recall", True, ["cat", "dog"])
    (True, False)
    """
    if names:
        return name in figures_of(classes, names)
    deep = any(name.startswith(each) and name.removeprefix(each).isdecimal() for each in AT_DEPTH)
    return name in (OF_CLASSES if classes else OF_QUANTITIES) or (classes and deep)
