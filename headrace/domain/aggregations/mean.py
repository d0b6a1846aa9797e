"""The arithmetic mean of the values in the window."""

from __future__ import annotations

from headrace.domain.aggregations.aggregate_function import (
    AggregateFunction,
    Floats,
    LabelState,
    WindowState,
    quotient,
)


class Mean(AggregateFunction):
    """Sum by number of values; of labels of 0 and 1 it is their rate."""

    name = "mean"
    gloss = "averages values"
    of_labels = True

    def finish(self, window: WindowState) -> Floats:
        """Mean of what is not null."""
        return quotient(window.total, window.known)

    def finish_labels(self, window: LabelState) -> Floats:
        """Mean of labels."""
        return quotient(window.total, window.known)
