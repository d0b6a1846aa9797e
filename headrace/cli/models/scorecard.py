"""`headrace scorecard`: figures of each model and arm over a span of windows."""

from __future__ import annotations

import json as codec
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from headrace.cli.options import Bootstrap, Json, PipelineName, contracts_of
from headrace.cli.periods import Last, Window, asked
from headrace.cli.render.progress import counted
from headrace.cli.render.remarks import note
from headrace.cli.render.scorecard import fitted_notes, fitted_windows, scorecard_sheet
from headrace.domain.pipeline.document import closest
from headrace.domain.pipeline.spec import Pipeline
from headrace.domain.scorecards.card import Card, Figure
from headrace.domain.scorecards.global_aggregate import PARTS
from headrace.domain.scorecards.partial_aggregate import UNREAD
from headrace.domain.scorecards.tumbling_windows import Identity
from headrace.errors import ConfigurationError
from headrace.operations.comparison.model_choice import ARMS
from headrace.operations.comparison.training_overlap import Origin, origins
from headrace.operations.models.store_access import store_at
from headrace.operations.plan_changes.plan_topic import facts_of
from headrace.operations.remarks import noted
from headrace.operations.scorecard_query.catalogue import KEY, picked
from headrace.operations.scorecard_query.span import Summary, Sums, matures_by, overdue, read_sums, unmatched
from headrace.operations.time_spans import TimeSpan, minute
from headrace.streaming.kafka.reader import ranges


def scorecard(
    pipeline: PipelineName,
    window: Window = None,
    last: Last = None,
    segment: Annotated[
        str | None, typer.Option("--segment", metavar="NAME", help="A column for each group of it, and the gaps.")
    ] = None,
    model: Annotated[str | None, typer.Option("--model", metavar="NAME@VERSION", help="This model alone.")] = None,
    arm: Annotated[str | None, typer.Option("--arm", metavar="ARM", help=f"{', '.join(ARMS)}: this arm alone.")] = None,
    figures: Annotated[
        str | None, typer.Option("--figures", metavar="A,B", help="These figures alone; `all` shows every one.")
    ] = None,
    plot: Annotated[
        Path | None, typer.Option("--plot", metavar="OUT.png", help="Draw windows over time, and calibration.")
    ] = None,
    bootstrap: Bootstrap = None,
    json: Json = False,
) -> None:
    """Show figures of each model and arm, side by side: over the newest windows, or those of a span.

    Operational figures cover all windows of the span; quality covers the mature ones, in which every prediction has its
    outcome; the others are estimated without labels. Windows are summed up exactly, whatever the span.
    """
    settings, contracts = contracts_of(pipeline, bootstrap)
    spec = contracts.pipeline
    if segment is not None and segment not in spec.segments:
        raise ConfigurationError(f"{spec.name} has no segment {segment}: {closest(segment, spec.segments)}")
    wanted = asked(window, last)
    channel = contracts.channel(PARTS)
    parts = ranges(settings.connection, channel.name)
    with counted("parts", sum(part.stop - part.start for part in parts), quiet=json) as told:
        sums = Sums(spec, read_sums(settings.connection, channel, parts, told, spec.scorecards.window))
    with Console(stderr=True, quiet=json).status("summing up"):
        chosen = _chosen(sums.models, model, arm, spec.name)
        span, lacking = sums.span(chosen, wanted), sums.lacking(chosen, wanted)
        found = [each for who in chosen if (each := sums.summary(who, span, segment)) is not None]
        if not found:
            raise ConfigurationError(f"{spec.name} has no windows of {span.text}: name others with --window or --last")
        names = picked(figures, found)
        known = origins(store_at(settings.models), lambda: facts_of(settings, contracts), [each.who for each in found])
        if plot is not None:
            _draw(found, spec, span, plot)
    if json:
        beside = {"none_before": lacking, "noted": noted(spec.name)}
        typer.echo(codec.dumps(document(found, spec, span, segment, names, known) | beside))
        return
    console = Console(highlight=False)
    for part in scorecard_sheet(found, spec, span, segment, names or KEY, console.width):
        console.print(part)
    for part in fitted_notes(found, spec, known):
        console.print(part)
    if lacking is not None:
        console.print(
            f"there is nothing before {minute(lacking)}: what was told of older windows, if anything, "
            f"{channel.name} no longer holds",
            style="yellow",
        )
    console.print(note(spec.name))
    if plot is not None:
        console.print(f"\ndrawn in {plot}", markup=False)


