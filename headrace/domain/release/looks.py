"""What a release asks of the evidence fold, and what its looks are to the machine."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from headrace.domain.release.evidence.evidence_fold import EvidenceLook, EvidenceQuestion
from headrace.domain.release.inputs import PairedRows
from headrace.domain.release.margin import Margin
from headrace.domain.release.states import ModelRelease


def questions(release: ModelRelease, bound: float | None = None) -> dict[str, EvidenceQuestion]:
    """The questions of an active release by name, one for each baseline in their order; none of another.

    The margin is the one that the release began with, the same against every baseline.

    Args:
        bound: of the pipeline file's `release` section.
    """
    if not release.active:
        return {}
    margin = Margin(release.margin_share, release.margin_offset)
    return {
        f"{release.identity}/{number}": EvidenceQuestion(release.candidate.digest, arm.digest, margin, bound)
        for number, arm in enumerate(release.baselines)
    }


def rows_of_looks(release: ModelRelease, looks: Sequence[EvidenceLook], time: int) -> PairedRows:
    """Looks at all questions of a release, as rows for the machine; looks that lack one of them are left out.

    What counts as events is what the baseline with the fewest has.

    Args:
        looks: in order of their times.
        time: of the record that led to them, milliseconds.
    """
    names = list(questions(release))
    whole = [look for look in looks if names and all(name in look.standings for name in names)]
    standings = [[look.standings[name] for name in names] for look in whole]

    def column(field: str) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
        values = [[float(getattr(each, field)) for each in row] for row in standings]
        return np.array(values, np.float64).reshape(len(whole), len(names))

    return PairedRows(
        "", time, release.identity,
        ids=[f"outcomes@{look.time}" for look in whole],
        times=np.array([look.time for look in whole], np.int64),
        events=np.array([min(each.moments.events for each in row) for row in standings], np.int64),
        harm=column("log_harm"),
        safety=column("log_safety"),
        most_harm=column("most_harm"),
        most_safety=column("most_safety"),
        offsets=[look.offsets for look in whole],
    )  # fmt: skip  # whose they are first
