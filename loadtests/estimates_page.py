"""docs/estimates.md, as `make estimates` writes it, and the same tables for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from textwrap import fill

from rich.console import RenderableType

from loadtests.estimators import BOOSTED, CBPE, FIGURES, PAPE, PUBLISHED, SAME, Trial, gain
from loadtests.report import table
from loadtests.shifts import SHIFTS

Trials = Mapping[str, Trial]
BARRED = ("auc_roc", "accuracy")
"""Figures that the bars are about."""
COVERED = 0.9
NAMES = {
    "auc_roc": "AUC", "accuracy": "accuracy", "average_precision": "average precision", "precision": "precision",
    "recall": "recall",
}  # fmt: skip
WIDTH = 118
NO_SHIFT = SHIFTS[0].title


def missed(real: Mapping[int, Trials], made: Mapping[str, Trials]) -> list[str]:
    """The bars that were not held, each a sentence."""
    found = []
    for size, trials in real.items():
        for figure in BARRED:
            where = f"{NAMES[figure]}, census, {size:,} rows"
            for theirs in (PUBLISHED, CBPE):
                if gain(trials[PAPE], trials[theirs], figure)[0] < 0:
                    found.append(f"{where}: {PAPE} is off by more than {theirs}")
            for title in (CBPE, PAPE):
                covered = _coverage(trials[title], figure)
                if covered is None or covered < COVERED:
                    found.append(f"{where}: intervals of {title} cover less than {COVERED:.0%}")
    for title, trials in made.items():
        for figure in BARRED:
            where = f"{NAMES[figure]}, {title}"
            if title == NO_SHIFT and gain(trials[PAPE], trials[CBPE], figure)[2] < 0:
                found.append(f"{where}: {PAPE} is off by more than {CBPE}, beyond the noise")
            if title != NO_SHIFT and gain(trials[PAPE], trials[CBPE], figure)[1] <= 0:
                found.append(f"{where}: {PAPE} is not clearly nearer than {CBPE}")
            covered = _coverage(trials[PAPE], figure)
            if covered is None or covered < COVERED:
                found.append(f"{where}: intervals of {PAPE} cover less than {COVERED:.0%}")
    return found


def tables(several: Mapping[str, Trials]) -> list[RenderableType]:
    """For a terminal."""
    found: list[RenderableType] = []
    for title, trials in several.items():
        shown = table(_title(title, trials), "estimator", *NAMES.values(), "CPU s")
        for row in _rows(trials):
            shown.add_row(*row)
        found.append(shown)
    return found


def page(real: Mapping[int, Trials], made: Mapping[str, Trials], reference: int) -> str:
    """The page's text; `reference`: rows of the census's reference."""
    return "\n".join([*_head(), *_real(real, reference), *_made(made), *_bars(missed(real, made)), *_repeat()]) + "\n"


def _head() -> Iterator[str]:
    yield "# Estimates without labels"
    yield _text(
        "How good a model probably is can be told before labels come. This page says how far such estimates are off, "
        "held against the labels; `make estimates` measures it and writes the page. An entry is the mean distance of "
        "estimate and realised figure over the windows, in brackets how many of the 95% intervals hold the realised "
        "figure. CPU s is the median of a window, with all intervals. The least of a column is bold. Cards tell the "
        "curve's CBPE and our PAPE side by side ([scorecards](scorecards.md#when-the-mix-shifts))."
    )
    yield "\n| estimator | what it does |\n|---|---|"
    yield f"| {SAME} | the figure that the reference had |"
    yield f"| {PUBLISHED} | as NannyML does it; standard errors of the reference's rows |"
    yield f"| {CBPE} | a curve of chances that is held near what scores claim (`quality.curve_estimates`) |"
    yield f"| {BOOSTED} | as published: LightGBM tells production from reference, weighted isotonic regression |"
    yield f"| {PAPE} | sums over bins, held near no shift, and a weighted curve (`quality.covariate_shift`) |"


def _real(real: Mapping[int, Trials], reference: int) -> Iterator[str]:
    yield "\n## US census"
    yield _text(
        f"Who is employed, Massachusetts: a model's scores on {reference:,} rows of 2015 with labels, then 2016 to "
        "2018 in windows of consecutive rows. Scores are taken as they are, at a threshold of 0.5."
    )
    for size, trials in real.items():
        yield f"\n### Windows of {size:,} rows\n"
        yield from _lines(trials)
        yield ""
        for theirs in (PUBLISHED, CBPE, BOOSTED):
            yield _text("Nearer than " + theirs + ": " + "; ".join(_gains(trials, theirs)) + ".", "- ")
    yield ""
    yield _text(
        "What no estimator here can see is concept drift: of people of the same kind more were employed than in 2015, "
        "and CBPE and PAPE alike estimate precision too low and recall too high on average. In long windows their "
        "intervals hold these two less often than they should."
    )


def _made(made: Mapping[str, Trials]) -> Iterator[str]:
    yield "\n## Made-up shifts"
    yield _text(
        "A model that is right on average, too sure of one group (30% of the reference), and expects too much of it. "
        "Each window of 2,000 rows has a reference of its own, of 10,000. The last shift leaves every feature as it "
        "is: the group shows in two of them together."
    )
    for title, trials in made.items():
        yield f"\n### {title[0].upper()}{title[1:]}\n"
        yield from _lines(trials)


def _bars(short: list[str]) -> Iterator[str]:
    yield "\n## Bars"
    yield _text(
        f"On the census, for AUC and accuracy: {PAPE} is off by no more than either CBPE, and 95% intervals of it and "
        f"of the curve's CBPE hold at least {COVERED:.0%}. On made-up shifts it is nearer than CBPE, clearly, and "
        f"its intervals hold as often; without shift it is not further off beyond the noise."
    )
    yield ""
    yield "\n".join(f"- missed: {each}" for each in short) if short else "All are held."


def _repeat() -> Iterator[str]:
    yield "\n## How to repeat it"
    yield "```"
    yield "make estimates                        # measures all and writes this page"
    yield 'make estimates ARGS="--rows 5000"     # windows of another size'
    yield "```"
    yield "It needs the census sample of NannyML, in `../shared/data/employment` beside the repository."


def _lines(trials: Trials) -> Iterator[str]:
    windows = len(next(iter(trials.values())).realised)
    yield f"| {windows} windows | {' | '.join(NAMES.values())} | CPU s |"
    yield "|---" * (len(NAMES) + 2) + "|"
    for row in _rows(trials, "**"):
        yield f"| {' | '.join(row)} |"


def _title(title: str, trials: Trials) -> str:
    return f"{title}: mean distance (95% intervals that held), {len(next(iter(trials.values())).realised)} windows"


def _rows(trials: Trials, strong: str = "") -> Iterator[list[str]]:
    told = {(title, figure): trial.fared(figure) for title, trial in trials.items() for figure in FIGURES}
    least = {
        figure: min(each.mean_absolute for (_, other), each in told.items() if each is not None and other == figure)
        for figure in FIGURES
    }
    for title, trial in trials.items():
        cells = []
        for figure in FIGURES:
            fared = told[title, figure]
            if fared is None:
                cells.append("-")
                continue
            mark = strong if fared.mean_absolute == least[figure] else ""
            share = "" if fared.coverage is None else f" ({fared.coverage:.0%})"
            cells.append(f"{mark}{fared.mean_absolute:.4f}{mark}{share}")
        yield [title, *cells, f"{trial.seconds:.2f}"]


def _gains(trials: Trials, theirs: str) -> Iterator[str]:
    for figure in BARRED:
        mean, low, high = gain(trials[PAPE], trials[theirs], figure)
        yield f"{NAMES[figure]} by {mean:.4f} ({low:.4f} to {high:.4f})"


def _coverage(trial: Trial, figure: str) -> float | None:
    fared = trial.fared(figure)
    return None if fared is None else fared.coverage


def _text(paragraph: str, begin: str = "") -> str:
    return fill(
        paragraph, WIDTH, initial_indent=begin, subsequent_indent=" " * len(begin), break_long_words=False,
        break_on_hyphens=False,
    )  # fmt: skip
