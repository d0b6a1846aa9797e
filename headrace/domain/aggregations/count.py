"""How many events the window holds, or how many of them have a label."""

from __future__ import annotations

from headrace.domain.aggregations.aggregate_function import AggregateFunction, Ints, LabelState, WindowState


class Count(AggregateFunction):
    """0 for an empty window, whatever `missing` says: none is a number of events."""

    name = "count"
    gloss = "counts events"
    takes_field = False
    type = "integer"
    of_labels = True
    counts_labels = True

    def finish(self, window: WindowState) -> Ints:
        """Events, those with a null value as well."""
        return window.events

    def finish_labels(self, window: LabelState) -> Ints:
        """Labels that came, without those that are presumed."""
        return window.labelled
