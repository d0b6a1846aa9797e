"""docs/loop.md, as `make loop` writes it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from textwrap import fill
from typing import Any

from loadtests.loop.costs import JOBS

WIDTH = 118
LOOP_ONLY = ("shadow", "drift", "release", "retrain", JOBS)
"""Services that are there for the loop alone."""
FAILED = re.compile(r"([a-z_][a-z_ ]*) is failed")
Figures = Mapping[str, Any]


def page(cases: Mapping[str, Figures], picture: str) -> str:
    """The page's text, from the figures of each data set."""
    parts = [*_head(cases, picture)]
    for figures in cases.values():
        parts += [*_case(figures)]
    return "\n".join([*parts, *_repeat()]) + "\n"


def _head(cases: Mapping[str, Figures], picture: str) -> Iterator[str]:
    yield "# The loop over real data"
    yield _text(
        "What do retraining and releases by the loop bring over a champion that is left alone, and what do they cost? "
        "The running system plays real data, some days at a time, with "
        "[retraining](retraining.md) and [releases](release.md) on; the first champion then scores the same events by "
        "`headrace replay`. `make loop` plays it and writes this page, the picture and "
        "[all figures](loop.json)."
    )
    yield ""
    yield f"![Average precision by week, and what happened when]({picture})"
    yield "\n| | " + " | ".join(each["title"] for each in cases.values()) + " |"
    yield "|---|" + "---|" * len(cases)
    for title, told in SUMMARY:
        yield f"| {title} | " + " | ".join(told(each) for each in cases.values()) + " |"
    yield "\n## How it was played"
    for number, step in enumerate(STEPS, 1):
        yield _text(step, f"{number}. ")


STEPS = (
    "Events before the loop begins went through `enrich`, `views` and `labels`; `headrace train` made the first "
    "champion of them with the labels that were known on the day on which the loop begins. `score` began with the "
    "events that it was trained on, so that there are outcomes to retrain from, as there would be had it been on.",
    "Then, a step at a time, the labels that became known and the events that happened were published. The next step "
    "came once every event was answered, every label was an outcome, each service had had nothing to do for a second, "
    "and no training or evaluation was at work. So a decision hangs on what was known by the end of its step, and not "
    "on how fast the machine is; and it counts for the events of the next step on.",
    "`retrain.clock: events` has schedule, cooldown and budget go by event time. Nobody was there to approve "
    "(`approvals: 0`); a model whose gates were not known waited for a person, who did not come, until a newer one "
    "superseded it.",
    "What drift found among the events that the first champion had held out, before the loop began, counts for the "
    "day before; the CPU-seconds of trainings that followed from that are not in the tables of costs.",
    "Intervals are of 95%, of the difference on the same events, from events drawn anew. CPU-seconds are user and "
    "system time as the kernel counts them, of the span alone.",
)


def _positive(figures: Figures) -> str:
    spread = figures["all"]
    return f"{spread['difference']:+.4f} ({spread['low']:+.4f} to {spread['high']:+.4f})"


def _released(figures: Figures, kind: str) -> int:
    return sum(each["type"] == kind for one in figures["trainings"] for each in one["releases"])


def _loop_cpu(figures: Figures) -> float:
    return sum(figures["cpu"].get(name, 0.0) for name in LOOP_ONLY)


def _product_cpu(figures: Figures) -> float:
    return sum(value for name, value in figures["cpu"].items() if name != "kafka")


SUMMARY = (
    ("span", lambda it: f"{_date(it['opens'])} to {_date(it['ends'] - 1)}"),
    ("events, positives", lambda it: f"{it['all']['events']:,}, {it['all']['positives']:,}"),
    ("average precision with the loop", lambda it: f"{it['all']['loop']:.4f}"),
    ("of the first champion alone", lambda it: f"{it['all']['alone']:.4f}"),
    ("difference", _positive),
    ("trainings (failed)", lambda it: f"{len(it['trainings'])} ({sum(bool(t['problem']) for t in it['trainings'])})"),
    ("new champions", lambda it: str(_released(it, "release_promoted"))),
    ("put back", lambda it: str(_released(it, "release_rolled_back"))),
    ("incidents (that harmed)", lambda it: f"{len(it['incidents'])} ({sum(bool(i['harm']) for i in it['incidents'])})"),
    ("CPU-seconds of all services and jobs", lambda it: f"{_product_cpu(it):,.0f}"),
    ("of these for the loop alone", lambda it: f"{_loop_cpu(it):,.0f}"),
)


