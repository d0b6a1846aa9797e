"""By how much a candidate may lose more than its champion: the margin of a test of non-inferiority."""

from __future__ import annotations

import math
from dataclasses import dataclass

from headrace.errors import ConfigurationError

HOW = "write a share of A's loss, such as 5%, or a loss, such as 0.0005"


@dataclass(frozen=True, slots=True)
class Margin:
    """What a candidate may lose at an event, of its champion's loss there: (1 + share) loss + offset.

    Attributes:
        share: of the champion's loss, at least 0.
        offset: of loss, at least 0: of Brier's score, or in squares of the unit of a quantity.
    """

    share: float = 0.05
    offset: float = 0.0

    @property
    def text(self) -> str:
        """As a person reads it.

        >>> Margin().text, Margin(0.0, 0.0005).text, Margin(0.0).text
        ("5% of A's loss", '0.0005', '0')
        """
        parts = [f"{100 * self.share:g}% of A's loss"] if self.share else []
        return " and ".join([*parts, *([f"{self.offset:g}"] if self.offset else [])]) or "0"

    @property
    def beyond(self) -> str:
        """What stands after "worse".

        >>> Margin().beyond, Margin(0.0).beyond
        ("by more than 5% of A's loss", 'than A')
        """
        return f"by more than {self.text}" if self.share or self.offset else "than A"


def read_margin(text: str) -> Margin:
    """What a person wrote.

    >>> read_margin("2.5%"), read_margin("0.001")
    (Margin(share=0.025, offset=0.0), Margin(share=0.0, offset=0.001))

    Raises:
        ConfigurationError: it is neither, or below 0.
    """
    body = text.strip()
    try:
        number = float(body.removesuffix("%"))
    except ValueError:
        number = math.nan
    if not (math.isfinite(number) and number >= 0):
        raise ConfigurationError(f"{text} is no margin: {HOW}")
    return Margin(number / 100) if body.endswith("%") else Margin(0.0, number)
