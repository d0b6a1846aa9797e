"""From what was told of windows to their cards, each beside what earlier windows of the same model lead to expect."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping

from headrace.domain.models.answer_interval import AnswerInterval
from headrace.domain.pipeline.segments import WHOLE
from headrace.domain.pipeline.spec import Pipeline
from headrace.domain.quality.row_sample import RowSample
from headrace.domain.scorecards.card import NO_REFERENCE, Card, card, estimable, gaps, mature, referred
from headrace.domain.scorecards.grouped_tallies import GroupedTallies, ModelAggregate, ModelWindow
from headrace.domain.scorecards.identity import Identity
from headrace.domain.scorecards.partial_aggregate import Group, Tally
from headrace.domain.scorecards.shift_figures import ShiftFigures, made_of, shift_figures, unsampled
from headrace.domain.scorecards.shift_rows import NoShift
from headrace.errors import Transient

REFERENCES = 7
"""Complete windows before a window that it is compared with: the newest."""
UNPACKED = REFERENCES + 1
"""Windows whose sums are kept from one card to the next, and from one slice of the work to the next."""
GOES_ON = NoShift("the window goes on: they are made once a later one has begun, or every prediction has its outcome")
TO_COME = NoShift("they are being made: the next record of this card has them")
Rows = Callable[[Identity], RowSample | NoShift]
Intervals = Callable[[Identity], AnswerInterval | NoShift | None]
Made = tuple[Identity, int, dict[Group, Card]]
"""Model and arm, window, its cards by group."""


def no_interval(_: Identity) -> None:
    """Nobody says how far models may be off."""


class Maker:
    """Makes cards.

    Estimates under shifted inputs take longer than all else of a card. They are made of windows that are over, after
    all cards are told (`owed`), and kept beside the window's sums for as long as they follow from them.

    Parameters:
        pipeline: its segments and value matrix.
        cap: most distinct scores of a tally.
        rows: labelled rows of a model that it was not fitted on; raises Transient while they cannot be had.
        intervals: how far a model of quantities may be off, as it says; asked of such pipelines alone.
    """

    def __init__(self, pipeline: Pipeline, cap: int, rows: Rows, intervals: Intervals = no_interval) -> None:
        self._pipeline = pipeline
        self._cap = cap
        self._rows = rows
        self._intervals = intervals
        self._kind = GroupedTallies(cap, max(pipeline.scorecards.precision_at))
        self._unpacked: deque[ModelWindow] = deque()

    def cards(self, aggregate: ModelAggregate) -> Iterator[Made]:
        """The cards of all windows that changed.

        A card of a segment as a whole (group "") holds the gaps between its groups. Whoever stops in the middle finds
        the rest the next time, at no more cost than all at once.
        """
        for who, windows in aggregate.windows.items():
            if not any(window.dirty for window in windows.values()):
                continue
            newest, rows = aggregate.newest(who), self._of(who)
            for start, window in windows.items():  # what is over now, and was not when its card was made
                window.dirty = window.dirty or window.past != _past(start, newest)
            for start in sorted(start for start, window in windows.items() if window.dirty):
                window = windows[start]
                tallies = self._sums(window)
                window.dirty, window.past, window.owed = False, _past(start, newest), False
                if WHOLE in tallies:
                    shifted = self._shifted(rows, window, tallies[WHOLE])
                    window.owed = shifted is TO_COME
                    yield who, start, self._made(who, windows, start, tallies, shifted)
        self._forget()

    def owed(self, aggregate: ModelAggregate) -> Iterator[Made]:
        """The cards of windows that lack nothing but estimates under shifted inputs, the newest first.

        A model's wait while its package cannot be had.
        """
        for who, windows in aggregate.windows.items():
            starts = sorted((start for start, window in windows.items() if window.owed), reverse=True)
            rows = self._of(who) if starts else None
            for start in starts if rows is not None else ():
                window, tallies = windows[start], self._sums(windows[start])
                shifted = self._shifted(rows, window, tallies[WHOLE])
                if shifted is TO_COME and isinstance(rows, RowSample):
                    shifted = shift_figures(tallies[WHOLE], rows, self._pipeline.value)
                    window.memo = shifted.dump(made_of(tallies[WHOLE], self._pipeline.value))
                window.owed = False
                yield who, start, self._made(who, windows, start, tallies, shifted)
        self._forget()

    def _of(self, who: Identity) -> RowSample | NoShift | None:
        """Labelled rows of a model; None while its package cannot be had."""
        if self._pipeline.model.output != "probability":
            return None
        try:
            return self._rows(who)
        except Transient:
            return None

    def _shifted(
        self, rows: RowSample | NoShift | None, window: ModelWindow, whole: Tally
    ) -> ShiftFigures | NoShift | None:
        """Estimates under shifted inputs as far as they are there, or why they are not."""
        if not estimable(whole, self._pipeline):
            return None
        if rows is None:
            return TO_COME
        if isinstance(rows, NoShift):
            return rows
        if not window.past and not mature(whole):
            return GOES_ON
        kept = unsampled(whole, rows) or ShiftFigures.kept(window.memo, made_of(whole, self._pipeline.value))
        return kept or TO_COME

    def _made(
        self,
        who: Identity,
        windows: Mapping[int, ModelWindow],
        start: int,
        tallies: Mapping[Group, Tally],
        shifted: ShiftFigures | NoShift | None,
    ) -> dict[Group, Card]:
        before = self._before(windows, start)
        interval = self._intervals(who) if self._pipeline.model.output == "value" else None
        made = {}
        for group, tally in tallies.items():
            earlier = [each[group] for each in before if group in each]
            reference = referred(earlier, self._cap) if earlier else NO_REFERENCE
            whole = group == WHOLE
            made[group] = card(tally, self._pipeline, reference, whole, shifted if whole else None, interval)
        for segment in self._pipeline.segments:
            made[segment, ""] = Card(made[WHOLE].tally, made[WHOLE].mature, gaps(made, segment, self._pipeline))
        return made

    def _forget(self) -> None:
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


def _past(start: int, newest: int | None) -> bool:
    """Whether a later window has begun, as far as many rows say so."""
    return newest is not None and start < newest
