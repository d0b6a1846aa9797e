"""docs/handbook.md, as a run of `make handbook` writes it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from textwrap import fill
from typing import Any

import numpy as np

from headrace.domain.training.evaluation import auc_roc, average_precision
from loadtests.campaign import Played
from loadtests.protocol import DAY, TESTED, under_test
from loadtests.standing import NAMES, Result

SOURCE = "https://fraud-detection-handbook.github.io/fraud-detection-handbook/"
WIDTH = 118


def page(found: Sequence[Result], played: Played, where: Mapping[str, Any], sample: int = 1) -> str:
    """The page's text.

    Args:
        where: the machine, as `bench.machine` says it.
        sample: each so-manieth customer was played alone.
    """
    parts = [*_head(sample), *_done(found, played), *_table(found), *_outside(found)]
    return "\n".join([*parts, *_week(played), *_repeat(), *_machine(played, where)]) + "\n"


def _head(sample: int) -> Iterator[str]:
    yield "# The Handbook's table, online"
    yield _text(
        f"The [Fraud Detection Handbook]({SOURCE}) compares five kinds of models on its card transactions: trained on "
        "the week from 2018-07-25, after a week of waiting for labels tested on the week from 2018-08-08. Here the "
        "running system makes the same comparison, on a real Kafka and Redis. `make handbook` plays it and writes this "
        "page."
    )
    if sample > 1:
        yield f"\n**A rehearsal on one of {sample} customers: the figures mean nothing.**"


def _done(found: Sequence[Result], played: Played) -> Iterator[str]:
    events, (rows, frauds) = played.events, played.trained
    tested = under_test(played.times, played.customers, played.fraud)
    models = sum(len(result.reached) for result in found)
    yield "\n## What was done"
    yield "In the order of time, so that nobody was told what was not known yet:\n"
    steps = (
        f"{events['history']:,} transactions from 2018-06-18 (a month of windows and a week of delay before the first "
        "day of training) to 2018-08-07 were published as events, and what each turned out to be as a label a week "
        "after it; labels known from 2018-08-08 on were not there yet. `enrich`, `views` and `labels` made the 15 "
        "features of them.",
        f"{models} models were trained on the {rows:,} features of 2018-07-25 to 2018-07-31 ({frauds:,} frauds) by "
        "what `headrace train --from 2018-07-25 --to 2018-08-01 --as-of 2018-08-08 --holdout 0` calls, from the topics "
        "read once. The champion was trained by the command itself as well: the same model, to the byte.",
        f"A plan made {played.champion} the champion. Once `score` and `shadow` had gone through the past by it, the "
        "next plan made all others shadows.",
        f"The {events['test']:,} transactions of 2018-08-08 to 2018-08-14 were published, and the labels that "
        "followed. `score` answered by the champion, `shadow` scored the same features by all others: "
        f"{events['scores']:,} scores, each model one of each event.",
        "Scores were read from `predictions` and `shadow-predictions`, the truth from `labels`. As the Handbook does "
        "it, customers who were known as defrauded on a day are left out of it, which leaves "
        f"{tested.sum():,} transactions with {played.fraud[tested].sum():,} frauds. Card precision@100 is the share of "
        "defrauded cards among the hundred with the highest scores of a day, found ones left out on later days, mean "
        "over the days.",
    )
    for number, step in enumerate(steps, 1):
        yield _text(step, f"{number}. ")
    yield ""
    yield _text(
        "Parameters are the defaults of scikit-learn, XGBoost and LightGBM, but for what they changed since: XGBoost "
        "builds its trees by the exact method from a base score of 0.5, and logistic regression goes on to the optimum."
    )


def _table(found: Sequence[Result]) -> Iterator[str]:
    yield "\n## The table"
    yield _text(
        "Ours is the mean over seeds, with the least and the most; the difference is that mean less the published "
        "figure. *Within*: the published figure, which has three digits, lies between our least and our most. A model "
        "without anything random has one value, so it must meet the published figure to the third digit. Seeds of "
        "trees draw the order of equal scores, too: single trees have many, and card precision hangs on it.\n"
    )
    yield "\n| model | seeds | figure | published | ours | difference | within |"
    yield "|---|---|---|---|---|---|---|"
    for result in found:
        _, mean, _ = result.spread
        for place, (name, published, ours, within) in enumerate(result.lines()):
            title, seeds = (result.contender.title, len(result.reached)) if place == 0 else ("", "")
            apart = "" if result.published is None else f"{mean[place] - result.published[place]:+.4f}"
            yield f"| {title} | {seeds} | {name} | {published} | {ours} | {apart} | {within} |"


def _outside(found: Sequence[Result]) -> Iterator[str]:
    missed = [
        f"{name} of {result.contender.title}"
        for result in found
        for name, inside in zip(NAMES.values(), result.within, strict=True)
        if not inside
    ]
    yield ""
    if missed:
        yield _text(f"**Outside of the spread: {'; '.join(missed)}.**")
    else:
        yield "All published figures are within. LightGBM has none; it is there as the pipeline's own trainer."


def _week(played: Played) -> Iterator[str]:
    tested = (played.times >= TESTED[0]) & (played.times < TESTED[1])
    scores, fraud = played.scores[played.champion], played.fraud
    states = ", ".join(f"{count:,} {state}" for state, count in sorted(played.outcomes.items()))
    yield "\n## What outcomes and scorecards say of the same week"
    yield _text(
        f"The champion's outcomes of the test week: {states}, {played.outcome_labels_differ:,} of them with another "
        "label than the labels topic says. They count all events, those of known victims too, so their figures are not "
        f"those of the table: AUC ROC {auc_roc(fraud[tested], scores[tested]):.4f}, average precision "
        f"{average_precision(fraud[tested], scores[tested]):.4f}, at a rate of fraud of {fraud[tested].mean():.2%}."
    )
    apart, lines = 0.0, []
    for day, card in sorted(played.cards.items()):
        here = (played.times >= day) & (played.times < day + DAY)
        own = {"auc_roc": auc_roc(fraud[here], scores[here])}
        own["average_precision"] = average_precision(fraud[here], scores[here])
        apart = max(apart, *(abs(value - (card[name] or 0.0)) for name, value in own.items()))
        told = " | ".join(_figure(card.get(name)) for name in (*own, "estimated_auc_roc"))
        date = np.datetime64(day, "ms").astype("datetime64[D]")
        lines.append(f"| {date} | {here.sum():,} | {fraud[here].sum():,} | {told} |")
    yield ""
    yield _text(
        "The champion's card of each day, as `headrace scorecard` shows it; the estimate is made without labels of the "
        "day. AUC ROC and average precision computed here, from the day's predictions and labels, "
        + ("are the same to nine digits." if apart < 1e-9 else f"differ by {apart:.1g} at most.")
    )
    yield "\n| day | events | frauds | AUC ROC | average precision | AUC ROC, estimated |\n|---|---|---|---|---|---|"
    yield from lines


def _repeat() -> Iterator[str]:
    yield "\n## How to repeat it"
    yield "```"
    yield "make handbook                  # plays it and writes this page; fails when a published figure is outside"
    yield "make handbook SEEDS=3          # fewer seeds: quicker, with narrower spreads"
    yield 'make handbook ARGS="--sample 20 --page try.md"   # one of 20 customers: does it run?'
    yield "```"
    yield "It needs the Handbook's transactions, in `../shared/data/fraud` beside the repository."


def _machine(played: Played, where: Mapping[str, Any]) -> Iterator[str]:
    seconds, events = played.seconds, played.events
    libraries = ", ".join(f"{name} {version}" for name, version in where["libraries"].items())
    yield "\n## Where, and how fast"
    yield _text(
        f"{where['date'][:10]}, {where['cores']} cores ({where['processor']}), {where['memory_gib']} GiB, "
        f"{where['system'].partition('-with')[0]}, Python {where['python']}, {libraries}; Kafka with one node on the "
        f"same machine. Load before it began: {', '.join(f'{each:g}' for each in where['load_before'])}; on a busy "
        "machine it takes so much longer, and the figures of the table stay the same."
    )
    yield "\n| step | seconds | |\n|---|---|---|"
    rate = events["history"] / seconds["history"]
    week = f"{events['test'] / seconds['test']:,.0f} events/s, {events['scores'] / seconds['test']:,.0f} scores/s"
    told = {
        "history": (
            f"features of {events['history']:,} events",
            f"{rate:,.0f} events/s, with the start of all members",
        ),
        "training": (f"training {len(played.scores)} models", "one after the other"),
        "plan": ("taking up the plan", "the past by the champion alone; then until `shadow` had loaded all models"),
        "test": ("the test week", week),
        "outcomes": ("outcomes", "from then until the champion's were all there"),
        "cards": ("scorecards", "from the start of `scorecards` to the champion's seven cards"),
    }
    for step, (what, more) in told.items():
        yield f"| {what} | {seconds[step]:.0f} | {more} |"


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _text(paragraph: str, begin: str = "") -> str:
    """Broken into lines."""
    indent = " " * len(begin)
    return fill(
        paragraph, WIDTH, initial_indent=begin, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )
