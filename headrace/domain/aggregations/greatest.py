"""The greatest of the values in the window."""

from __future__ import annotations

from headrace.domain.aggregations.aggregate_function import AggregateFunction, Floats, WindowState, where_known


class Max(AggregateFunction):
    """Kept of whole blocks of entries, as sums are."""

    name = "max"
    gloss = "finds the greatest value"
    extremes = True

    def finish(self, window: WindowState) -> Floats:
        """Greatest of what is not null."""
        return where_known(window.most, window.known)
