"""`headrace duel`: two models on the same events."""

from __future__ import annotations

import json as codec
from dataclasses import dataclass
from typing import Annotated, Any

import typer
from rich.console import Console

from headrace.cli.options import Bootstrap, Json, PipelineName, contracts_of
from headrace.cli.periods import Last, Window, asked
from headrace.cli.render.comparison import duel_sheet
from headrace.cli.render.progress import counted
from headrace.cli.render.remarks import note
from headrace.domain.pipeline.document import closest
from headrace.domain.pipeline.spec import Pipeline
from headrace.domain.pipeline.wiring import Contracts
from headrace.domain.scorecards.tumbling_windows import Identity
from headrace.errors import ConfigurationError
from headrace.operations.comparison.comparison import Judge
from headrace.operations.comparison.model_choice import HOW, chosen, rival
from headrace.operations.comparison.pairing import Meeting, meet
from headrace.operations.comparison.prediction_table import (
    TOPICS,
    Answers,
    Flags,
    Ints,
    Read,
    Truths,
    extent,
    newest,
    read_answers,
    read_truths,
)
from headrace.operations.comparison.training_overlap import Origin, origins
from headrace.operations.comparison.verdict import verdict
from headrace.operations.models.store_access import store_at
from headrace.operations.plan_changes.plan_topic import facts_of
from headrace.operations.remarks import noted
from headrace.operations.time_spans import TimeSpan
from headrace.streaming.process.settings import Settings

OUTCOMES = "outcomes"
Side = Annotated[str, typer.Argument(metavar="SIDE", help=f"{HOW[0].upper()}{HOW[1:]}.")]
SegmentOption = Annotated[
    str | None, typer.Option("--segment", metavar="NAME", help="Tell also each group of this segment.")
]


def duel(
    pipeline: PipelineName,
    a: Side,
    b: Side,
    window: Window = None,
    last: Last = None,
    segment: SegmentOption = None,
    top: Annotated[int, typer.Option(min=0, help="How many events to show that they disagree on most.")] = 10,
    replicates: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Of the bootstrap; 0: influence functions instead. [default: 1000, or 0 past 100,000 labelled events]",
        ),
    ] = None,
    include_training: Annotated[
        bool, typer.Option("--include-training", help="Count also events that one of the two was fitted on.")
    ] = False,
    bootstrap: Bootstrap = None,
    json: Json = False,
) -> None:
    """Compare two models on the events that both scored: decisions, scores, latency, cost, and who is better.

    Who is better is told by mature outcomes alone, without the events that one of the two was fitted on. A champion and
    its canary answer different entities and are compared as independent groups; play the canary's model as a shadow
    too, and compare that, for the same events.
    """
    sides = rival(a), rival(b)
    settings, contracts = contracts_of(pipeline, bootstrap)
    spec = contracts.pipeline
    if segment is not None and segment not in spec.segments:
        raise ConfigurationError(f"{spec.name} has no segment {segment}: {closest(segment, spec.segments)}")
    wanted = asked(window, last)
    channels = [contracts.channel(topic) for topic in TOPICS]
    span = TimeSpan() if wanted is None else wanted.span
    if wanted is not None and wanted.length is not None:
        end = newest(settings.connection, channels)
        span = span if end is None else wanted.settled(end)
    console = Console(stderr=True, quiet=json)
    extents = [(channel, extent(settings.connection, channel, span)) for channel in channels]
    total = sum(part.stop - part.start for _, parts in extents for part in parts)
    with counted("predictions", total, quiet=json) as told:

        def keeps(who: Identity) -> bool:
            return sides[0].means(who) or sides[1].means(who)

        read = read_answers(settings.connection, extents, span, keeps, spec, segment, told)
    first, second = (chosen(side, read.answered, spec.name, span.text) for side in sides)
    if first == second:
        raise ConfigurationError(f"both sides are {first.text}: name two")
    truths = _truths(settings, contracts, span, (first, second), json)
    with console.status("looking up what they were fitted on"):
        store = store_at(settings.models)
        known = origins(store, lambda: facts_of(settings, contracts), (first, second))
    seen = Seen(known[first], known[second], include_training)
    with console.status("comparing"):
        document = compared(spec, read, truths, (first, second), Judge(spec, replicates), segment, top, seen)
    document = {"pipeline": spec.name, "window": span.told(), "unreadable": read.unreadable, **document}
    document["noted"] = noted(spec.name)
    if json:
        typer.echo(codec.dumps(document))
    else:
        out = Console(highlight=False)
        for part in duel_sheet(document, span.text, spec, out.width):
            out.print(part)
        out.print(note(spec.name))
    if read.unreadable:
        Console(stderr=True).print(f"{read.unreadable:,} records could not be read and are left out", style="red")
    raise typer.Exit(1 if read.unreadable else 0)


