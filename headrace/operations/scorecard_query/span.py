"""Scorecards of any span, from the sums that `scorecards` writes: exact, for sums add up."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from headrace.domain.pipeline.segments import WHOLE
from headrace.domain.pipeline.spec import Pipeline
from headrace.domain.quality.score_table import CAP
from headrace.domain.scorecards.card import (
    ESTIMATED,
    NO_REFERENCE,
    SHIFTED,
    Card,
    Reference,
    card,
    estimable,
    gaps,
    mature,
    referred,
    whole,
)
from headrace.domain.scorecards.card_builder import REFERENCES, Intervals, Rows, no_interval
from headrace.domain.scorecards.estimate_errors import EstimateError, judged
from headrace.domain.scorecards.figure import Figure
from headrace.domain.scorecards.grouped_tallies import GroupedTallies, ModelAggregate, ModelWindow
from headrace.domain.scorecards.identity import Identity
from headrace.domain.scorecards.partial_aggregate import UNREAD, Group, Tally, merged
from headrace.domain.scorecards.shift_figures import ShiftFigures, shift_figures, unsampled
from headrace.domain.scorecards.shift_rows import AWAY, NoShift
from headrace.errors import Transient
from headrace.operations.scorecard_query.group_order import in_order
from headrace.operations.time_spans import FOREVER, SpanRequest, TimeSpan
from headrace.streaming.kafka.bindings import Channel
from headrace.streaming.kafka.connection import Connection
from headrace.streaming.kafka.reader import Range, read

NEWEST = 7
"""Mature windows that are told when nobody asks for a span, and all that came after them."""
JUDGED = NEWEST
"""Mature windows, the newest of a span, whose figures under shifted inputs are told: each takes a third of a second."""
NOT_JUDGED = NoShift(f"they are told of the newest {JUDGED} mature windows of a span, and of all others together")
STORE_AWAY = NoShift(AWAY)
PAUSE = 16
"""Windows without anything before a few events that are no news, but dated ahead."""
_NOTHING: Mapping[Group, Tally] = {}


@dataclass(frozen=True, slots=True)
class Summary:
    """A model and arm in a span.

    Attributes:
        starts: the windows, milliseconds since the epoch.
        complete: those of them that are mature.
        whole: the card of all windows together; operational figures are read from it.
        known: that of the mature windows; None without any.
        guessed: that of the others, for its estimates; None without any.
        groups: cards of each group of a segment, of the mature windows; of all windows while none is.
        gaps: between those groups.
        windows: the card of each window.
        fared: estimates of mature windows, by figure.
        compared: the same of each estimator (`ESTIMATORS`), of windows alone that all of them estimated.
        as_of: label time up to which labels had been read when the pipeline's newest outcome was told, milliseconds;
            UNREAD where none were.
        ahead: those of the windows that a few events dated ahead of all others made.
    """

    who: Identity
    starts: Sequence[int]
    complete: Sequence[int]
    whole: Card
    known: Card | None
    guessed: Card | None
    groups: Mapping[str, Card]
    gaps: Mapping[str, Figure]
    windows: Mapping[int, Card]
    fared: Mapping[str, EstimateError]
    as_of: int = UNREAD
    ahead: Sequence[int] = ()
    compared: Mapping[str, Mapping[str, EstimateError]] = field(default_factory=dict)

    @property
    def figures(self) -> dict[str, Figure]:
        """Operational figures of all windows, quality of the mature ones, estimates of the others."""
        found = {name: figure for name, figure in self.whole.figures.items() if figure.basis == "predictions"}
        if self.known is not None:
            found |= {name: figure for name, figure in self.known.figures.items() if figure.basis == "outcomes"}
        if self.guessed is not None:
            found |= {name: f for name, f in self.guessed.figures.items() if name.startswith((ESTIMATED, SHIFTED))}
        return found

    @property
    def immature(self) -> float:
        """Share of predictions in windows that are not mature."""
        known = self.known.tally["predictions"] if self.known else 0
        return 1 - known / self.whole.tally["predictions"]


def read_sums(
    connection: Connection, channel: Channel, wanted: list[Range], told: Callable[[int], None], pipeline: Pipeline
) -> ModelAggregate:
    """All that was told of every model's windows; of what a source told twice the later."""
    aggregate = ModelAggregate(_kind(pipeline), apart=PAUSE * pipeline.scorecards.window)
    for intake in read(connection, channel, wanted):
        told(len(intake.batch) + len(intake.rejects))
        aggregate.fold(intake.batch.columns)
    return aggregate


