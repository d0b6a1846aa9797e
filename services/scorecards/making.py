"""From what was told of windows to their cards, each beside what earlier windows of the same model lead to expect."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from services.pipeline.spec import Pipeline
from services.scorecards.assembling import Assembly, Window
from services.scorecards.cards import NO_REFERENCE, Card, card, gaps, mature, referred
from services.scorecards.segmenting import WHOLE
from services.scorecards.tallies import Group, Tally
from services.scorecards.windows import Identity

REFERENCES = 7
"""Complete windows before a window that it is compared with: the newest."""


class Maker:
    """Makes cards.

    Parameters:
        pipeline: its segments and value matrix.
        cap: most distinct scores of a tally.
    """

    def __init__(self, pipeline: Pipeline, cap: int) -> None:
        self._pipeline = pipeline
        self._cap = cap
        self._depth = max(pipeline.scorecards.precision_at)

    def cards(self, assembly: Assembly) -> Iterator[tuple[Identity, int, dict[Group, Card]]]:
        """(model and arm, window, its cards by group) of all windows that changed.

        A card of a segment as a whole (group "") holds the gaps between its groups.
        """
        for who, windows in assembly.models.items():
            changed = sorted(start for start, window in windows.items() if window.dirty)
            known = _Complete(windows, self._cap, self._depth) if changed else None
            for start in changed:
                assert known is not None
                tallies = windows[start].tallies(self._cap, self._depth)
                windows[start].dirty = False
                if WHOLE not in tallies:
                    continue
                before = known.before(start)
                made = {}
                for group, tally in tallies.items():
                    earlier = [each[group] for each in before if group in each]
                    reference = referred(earlier, self._cap) if earlier else NO_REFERENCE
                    made[group] = card(tally, self._pipeline, reference, estimated=group == WHOLE)
                for segment in self._pipeline.segments:
                    made[segment, ""] = Card(made[WHOLE].tally, made[WHOLE].mature, gaps(made, segment, self._pipeline))
                yield who, start, made


class _Complete:
    """Tallies of complete windows, each unpacked once."""

    def __init__(self, windows: Mapping[int, Window], cap: int, depth: int) -> None:
        self._windows = windows
        self._cap = cap
        self._depth = depth
        self._found: dict[int, dict[Group, Tally] | None] = {}

    def before(self, start: int) -> list[dict[Group, Tally]]:
        """The newest complete windows before one."""
        found = []
        for earlier in sorted((each for each in self._windows if each < start), reverse=True):
            if earlier not in self._found:
                tallies = self._windows[earlier].tallies(self._cap, self._depth)
                self._found[earlier] = tallies if WHOLE in tallies and mature(tallies[WHOLE]) else None
            tallies_of = self._found[earlier]
            if tallies_of is not None:
                found.append(tallies_of)
            if len(found) == REFERENCES:
                break
        return found
