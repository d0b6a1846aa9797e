"""What a pipeline file says of categories among a model's inputs, as values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Encoding = Literal["one_hot", "frequency", "target", "hash", "native"]
ENCODINGS: tuple[Encoding, ...] = ("one_hot", "frequency", "target", "hash", "native")
LEVELS, MOST_LEVELS = 100, 10_000
"""Categories that a model knows by name unless the file says otherwise, and the most that it may say."""
BUCKETS, MOST_BUCKETS = 64, 1_024
"""The same of buckets of a hash."""


@dataclass(frozen=True, slots=True)
class Category:
    """How an input that is a category becomes numbers.

    Attributes:
        encoding: `one_hot`: 1 for the category that it is; `frequency`: the share of training rows with it; `target`:
            the mean label of other training rows with it, out of fold; `hash`: 1 for the bucket that its text falls
            into; `native`: the library's own splits by sets of categories.
        most: categories that are known by name, the most frequent of the training rows; others count as unseen.
        buckets: of `hash`, which knows none by name.
    """

    encoding: Encoding = "one_hot"
    most: int = LEVELS
    buckets: int = BUCKETS
