"""The least of the values in the window."""

from __future__ import annotations

from headrace.domain.aggregations.aggregate_function import AggregateFunction, Floats, WindowState, where_known


class Min(AggregateFunction):
    """Kept of whole blocks of entries, as sums are."""

    name = "min"
    gloss = "finds the least value"
    extremes = True

    def finish(self, window: WindowState) -> Floats:
        """Least of what is not null."""
        return where_known(window.least, window.known)
