"""How many events the window holds, or how many of them have a label."""

from __future__ import annotations

from headrace.domain.aggregations.aggregate_function import AggregateFunction, Ints, LabelState, WindowState


class Count(AggregateFunction):
    """0 for an empty window, whatever `missing` says: none is a number of events."""

    name = "count"
    gloss = "counts events, or values that are not null"
    takes_field = False
    field_optional = True
    strings = True
    type = "integer"
    of_labels = True
    counts_labels = True

    def finish(self, window: WindowState) -> Ints:
        """Events; of a value, those where it is not null."""
        return window.events

    def finish_labels(self, window: LabelState) -> Ints:
        """Labels that came, without those that are presumed."""
        return window.labelled
