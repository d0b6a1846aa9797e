"""What one model loses in one stream, beside the columns that are watched of the same rows."""

from __future__ import annotations

from collections.abc import Mapping

from headrace.columnar import packing
from headrace.domain.drift.e_detector import NOTHING
from headrace.domain.drift.harm.model_losses import ModelLosses
from headrace.domain.drift.reference_bins import Bytes, Floats, Ints
from headrace.domain.pipeline.spec import Pipeline
from headrace.domain.records.drift_parts import ModelRows
from headrace.domain.records.watched_columns import OUTCOMES, SILENT, WatchedColumns


class LossWatch:
    """Parts rows into what is watched and what tells of losses.

    Args:
        stream: whose rows they are.
        pipeline: what it says of labels and of harm.
        watched: columns of the model.

    Attributes:
        losses: None where nothing can be said without labels, for the package tells no losses by score.
    """

    def __init__(self, stream: str, pipeline: Pipeline, watched: WatchedColumns) -> None:
        self._watched = watched
        labelled, labels = stream == OUTCOMES, pipeline.labels
        waits = labels.matures_after if labelled and labels is not None and labels.unlabelled_is is not None else 0
        reference = watched.losses.reference
        self.losses: ModelLosses | None = None
        if labelled or reference is not None:
            chance = pipeline.model.output == "probability"
            self.losses = ModelLosses(reference, labelled, chance, pipeline.drift.tolerance, watched.groups, waits)

    def take(self, rows: ModelRows, reached: Ints) -> tuple[Bytes, Floats]:
        """Take rows in; the bins and values of the columns that are watched.

        As long as those with early labels are a choice of all, they tell neither losses nor a share of positives.
        """
        known, unknown = len(self._watched.known), len(self._watched.unknown)
        places, values = rows.places[:, :known], rows.values[:, :unknown]
        if self.losses is None:
            return places, values
        further = rows.places[:, known:], rows.values[:, unknown:]
        if further[0].shape[1] or further[1].shape[1]:  # what an earlier version wrote has none
            self.losses.take(*further, reached, self._watched.members(places, values))
        early = self.losses.early(reached)
        if early:
            places, values = places.copy(), values.copy()
            places[:early], values[:early] = NOTHING, SILENT
        return places, values

    def save(self) -> dict[str, packing.Column]:
        """As columns; of none where nothing is said."""
        return {} if self.losses is None else self.losses.save()

    def load(self, columns: Mapping[str, packing.Column]) -> bool:
        """Take over what `save` gave; False where sums begin anew, see `ModelLosses.load`."""
        return self.losses is None or self.losses.load(columns)