def _kind(pipeline: Pipeline) -> GroupedTallies:
    return GroupedTallies(CAP, max(pipeline.scorecards.precision_at))


@dataclass(slots=True)
class _Model:
    """The windows of one model and arm; each is unpacked once."""

    windows: Mapping[int, ModelWindow]
    kind: GroupedTallies
    newest: int
    _tallies: dict[int, Mapping[Group, Tally]] = field(default_factory=dict)

    def tallies(self, start: int) -> Mapping[Group, Tally]:
        if start not in self._tallies:
            self._tallies[start] = self.windows[start].total(self.kind)
        return self._tallies[start]

    def as_of(self) -> int:
        """How far labels had been read when the newest outcome was told."""
        wholes = [self.tallies(start).get(WHOLE) for start in self.windows]
        return max((found.as_of for found in wholes if found is not None), default=UNREAD)

    def complete(self, start: int) -> bool:
        if start not in self.windows:
            return False
        found = self.tallies(start).get(WHOLE)
        return found is not None and mature(found)

    def predicted(self, start: int) -> bool:
        found = self.tallies(start).get(WHOLE)
        return found is not None and found["predictions"] > 0

    def together(self, starts: Iterable[int], group: Group) -> Tally | None:
        parts = [found for start in starts if (found := self.tallies(start).get(group)) is not None]
        return merged(parts, CAP, self.kind.depth) if parts else None

    def before(self, start: int, group: Group = WHOLE) -> Reference:
        """What the newest complete windows before one tell of a group."""
        found: list[Tally] = []
        for earlier in sorted((each for each in self.windows if each < start), reverse=True):
            if len(found) < REFERENCES and self.complete(earlier) and group in self.tallies(earlier):
                found.append(self.tallies(earlier)[group])
        return referred(found, CAP) if found else NO_REFERENCE


