"""From what was told of windows to their cards, each beside what earlier windows of the same model lead to expect."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping

from headrace.domain.pipeline.segments import WHOLE
from headrace.domain.pipeline.spec import Pipeline
from headrace.domain.scorecards.card import NO_REFERENCE, Card, card, gaps, mature, referred
from headrace.domain.scorecards.grouped_tallies import GroupedTallies, ModelAggregate, ModelWindow
from headrace.domain.scorecards.identity import Identity
from headrace.domain.scorecards.partial_aggregate import Group, Tally

REFERENCES = 7
"""Complete windows before a window that it is compared with: the newest."""
UNPACKED = REFERENCES + 1
"""Windows whose sums are kept from one card to the next, and from one slice of the work to the next."""


class Maker:
    """Makes cards.

    Parameters:
        pipeline: its segments and value matrix.
        cap: most distinct scores of a tally.
    """

    def __init__(self, pipeline: Pipeline, cap: int) -> None:
        self._pipeline = pipeline
        self._cap = cap
        self._kind = GroupedTallies(cap, max(pipeline.scorecards.precision_at))
        self._unpacked: deque[ModelWindow] = deque()

    def cards(self, aggregate: ModelAggregate) -> Iterator[tuple[Identity, int, dict[Group, Card]]]:
        """(model and arm, window, its cards by group) of all windows that changed.

        A card of a segment as a whole (group "") holds the gaps between its groups. Whoever stops in the middle finds
        the rest the next time, at no more cost than all at once.
        """
        for who, windows in aggregate.windows.items():
            for start in sorted(start for start, window in windows.items() if window.dirty):
                tallies = self._sums(windows[start])
                windows[start].dirty = False
                if WHOLE not in tallies:
                    continue
                before = self._before(windows, start)
                made = {}
                for group, tally in tallies.items():
                    earlier = [each[group] for each in before if group in each]
                    reference = referred(earlier, self._cap) if earlier else NO_REFERENCE
                    made[group] = card(tally, self._pipeline, reference, estimated=group == WHOLE)
                for segment in self._pipeline.segments:
                    made[segment, ""] = Card(made[WHOLE].tally, made[WHOLE].mature, gaps(made, segment, self._pipeline))
                yield who, start, made
        while self._unpacked:
            self._unpacked.pop().known = None

    def _before(self, windows: Mapping[int, ModelWindow], start: int) -> list[dict[Group, Tally]]:
        """Sums of the newest complete windows before one."""
        found: list[dict[Group, Tally]] = []
        for earlier in sorted((each for each in windows if each < start), reverse=True):
            if windows[earlier].complete is False:
                continue
            sums = self._sums(windows[earlier])
            if windows[earlier].complete:
                found.append(sums)
            if len(found) == REFERENCES:
                break
        return found

    def _sums(self, window: ModelWindow) -> dict[Group, Tally]:
        if window.known is None:
            window.known = sums = window.total(self._kind)
            window.complete = WHOLE in sums and mature(sums[WHOLE])
            self._unpacked.append(window)
            if len(self._unpacked) > UNPACKED:
                self._unpacked.popleft().known = None
            return sums
        return window.known