def _case(figures: Figures) -> Iterator[str]:
    yield f"\n## {figures['title']}"
    events = figures["events"]
    step = figures["step"] // 86_400_000
    said = (
        f"{events['before']:,} events before the loop, {events['loop']:,} in it, {step} day{'s' if step > 1 else ''} "
        f"at once. The first champion was trained on events from {_date(figures['trained'])} on by what was known on "
        f"{_date(figures['opens'])}."
    )
    yield _text(said)
    if figures["sample"] > 1:
        yield "\n" + _text(
            f"**Of every {figures['sample']} customers one was played**, so windows of terminals hold fewer "
            "transactions than in the published features: both models saw the same events; no other figures compare."
        )
    if not figures["whole"]:
        yield "\n" + _text(
            f"**It was stopped at the end of {_date(figures['ends'] - 1)}**, when its time was up; the data goes on."
        )
    outcomes = figures["outcomes"]
    if outcomes["corrected"]:
        yield "\n" + _text(
            f"**Of {outcomes['first']:,} outcomes {outcomes['corrected']:,} first said that no label came, and were "
            "corrected**: labels came in bursts over several partitions, and the first that was read moved time on "
            "([mended since](outcomes.md#labels-that-come-in-bursts)). Drift and evidence take first outcomes, so "
            "what they found of labels here is not to be relied on; trainings and the tables are of the last ones."
        )
    yield "\n" + _text(_conclusion(figures))
    yield from _weeks(figures)
    yield from _trainings(figures)
    yield from _incidents(figures)
    yield from _costs(figures)
    yield "\nLines of the pipeline file that are others than in `pipelines/`:\n"
    yield "```yaml"
    yield from figures["changed"]
    yield "```"


def _conclusion(figures: Figures) -> str:
    """What the figures say, in words that follow from them."""
    spread = figures["all"]
    if spread["low"] > 0:
        came = "The loop answered better than the champion that was left alone"
    elif spread["high"] < 0:
        came = "**The loop answered worse than the champion that was left alone**"
    elif spread["difference"] == 0:
        came = "The loop changed no answer"
    else:
        came = "Whether the loop answered better or worse than the champion that was left alone cannot be told"
    better = sum(each["low"] > 0 for each in figures["weeks"])
    worse = sum(each["high"] < 0 for each in figures["weeks"])
    counts = _fates(figures)
    fates = ", ".join(f"{count} {fate}" for fate, count in counts.most_common())
    share = _loop_cpu(figures) / max(_product_cpu(figures), 1e-9)
    words = [
        f"{came}: {_positive(figures)} in average precision over the whole span. Of {len(figures['weeks'])} weeks it "
        f"was better in {better} and worse in {worse} beyond chance.",
        f"What became of {len(figures['trainings'])} trainings: {fates or 'none began'}.",
        f"The loop took {share:.0%} of all CPU-seconds of services and jobs.",
    ]
    verdicts = Counter(each["verdict"] for each in figures["trainings"] if each["verdict"])
    if verdicts["unknown"]:
        words.append(
            f"Gates passed {verdicts['passed']} models, failed {verdicts['failed']}, and could not tell of "
            f"{verdicts['unknown']}: `better` asks that the whole interval of the difference lies above 0, and on the "
            "outcomes that had come since the training it was wider than what a retraining gains. Such a model waits "
            "for more outcomes (this run judged each once) or for a person; where nobody looks, `not worse by X` "
            "leaves the decision to evidence, which goes on."
        )
    undecided = sum(
        any(it["type"] == "release_started" for it in each["releases"])
        and any(it["type"] == "release_inconclusive" for it in each["releases"])
        for each in figures["trainings"]
    )
    if undecided:
        words.append(
            f"Of {undecided} that came into the dark or further, evidence told neither harm nor safety by the deadline "
            "(30 days); one release at a time has the turn, so the others waited. `headrace models plan` says "
            "beforehand how long a decision takes."
        )
    failed = Counter(gate for each in figures["trainings"] for gate in FAILED.findall(each["because"]))
    if failed:
        words.append(f"Gates that failed: {', '.join(f'{gate} ({count})' for gate, count in failed.most_common())}.")
    return " ".join(words)


def _fates(figures: Figures) -> Counter[str]:
    return Counter(fate(each) for each in figures["trainings"])


def fate(training: Figures) -> str:
    """What became of a training, in some words."""
    if training["problem"]:
        return "failed"
    if not training["model"]:
        return "not over"
    kinds = {each["type"]: each for each in training["releases"]}
    for kind, words in (
        ("release_rolled_back", "put back"),
        ("release_settled", "champion and settled"),
        ("release_promoted", "champion"),
        ("release_withdrawn", "withdrawn"),
        ("release_rejected", "rejected by a gate"),
        ("release_superseded", "superseded"),
        ("release_inconclusive", "waits for a person"),
        ("release_advanced", "in canary at the end"),
        ("release_started", "in the dark at the end"),
        ("release_queued", "in the queue at the end"),
    ):
        if kind in kinds:
            inconclusive = "release_inconclusive" in kinds and kind == "release_superseded"
            return "not known by its gates or evidence, then superseded" if inconclusive else words
    return "not judged"


