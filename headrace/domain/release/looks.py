"""What a release asks of the evidence fold, and what its looks are to the machine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import overload

import numpy as np

from headrace.domain.control.base import Offsets
from headrace.domain.release.evidence import bet_kernels as kernels
from headrace.domain.release.evidence.evidence_fold import EvidenceQuestion
from headrace.domain.release.evidence.evidence_looks import EvidenceLooks
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


class LookOffsets(Sequence[Offsets]):
    """By look the offsets up to where outcomes were read, made of one where somebody asks for them."""

    def __init__(self, looks: Sequence[EvidenceLooks]) -> None:
        self._looks = looks
        self._ends = np.cumsum([len(some) for some in looks], dtype=np.int64)

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    @overload
    def __getitem__(self, look: int) -> Offsets: ...
    @overload
    def __getitem__(self, look: slice) -> Sequence[Offsets]: ...
    def __getitem__(self, look: int | slice) -> Offsets | Sequence[Offsets]:
        if isinstance(look, slice):
            return [self[at] for at in range(*look.indices(len(self)))]
        at = range(len(self))[look]
        some = int(np.searchsorted(self._ends, at, side="right"))
        return self._looks[some].offsets_at(at - int(self._ends[some]) + len(self._looks[some]))


def rows_of_looks(release: ModelRelease, looks: Sequence[EvidenceLooks], time: int) -> PairedRows:
    """Looks at all questions of a release, as rows for the machine; looks that lack one of them are left out.

    What counts as events is what the baseline with the fewest has.

    Args:
        looks: in order of their times.
        time: of the record that led to them, milliseconds.
    """
    names = list(questions(release))
    whole = [some for some in looks if names and all(name in some.pairs for name in names)]
    courses = [[some.pairs[name].course for name in names] for some in whole]
    times = np.concatenate([np.empty(0, np.int64), *(some.times for some in whole)])
    logs = np.concatenate(
        [np.empty((0, len(names), 4)), *(np.stack([each.logs for each in some], 1) for some in courses)]
    )
    events = [np.min([each.events for each in some], axis=0) for some in courses]
    return PairedRows(
        "", time, release.identity,
        ids=[f"outcomes@{at}" for at in times.tolist()],
        times=times,
        events=np.concatenate([np.empty(0, np.int64), *events]),
        harm=logs[:, :, kernels.LOG_HARM],
        safety=logs[:, :, kernels.LOG_SAFETY],
        most_harm=logs[:, :, kernels.MOST_HARM],
        most_safety=logs[:, :, kernels.MOST_SAFETY],
        offsets=LookOffsets(whole),
    )  # fmt: skip  # whose they are first
