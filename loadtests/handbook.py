"""The Handbook's table of models, made by the running system: trained, played and judged on its own topics.

    python -m loadtests.handbook [--seeds N] [--sample N] [--page PATH] [--json PATH]

Transactions of the Handbook and their labels, a week late, go through enrich, views and labels; models are trained on
the topics as `headrace train` does; one answers and all others are scored in the dark; their scores of the test week
are judged as the Handbook judges. Ends with 1 when a published figure is outside of our spread over seeds.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

from loadtests.arena import arena, console
from loadtests.bench import machine
from loadtests.campaign import play, weeks
from loadtests.entrants import Entry
from loadtests.protocol import CONTENDERS
from loadtests.report import table
from loadtests.standing import Result, results
from loadtests.standing_page import page
from loadtests.stream import DATA

CHAMPION = "LightGBM"  # the trainer of the pipeline file


def entered(seeds: int) -> list[Entry]:
    """The models that take part: of contenders with anything random in them so many, at most."""
    return [Entry(each, seed) for each in CONTENDERS for seed in range(min(seeds, each.seeds))]


def main() -> int:
    """Play, judge, show, write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seeds", type=int, default=10, help="of each model with anything random in it (10)")
    parser.add_argument("--sample", type=int, default=1, help="each n-th customer alone: does it run at all?")
    parser.add_argument("--page", type=Path, help="write the page here")
    parser.add_argument("--json", type=Path, help="write the figures here")
    options = parser.parse_args()
    shown = console()
    if not DATA.is_dir():
        shown.print(f"the table needs the Handbook's transactions, and {DATA} is not there")
        return 2
    where = machine()
    entries = entered(options.seeds)
    with arena(say=shown.print, brief=options.sample > 1) as ground:
        champion = next(entry for entry in entries if entry.contender.title == CHAMPION)
        played = play(ground, entries, champion, weeks(options.sample))
    found = results(played, entries)
    show(found)
    if options.page:
        options.page.write_text(page(found, played, where, options.sample))
    if options.json:
        figures = [asdict(result) | {"within": list(result.within)} for result in found]
        own = {"seconds": played.seconds, "events": played.events, "outcomes": played.outcomes, "cards": played.cards}
        options.json.write_text(json.dumps({"machine": where, **own, "results": figures}, indent=2) + "\n")
    return 0 if all(all(result.within) for result in found) else 1


def show(found: list[Result]) -> None:
    """Print the table."""
    shown = table("the Handbook's table", "model", "seeds", "figure", "published", "ours", "within")
    for result in found:
        for line in result.lines():
            shown.add_row(result.contender.title, str(len(result.reached)), *line)
    console().print(shown)


if __name__ == "__main__":
    sys.exit(main())
