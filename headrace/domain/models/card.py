"""The model card: what a package says of itself beyond its manifest, for people who decide by it.

Data, parameters, libraries and code revision stand in `model.yaml`; here is what was asked for, how the model did in
each group of rows, against which others it was chosen, what its answers rest on, and what is not known of it.

References:
    M. Mitchell et al.: Model Cards for Model Reporting, FAT* 2019.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, FiniteFloat, ValidationError

from headrace.errors import ContractError

LARGEST_CARD = 4 << 20  # bytes


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True)


class CardWindow(_Part):
    """What was asked for: event times [start, stop) in milliseconds, None where open; `as_of`: whose knowledge.

    `labels`: what the pipeline file says of labels, by which rows got theirs; `unreadable`: records that are left out.
    """

    start: int | None = None
    stop: int | None = None
    as_of: int | None = None
    labels: dict[str, Any] = {}
    unreadable: int = 0


class CardGroup(_Part):
    """Metrics on the rows held out that are in a group of a segment; `why` there are none."""

    segment: str
    group: str
    rows: int
    positives: int
    metrics: dict[str, FiniteFloat] = {}
    why: str | None = None


class TriedWindow(_Part):
    """A window of training that was tried, and how a model of it did on rows that none was fitted on.

    Attributes:
        name: as it was ordered.
        start, end: event times of the rows that were fitted, milliseconds; None where it was not tried.
        rows, positives: of them.
        metrics: `brier` decides, the least is the best.
        base: the model that it goes on from, as name@version.
        behind: by how much more than the chosen one it lost at a row held out, in the mean of Brier's scores, as
            (difference, low, high): low to high where that lies at 95%, of one look at rows that are independent; None
            of the chosen one, and where none were held out.
        why: it was not tried.
    """

    name: str
    start: int | None = None
    end: int | None = None
    rows: int = 0
    positives: int = 0
    metrics: dict[str, FiniteFloat] = {}
    base: str | None = None
    behind: tuple[FiniteFloat, FiniteFloat, FiniteFloat] | None = None
    why: str | None = None


class Contributions(_Part):
    """The mean size of what each input contributes to an answer, on rows held out; largest first.

    `of`: the `margin` before a sigmoid, or the `score`; `exact`: Shapley values, else estimates; `why` there are none.
    """

    of: str | None = None
    exact: bool = False
    rows: int = 0
    inputs: dict[str, FiniteFloat] = {}
    why: str | None = None


class ModelCard(_Part):
    """`card.json`.

    Attributes:
        window: of the data.
        order: windows, base and whatever else `models reproduce` needs to train again.
        judged: event times of the rows held out, first and last, milliseconds; None where none were.
        groups: metrics of each group of the pipeline's segments.
        windows: that were tried, `chosen` the one that the model is of.
        base: the model whose trees it goes on from, as name@version and digest.
        contributions: what answers rest on.
        limits: what is not known of it, in sentences.
    """

    format: Literal[1] = 1
    window: CardWindow = CardWindow()
    order: dict[str, Any] = {}
    judged: tuple[int, int] | None = None
    groups: tuple[CardGroup, ...] = ()
    windows: tuple[TriedWindow, ...] = ()
    chosen: str | None = None
    base: str | None = None
    contributions: Contributions = Contributions()
    limits: tuple[str, ...] = ()

    def dump(self) -> bytes:
        """The file; the same card gives the same bytes."""
        return (json.dumps(self.model_dump(mode="json"), indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()


def parse_card(data: bytes, where: str) -> ModelCard:
    """The card that a file holds; ContractError says what is wrong with it, `where` it lies."""
    if len(data) > LARGEST_CARD:
        raise ContractError(f"{where} has {len(data):,} bytes; a card has {LARGEST_CARD:,} at most")
    try:
        return ModelCard.model_validate_json(data)
    except ValidationError as error:
        faults = error.errors(include_url=False, include_input=False, include_context=False)
        told = "; ".join(f"{'.'.join(map(str, f['loc']))[:100]}: {f['msg'][:200]}" for f in faults[:5])
        raise ContractError(f"{where} is no model card: {told}") from None


def sorted_by_size(sizes: Mapping[str, float]) -> dict[str, float]:
    """Inputs by what they contribute, the largest first, by name where equal.

    >>> sorted_by_size({"b": 1.0, "a": 1.0, "c": 2.0})
    {'c': 2.0, 'a': 1.0, 'b': 1.0}
    """
    return dict(sorted(sizes.items(), key=lambda item: (-item[1], item[0])))
