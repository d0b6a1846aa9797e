"""An aggregation of the pipeline file as a frozen value, and what entries of a view keep for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from headrace.domain.pipeline.language.expressions import Expression

LABEL = "label"
"""The name by which aggregations of a view call what events turned out to be."""


@dataclass(frozen=True, slots=True)
class ValueColumn:
    """What entries of a view keep of an event, a float64; null (NaN) where `where` does not hold.

    Attributes:
        field, of: a numeric field, or an expression; neither: 1.
        where: which events it is of, None for all.
        codes: of a string, how its values are told apart: `hash`, or `place` among `listed`.
    """

    field: str | None = None
    of: Expression | None = None
    where: Expression | None = None
    codes: Literal["hash", "place"] | None = None
    listed: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """As the file has it, between the brackets."""
        of = self.field or (self.of.text if self.of is not None else "")
        return of if self.where is None else f"{of} where {self.where.text}".strip()

    @property
    def name(self) -> str:
        """By what records and checkpoints know it: two that are called the same mean the same."""
        listed = f" in {', '.join(self.listed)}" if self.codes == "place" else ""
        return f"{self.codes} of {self.text}{listed}" if self.codes else self.text

    @property
    def fields(self) -> tuple[str, ...]:
        """Fields of the event that it reads."""
        parts = (self.of, self.where)
        read = [name for part in parts if part is not None for name in part.fields]
        return tuple(dict.fromkeys([*([] if self.field is None else [self.field]), *read]))


@dataclass(frozen=True, slots=True)
class Aggregation:
    """What is computed over a window: a function (see `domain.aggregations`) of a value, or of events.

    With `of_label`, of what events turned out to be.

    Attributes:
        field: a plain numeric field of the event; what else there is to be aggregated is `of`.
        value: see `ValueColumn`; None for all events, and for labels.
        parameter: what the function takes besides, 0 for nothing.
    """

    function: str
    field: str | None = None
    of_label: bool = False
    of: ValueColumn | None = None
    parameter: float = 0.0

    @property
    def value(self) -> ValueColumn | None:
        """What entries keep for it."""
        return ValueColumn(self.field) if self.field is not None else self.of

    @property
    def subject(self) -> str | None:
        """What stands between the brackets in the file, None where there are none."""
        if self.of_label:
            return LABEL
        return None if self.value is None else self.value.text
