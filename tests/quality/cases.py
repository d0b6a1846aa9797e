"""Labelled scores for the tests of this folder: with ties, tiny, lopsided; and what scikit-learn is fed with."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

Case = tuple[np.ndarray, np.ndarray]


def cases() -> Iterator[Case]:
    """(scores, labels) of both classes, scores within 0 and 1."""
    for seed in range(40):
        random = np.random.default_rng(seed)
        size = int(random.choice([2, 3, 5, 17, 200, 3000]))
        scores = random.beta(1, 4, size)
        labels = (random.random(size) < scores).astype(np.int64)
        labels[:2] = [0, 1]
        if seed % 3:
            scores = np.round(scores, int(random.integers(1, 4)))
        yield scores, labels


def one_class() -> Iterator[Case]:
    """(scores, labels) of one class or none at all."""
    for size in (0, 1, 5):
        for label in (0, 1):
            yield np.linspace(0.1, 0.9, size), np.full(size, label)