def _weeks(figures: Figures) -> Iterator[str]:
    yield "\n| week from | events | positives | AP, loop | AP, alone | difference (95%) | answered by |"
    yield "|---|---|---|---|---|---|---|"
    for each in figures["weeks"]:
        by = ", ".join(
            f"{name} {count / sum(each['answered_by'].values()):.0%}"
            for name, count in sorted(each["answered_by"].items(), key=lambda pair: -pair[1])
        )
        days = (each["to"] - each["from"]) // 86_400_000
        short = f" ({days} d)" if days < 7 else ""
        yield (
            f"| {_date(each['from'])}{short} | {each['events']:,} | {each['positives']:,} | {each['loop']:.4f} | "
            f"{each['alone']:.4f} | {each['difference']:+.4f} ({each['low']:+.4f} to {each['high']:+.4f}) | {by} |"
        )


def _trainings(figures: Figures) -> Iterator[str]:
    yield "\n### Trainings, and what became of them"
    if not figures["trainings"]:
        yield "None began."
    else:
        yield "\n| day | asked for by | CPU-s | gates | what became of it | events answered | weeks led: difference |"
        yield "|---|---|---|---|---|---|---|"
        for each in figures["trainings"]:
            led = "" if each["difference"] is None else f"{each['difference']:+.4f}"
            yield (
                f"| {_date(each['day'] - 1)} | {each['source']} | {each['cpu_s']:.0f} | {each['verdict'] or '-'} | "
                f"{each['problem'] or fate(each)} | {each['answered']:,} | {led} |"
            )
    useful = sum((each["difference"] or 0) > 0 for each in figures["trainings"])
    harmful = sum((each["difference"] or 0) < 0 for each in figures["trainings"])
    yield "\n" + _text(
        "Useful by hindsight (its model answered most of some weeks, better in their mean than the first champion): "
        f"{useful}; "
        f"harmful in the same sense: {harmful}; of no effect, as their models never answered most of a week: "
        f"{len(figures['trainings']) - useful - harmful}."
    )
    if figures["refusals"]:
        told = ", ".join(f"{name} {count}" for name, count in sorted(figures["refusals"].items()))
        yield "\n" + _text(f"Triggers that started nothing, by kind and rule: {told}.")


def _incidents(figures: Figures) -> Iterator[str]:
    yield "\n### Incidents"
    if not figures["incidents"]:
        yield "None."
        return
    yield "\n| day | incident | model | began | harm | over |"
    yield "|---|---|---|---|---|---|"
    for each in figures["incidents"]:
        harm = ", ".join(
            f"{_date(one['day'] - 1)} by {one['basis']} ({one['worse']:.2f} times)" for one in each["harm"]
        )
        began = "" if each["began"] is None else _date(each["began"])
        over = "open at the end" if each["closed"] is None else _date(each["closed"] - 1)
        day = _date(each["day"] - 1)
        yield f"| {day} | {each['incident']} | {each['model']} | {began} | {harm or 'none'} | {over} |"


def _costs(figures: Figures) -> Iterator[str]:
    yield "\n### CPU-seconds"
    whole = _product_cpu(figures)
    yield "\n| process | CPU-seconds | share | for the loop alone |"
    yield "|---|---|---|---|"
    for name, value in sorted(figures["cpu"].items(), key=lambda pair: -pair[1]):
        share = "" if name == "kafka" else f"{value / whole:.0%}"
        own = "yes" if name in LOOP_ONLY else ""
        title = "trainings and evaluations" if name == JOBS else name
        yield f"| {title} | {value:,.0f} | {share} | {own} |"
    again = Counter(figures["restarts"])
    said = "no service ended by itself" if not again else "started again: " + ", ".join(
        f"{name} {count} times" for name, count in again.items()
    )  # fmt: skip
    machine = figures["machine"]
    yield "\n" + _text(
        f"In {figures['seconds']:,.0f} s by the clock, on {machine['cores']} cores ({machine['processor']}) that "
        f"others used as well (load {machine['load_before'][0]:.0f} before); {said}. Services that wait cost too: each "
        f"looks for news some times a second, for as long as the clock runs. Measured {machine['date'][:10]}."
    )


def _repeat() -> Iterator[str]:
    yield "\n## To do it again"
    yield "\n```sh"
    yield "make loop                               # both data sets, which lie beside the repository"
    yield "make loop ARGS='--only elec2'           # one of them; the other's figures stay as they are"
    yield "make loop ARGS='--only fraud --days 14' # a beginning of it"
    yield "```"


def _date(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).date().isoformat()


def _text(text: str, lead: str = "") -> str:
    return fill(text, WIDTH, initial_indent=lead, subsequent_indent=" " * len(lead), break_long_words=False,
                break_on_hyphens=False)  # fmt: skip


def shown(cases: Mapping[str, Figures]) -> Sequence[Sequence[str]]:
    """The summary for a terminal: a row a figure."""
    return [[title, *(told(each) for each in cases.values())] for title, told in SUMMARY]
