"""Figures of a window as they probably are although the mix of inputs shifted, and how these are kept."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from hashlib import blake2b

from headrace.domain.quality.covariate_shift import shifted_estimates
from headrace.domain.quality.decisions import DecisionWorth
from headrace.domain.quality.estimation import Estimate
from headrace.domain.quality.row_sample import RowSample
from headrace.domain.scorecards.partial_aggregate import Tally, settled
from headrace.domain.scorecards.shift_rows import NoShift

METHOD = 1
"""Goes up where the same rows are estimated otherwise: what was kept of another is made anew."""
OTHER_BINS = "predictions were sampled by other bins than those of the model's package"


@dataclass(frozen=True, slots=True)
class ShiftFigures:
    """Estimates under shifted inputs, and what they rest on; see `covariate_shift.ShiftedEstimates`."""

    figures: Mapping[str, Estimate | None]
    reason: str | None
    effective_rows: float
    uncovered: float

    def dump(self, of: str) -> bytes:
        """As JSON, with what says what they are of."""
        return json.dumps({"of": of, **asdict(self)}).encode()

    @classmethod
    def kept(cls, data: bytes, of: str) -> ShiftFigures | None:
        """What `dump` wrote; None where that is of something else."""
        said = json.loads(data) if data else {}
        if said.pop("of", None) != of:
            return None
        figures = {name: None if each is None else Estimate(**each) for name, each in said.pop("figures").items()}
        return cls(figures, **said)


def unsampled(tally: Tally, rows: RowSample) -> NoShift | None:
    """Why a window's sample is none of all its rows; None where it is one."""
    published = tally["predictions"] + tally["repeats"]
    if tally.rows is None or tally["offered"] != published:
        return NoShift(
            f"of {published:,} predictions {tally['offered']:,} were offered to the sample: an earlier version counted "
            "the others, or had no package of the model"
        )
    return NoShift(OTHER_BINS) if tally.rows.bins != rows.bins else None


def made_of(tally: Tally, worth: DecisionWorth | None) -> str:
    """A name for all that a window's figures follow from, beside the model's own rows."""
    assert tally.rows is not None, "there is a sample"
    whole = settled(tally)
    digest = blake2b(f"{METHOD} {whole.least_flagged} {worth}".encode(), digest_size=16)
    for column in (tally.rows.keys, tally.rows.places, whole.predicted.scores, whole.predicted.rows):
        digest.update(column.tobytes())
    return digest.hexdigest()


def shift_figures(tally: Tally, rows: RowSample, worth: DecisionWorth | None) -> ShiftFigures:
    """What figures of a window probably are, by labelled rows of the model (PAPE).

    Takes some tenths of a second.

    Args:
        tally: of the window, with a sample.
        rows: labelled ones that the model was not fitted on, by the same bins.
    """
    assert tally.rows is not None, "there is a sample"
    whole = settled(tally)
    found = shifted_estimates(rows.reference(), tally.rows.places, whole.predicted, whole.least_flagged, worth)
    return ShiftFigures(found.figures, found.reason, found.effective_rows, found.uncovered)
