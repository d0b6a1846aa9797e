"""How far estimates without labels are off: on the US census, and on made-up shifts.

    python -m loadtests.estimates [--rows N ...] [--most N] [--rounds N] [--page PATH] [--json PATH]

Windows of consecutive rows of three later years are estimated from a reference year and held against their labels; so
are windows of made-up rows whose mix shifts, each with a reference of its own. Ends with 1 where a bar is missed, with
2 where the census is not there.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from headrace.domain.quality.covariate_shift import ReferenceSample
from loadtests.arena import console
from loadtests.census import DATA, THRESHOLD, census
from loadtests.estimates_page import missed, page, tables
from loadtests.estimators import FIGURES, Trial, Window, tried
from loadtests.shifts import BEFORE, SHIFTS, Shift, rows

ROWS = (1_000, 2_000, 5_000)
REFERENCE, LATER = 10_000, 2_000
"""Rows of a made-up reference, and of a made-up window."""
RARE = 0.1
"""The threshold where positives are rare."""


def later_windows(both: tuple[ReferenceSample, ReferenceSample], size: int, most: int) -> Iterator[Window]:
    """Consecutive rows of later years, so many each; at most so many windows, spread evenly over the years."""
    reference, later = both
    whole = len(later.scores) // size
    for number in np.unique(np.linspace(0, whole - 1, min(whole, most)).astype(np.int64)):
        here = slice(int(number) * size, int(number + 1) * size)
        places = np.ascontiguousarray(later.places[:, here])
        yield Window(reference, ReferenceSample(places, later.bins, later.scores[here], later.positive[here]))


def made_windows(shift: Shift, rounds: int) -> Iterator[Window]:
    """So many, each with a reference of its own."""
    for seed in range(rounds):
        random = np.random.default_rng(seed)
        yield Window(rows(random, REFERENCE, shift, BEFORE), rows(random, LATER, shift, shift.share))


def plain(trials: Mapping[str, Trial]) -> dict[str, dict[str, object]]:
    """Figures of trials for a file."""
    found: dict[str, dict[str, object]] = {}
    for title, trial in trials.items():
        found[title] = {"cpu_seconds": trial.seconds, "windows": len(trial.realised)}
        for figure in FIGURES:
            fared = trial.fared(figure)
            if fared is not None:
                told = {"mean_absolute_error": fared.mean_absolute, "bias": fared.bias, "coverage": fared.coverage}
                found[title][figure] = told
    return found


def main(given: Sequence[str] | None = None) -> int:
    """Try, show, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rows", type=int, nargs="+", default=list(ROWS), help="of a window of the census")
    parser.add_argument("--most", type=int, default=60, help="windows of the census of each size, spread evenly (60)")
    parser.add_argument("--rounds", type=int, default=100, help="windows of each made-up shift (100)")
    parser.add_argument("--page", type=Path, help="write the page here")
    parser.add_argument("--json", type=Path, help="write the figures here")
    options = parser.parse_args(given)
    shown = console()
    if not DATA.is_dir():
        shown.print(f"the study needs the census sample, and {DATA} is not there")
        return 2
    both = census()
    real = {}
    for size in options.rows:
        real[size] = tried(later_windows(both, size, options.most), THRESHOLD)
        shown.print(*tables({f"census, windows of {size:,} rows": real[size]}))
    made = {}
    for shift in SHIFTS:
        made[shift.title] = tried(made_windows(shift, options.rounds), RARE if shift.rarer else THRESHOLD)
        shown.print(*tables({shift.title: made[shift.title]}))
    short = missed(real, made)
    shown.print("\n".join(short) or "all bars are held")
    if options.page:
        options.page.write_text(page(real, made, len(both[0].scores)))
    if options.json:
        figures = {"census": {size: plain(each) for size, each in real.items()}}
        figures |= {"made": {title: plain(each) for title, each in made.items()}}
        options.json.write_text(json.dumps({**figures, "missed": short}, indent=2) + "\n")
    return 1 if short else 0


if __name__ == "__main__":
    sys.exit(main())