def document(
    found: Sequence[Summary],
    pipeline: Pipeline,
    span: TimeSpan,
    segment: str | None,
    names: Sequence[str] | None,
    known: Mapping[Identity, Origin],
) -> dict[str, Any]:
    """Scorecards as JSON has them.

    Args:
        found: of each model and arm.
        pipeline: whose they are.
        span, segment: what was asked for.
        names: figures; None for all.
        known: what each was fitted on.
    """
    arms = []
    for each in found:
        seen = fitted_windows(each, pipeline, known[each.who])
        groups = [{"group": name, **_card(made, names)} for name, made in each.groups.items()]
        windows = [
            {
                "window_start": start,
                "window_end": start + pipeline.scorecards.window,
                "fitted_on": start in seen,
                **_card(made, names),
            }
            for start, made in each.windows.items()
        ]
        arms.append(
            {
                "model": each.who.name,
                "version": each.who.version,
                "digest": each.who.digest,
                "arm": each.who.arm,
                "windows": len(each.starts),
                "mature_windows": len(each.complete),
                "fitted_windows": len(seen),
                "training": known[each.who].told(),
                "immature_share": each.immature,
                "matures_by": matures_by(each, pipeline),
                "labels_read_to": each.as_of if each.as_of > UNREAD else None,
                "predictions": each.whole.tally["predictions"],
                "outcomes": each.whole.tally["outcomes"],
                "repeats": each.whole.tally["repeats"],
                "overdue": overdue(each, pipeline),
                "unmatched_windows": unmatched(each),
                "ahead_windows": list(each.ahead),
                "figures": _figures(each.figures.values(), names),
                "estimates": {name: asdict(fared) for name, fared in each.fared.items()},
                "by_window": windows,
                "segment": None
                if segment is None
                else {"name": segment, "groups": groups, "gaps": _figures(each.gaps.values(), None)},
            }
        )
    return {"pipeline": pipeline.name, "window": span.told(), "window_ms": pipeline.scorecards.window, "arms": arms}


def _chosen(known: Sequence[Identity], model: str | None, arm: str | None, pipeline: str) -> list[Identity]:
    if not known:
        raise ConfigurationError(
            f"{pipeline} has no scorecards yet: `headrace run {pipeline}` runs the service that makes them, and "
            f"`headrace lag {pipeline}` says how far it is"
        )
    titles = sorted({f"{who.name}@{who.version}" for who in known})
    arms = sorted({who.arm for who in known})
    if model is not None and model not in titles:
        raise ConfigurationError(f"--model {model} has no scorecards: {closest(model, titles)}")
    if arm is not None and arm not in arms:
        raise ConfigurationError(f"--arm {arm} has no scorecards: {closest(arm, arms)}")
    found = [w for w in known if model in (None, f"{w.name}@{w.version}") and arm in (None, w.arm)]
    if not found:
        raise ConfigurationError(f"{model} was no {arm}: known are {', '.join(who.text for who in known)}")
    return sorted(found, key=lambda who: (ARMS.index(who.arm) if who.arm in ARMS else len(ARMS), who))


def _draw(found: Sequence[Summary], pipeline: Pipeline, span: TimeSpan, out: Path) -> None:
    try:
        from headrace.cli.render.scorecard_plot import draw  # what draws is an extra, and takes a second to load
    except ModuleNotFoundError as missing:
        raise ConfigurationError(
            f"--plot needs {missing.name}: install the extra that brings it (pip install 'headrace[plot]')"
        ) from missing
    draw(found, pipeline, span, out)


def _card(made: Card, names: Sequence[str] | None) -> dict[str, Any]:
    tally = made.tally
    counts = {name: tally[name] for name in ("predictions", "outcomes", "labelled", "presumed", "repeats")}
    return {**counts, "mature": made.mature, "figures": _figures(made.figures.values(), names)}


def _figures(figures: Any, names: Sequence[str] | None) -> list[dict[str, Any]]:
    found: Sequence[Figure] = list(figures)
    return [asdict(figure) for figure in found if names is None or figure.name in names]
