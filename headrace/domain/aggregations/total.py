"""The sum of the values in the window."""

from __future__ import annotations

from headrace.domain.aggregations.aggregate_function import (
    AggregateFunction,
    Floats,
    LabelState,
    WindowState,
    where_known,
)


class Sum(AggregateFunction):
    """Without values there is no sum, rather than 0."""

    name = "sum"
    gloss = "adds values up"
    of_labels = True

    def finish(self, window: WindowState) -> Floats:
        """Sum of what is not null."""
        return where_known(window.total, window.known)

    def finish_labels(self, window: LabelState) -> Floats:
        """Sum of labels."""
        return where_known(window.total, window.known)