class Sums:
    """Sums of a pipeline's models.

    Parameters:
        pipeline: its windows, segments, value matrix.
        aggregate: what was read.
        rows: of models, to estimate under shifted inputs by; None: nobody is to be told of that.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        aggregate: ModelAggregate,
        rows: Rows | None = None,
        intervals: Intervals = no_interval,
    ) -> None:
        self._pipeline = pipeline
        self._rows = rows
        self._intervals = intervals if pipeline.model.output == "value" else no_interval
        kind = _kind(pipeline)
        self._models = {}
        for who, windows in aggregate.windows.items():
            newest = aggregate.newest(who)
            self._models[who] = _Model(windows, kind, max(windows) if newest is None else newest)
        # Labels are read for all models alike: of one that answers no more, no outcome tells how far they are by now.
        self._as_of = max((model.as_of() for model in self._models.values()), default=UNREAD)

    @property
    def models(self) -> list[Identity]:
        """Who answered."""
        return sorted(self._models)

    def span(self, who: Sequence[Identity], asked: SpanRequest | None) -> TimeSpan:
        """The span that is asked for, in whole windows; by default the newest mature windows and all after them."""
        length = self._pipeline.scorecards.window
        starts = sorted({start for each in who for start in self._models[each].windows})
        stop, newest = starts[-1] + length, max(self._models[each].newest for each in who)
        if asked is None:
            complete: list[int] = []
            # From the newest on: those that are not looked at need not be unpacked.
            others = [start for start in starts if start <= newest]
            for start in reversed(others):
                if len(complete) < NEWEST and any(self._models[each].complete(start) for each in who):
                    complete.append(start)
            return TimeSpan(complete[-1] if complete else others[-NEWEST:][0], stop)
        span = asked.settled(newest + length - 1)
        if span.stop <= starts[0] or span.start >= stop:
            return span
        low, high = max(span.start, starts[0]), min(span.stop, stop)
        return TimeSpan(low // length * length, -(-high // length) * length)

    def lacking(self, who: Sequence[Identity], asked: SpanRequest | None) -> int | None:
        """The start of the oldest window there is, where the span that is asked for begins before it."""
        starts = [start for each in who for start in self._models[each].windows]
        oldest = min(starts)
        stop = max(self._models[each].newest for each in who) + self._pipeline.scorecards.window
        start = -FOREVER if asked is None else asked.settled(stop - 1).start
        return oldest if -FOREVER < start < oldest else None

    def summary(self, who: Identity, span: TimeSpan, segment: str | None) -> Summary | None:
        """One model and arm; None when it predicted nothing in the span."""
        model, pipeline = self._models[who], self._pipeline
        starts = [s for s in sorted(model.windows) if span.start <= s < span.stop and model.predicted(s)]
        if not starts:
            return None
        complete = [start for start in starts if model.complete(start)]
        rest = [start for start in starts if start not in complete]
        interval = self._intervals(who)

        def of(some: Sequence[int], group: Group = WHOLE, shift: bool = False) -> Card | None:
            tally = model.together(some, group)
            if tally is None:
                return None
            shifted = self._shifted(who, tally) if shift else None
            return card(tally, pipeline, model.before(some[0], group), shifted=shifted, interval=interval)

        together = of(starts)
        assert together is not None, "each of them has predictions"
        cards = {}
        for start in starts:
            tally = model.tallies(start)[WHOLE]
            own = None if self._rows is None else NOT_JUDGED
            shifted = self._shifted(who, tally) if start in complete[-JUDGED:] else own
            cards[start] = card(tally, pipeline, model.before(start), shifted=shifted, interval=interval)
        groups: dict[str, Card] = {}
        found: dict[str, Figure] = {}
        if segment is not None:
            some = complete or starts
            names = {group for start in some for name, group in model.tallies(start) if name == segment and group}
            groups = {name: made for name in in_order(names) if (made := of(some, (segment, name))) is not None}
            known = of(some)
            assert known is not None, "each of them has predictions"
            found = gaps({WHOLE: known, **{(segment, name): each for name, each in groups.items()}}, segment, pipeline)
        return Summary(
            who,
            starts,
            complete,
            together,
            of(complete) if complete else None,
            of(rest, shift=True) if rest else None,
            groups,
            found,
            cards,
            judged([cards[start] for start in complete]).get(ESTIMATED, {}),
            self._as_of,
            [start for start in starts if start > model.newest],
            judged([cards[start] for start in complete], together=True),
        )

    def _shifted(self, who: Identity, tally: Tally) -> ShiftFigures | NoShift | None:
        """What figures probably are although the mix of inputs shifted, or why that cannot be told."""
        if self._rows is None or not estimable(tally, self._pipeline):
            return None
        try:
            rows = self._rows(who)
        except Transient:
            return STORE_AWAY
        if isinstance(rows, NoShift):
            return rows
        return unsampled(tally, rows) or shift_figures(tally, rows, self._pipeline.value)


def unmatched(summary: Summary) -> list[int]:
    """Windows that cannot become mature: more outcomes were corrected there than there are."""
    return [start for start in summary.starts if not whole(summary.windows[start].tally)]


def matures_by(summary: Summary, pipeline: Pipeline) -> int | None:
    """The label time up to which labels must be read for the last of the windows that only wait for them to be mature,
    milliseconds.

    None when none does: all are mature, or the pipeline has no labels, or the others lack what no label brings (see
    `overdue`, `unmatched`).
    """
    if pipeline.labels is None:
        return None
    lost = {*summary.complete, *unmatched(summary), *summary.ahead}
    length = pipeline.scorecards.window + pipeline.labels.matures_after
    return max((s + length for s in summary.starts if s not in lost and s + length > summary.as_of), default=None)


def overdue(summary: Summary, pipeline: Pipeline) -> int:
    """Predictions without an outcome in windows that should be mature, for labels were read beyond their time."""
    if pipeline.labels is None:
        return 0
    length = pipeline.scorecards.window + pipeline.labels.matures_after
    late = [s for s in summary.starts if s not in summary.complete and s + length <= summary.as_of]
    tallies = [summary.windows[start].tally for start in late]
    return sum(max(tally["predictions"] - tally["outcomes"], 0) for tally in tallies)
