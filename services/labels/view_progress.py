"""How far labels are as views may rely on it: what follows from the sources of a join."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from headrace.domain.pipeline.spec import View
from services.labels.join.layout import NEVER, UNSEEN

Ints = npt.NDArray[np.int64]
_PROGRESS, _IDLE, _HEARD = range(3)


def reached(view: View, lateness: int, labels: Ints, events: Ints) -> tuple[int, int, bool, int, int]:
    """Progress, clock, idleness, what is sure and who was heard of that follow from sources (rows as `Join.sources`).

    Labels up to `progress` are told, of events that may be as late as `lateness`, as far as sources are awake. When
    some are idle, the clock says when the one longest out of sight was last seen at its end, and beside it when the
    one that is awake and was heard of least lately was (0: none is awake); when none is idle, the clock says that.
    """
    slack = view.delay - min(lateness + 1, view.delay)
    known = np.concatenate(
        [labels[:, _PROGRESS], np.where(events[:, _PROGRESS] == NEVER, NEVER, events[:, _PROGRESS] + slack)]
    )
    seen = np.concatenate([labels, events])
    idle = seen[:, _IDLE] != NEVER
    sure = max(int(known.min()), UNSEEN)
    if not idle.any():
        return sure, max(int(seen[:, _HEARD].min()), 0), False, sure, 0
    time = int(seen[idle, _IDLE].min())
    if idle.all():
        return time, time, True, sure, 0
    return max(int(known[~idle].min()), UNSEEN), time, True, sure, max(int(seen[~idle, _HEARD].min()), 1)