@dataclass(frozen=True, slots=True)
class Seen:
    """What two models were fitted on, and whether events of that count all the same."""

    a: Origin
    b: Origin
    counts: bool = False

    def saw(self, times: Ints) -> Flags:
        """Which event times lie within what one of the two was fitted on."""
        return self.a.saw(times) | self.b.saw(times)


def compared(
    pipeline: Pipeline,
    read: Read,
    truths: Truths,
    who: tuple[Identity, Identity],
    judge: Judge,
    segment: str | None,
    top: int,
    seen: Seen,
) -> dict[str, Any]:
    """All that a duel tells, as JSON has it."""
    a, b = read.of(who[0]), read.of(who[1])
    matures_after = pipeline.labels.matures_after if pipeline.labels else 0
    meeting = meet(a, b, truths, matures_after, seen.saw, seen.counts)
    once = meeting.own_a, meeting.own_b
    rows = (meeting.rows_a, meeting.rows_b) if meeting.paired else once
    sides = [
        {**_named(each), "topic": read.topics[each], **judge.side(own, *places)}
        for each, own, *places in zip(who, (a, b), once, rows, strict=True)
    ]
    quality = judge.quality(a, b, meeting) if meeting.paired else judge.unpaired(a, b, meeting)
    quality["waits_for"] = _waits_for(a, b, meeting, matures_after)
    return {
        "same_events": meeting.paired,
        "a": sides[0],
        "b": sides[1],
        "events": _events(meeting),
        **(judge.alike(a, b, meeting) or {"decisions": None, "scores": None}),
        "apart": None if meeting.paired else judge.apart(a, b, meeting),
        "horizon": meeting.horizon,
        "training": {"a": seen.a.told(), "b": seen.b.told(), "counted": seen.counts},
        "quality": quality,
        "verdict": verdict(quality, pipeline, seen.counts),
        "segment": segment,
        "groups": judge.groups(a, b, meeting) if segment is not None and meeting.paired else [],
        "disagreements": judge.disagreements(a, b, meeting, top),
    }


def _waits_for(a: Answers, b: Answers, meeting: Meeting, matures_after: int) -> int | None:
    """Up to which label time labels must be read for the first event to count that is too young; None for none."""
    sides = [(a, meeting.rows_a, meeting.both)]
    if not meeting.paired:
        sides = [(a, meeting.own_a, meeting.first), (b, meeting.own_b, meeting.second)]
    young = [own.times[rows][known.waiting] for own, rows, known in sides]
    return min((int(times.min()) + matures_after for times in young if len(times)), default=None)


def _events(meeting: Meeting) -> dict[str, int]:
    both = len(meeting.rows_a)
    return {"both": both, "only_a": len(meeting.own_a) - both, "only_b": len(meeting.own_b) - both}


def _named(who: Identity) -> dict[str, str]:
    return {"model": who.name, "version": who.version, "digest": who.digest, "arm": who.arm}


def _truths(
    settings: Settings, contracts: Contracts, span: TimeSpan, who: tuple[Identity, Identity], quiet: bool
) -> Truths:
    channel = contracts.channel(OUTCOMES)
    wanted = extent(settings.connection, channel, span)
    with counted("outcomes", sum(part.stop - part.start for part in wanted), quiet=quiet) as told:
        return read_truths(settings.connection, channel, wanted, span, who, told)
